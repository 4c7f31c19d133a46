public import Architectures
import ByteIO
import Diagnostics
import JSON
import Safetensors
import SystemPackage
import Transfer

/// Names, shapes and types of tensors, and the tokenizer, against `config.json`.
extension ModelVerifier {
  /// How the names begin; told by the embedding.
  public var keyStyle: KeyStyle {
    let format = architecture.format
    return directory[format.name(format.embedding)] == nil && directory[format.embedding] != nil
      ? .bare : .transformer
  }

  /// The name of a tensor in this folder.
  func fullName(_ target: String) -> String { architecture.format.name(target, keyStyle) }

  mutating func checkTensors(_ config: JSONObject) {
    guard let sizes = architecture.sizes(config: config) else {
      if !faults.contains(where: { $0.file == "config.json" }) {
        fault(
          .configField,
          "its sizes are none that a \(architecture.format.title) has, so that no "
            + "tensor could be compared", file: "config.json")
      }
      return
    }
    let format = architecture.format
    let isTied = config["tie_word_embeddings"]?.bool ?? true
    // Layers that are claimed or there by the hundred would be as many faults: one says it.
    let found = layerCount()
    if found != sizes.layers {
      fault(
        .outputLayers,
        "config.json asks for \(sizes.layers) layers, but the tensors have \(found): they are of "
          + "another "
          + "model, or some are missing", file: "config.json")
    }
    if let words = directory[fullName(format.embedding)]?.declared.shape, words.count == 2,
      words[1] != sizes.hidden
    {
      fault(
        .outputAnotherModel,
        "the tensors are of another model than config.json: a hidden size of \(words[1]) against "
          + "\(sizes.hidden)", tensor: fullName(format.embedding))
      return
    }
    let layers = min(sizes.layers, found)
    let table = architecture.table
    // Of the tensors that may be missing, the configuration says which have to be there.
    let asked = Set(
      table.rules.filter { rule in
        rule.target == format.head ? !isTied : architecture.asks(for: rule.target, config)
      }.map { $0.source.replacing("*", with: "0") })
    let rules = table.applied(blocks: layers) { asked.contains($0) }
    var expected: Set<String> = []
    for applied in rules {
      let name = fullName(applied.target)
      expected.insert(name)
      guard let tensor = directory[name] else {
        fault(
          .outputMissingTensor,
          "it is missing, and transformers would fill it with random numbers", tensor: name)
        continue
      }
      let shape = sizes.targetShape(applied.rule)
      if tensor.declared.shape != shape {
        fault(
          .outputShape, "its shape is \(tensor.declared.shape); config.json asks for \(shape)",
          tensor: name)
      }
    }
    for name in directory.names where !expected.contains(name) {
      judgeExtra(name, isTied: isTied, config, layers: sizes.layers)
    }
    checkTypes(config, expected)
  }

  /// The number of layers by the names of the tensors.
  private func layerCount() -> Int {
    let prefix = fullName(architecture.format.blocks)
    var numbers: Set<Int> = []
    for name in directory.names where name.hasPrefix(prefix) {
      if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }) {
        numbers.insert(number)
      }
    }
    return numbers.count
  }

  /// Ids that the embedding does not have end in an error, or in another token's row, while it
  /// runs.
  mutating func checkTokenizer(_ path: FilePath, rows: Int?) {
    let files = ["tokenizer.json", "vocab.json"].filter { FileSystem.exists(path.appending($0)) }
    guard !files.isEmpty, let rows else { return }
    do {
      let tokenizer = try ModelTokenizer(folder: path)
      if tokenizer.size > rows {
        fault(
          .tokenizerSize,
          "the tokenizer has \(tokenizer.size) tokens, but config.json says \(rows) rows",
          file: files[0])
      }
    } catch {
      fault(
        error.code, error.message, file: error.file.map { FilePath($0).lastComponent?.string ?? $0 }
      )
    }
  }

  /// Tensors that no rule names: those that other tools write, masks, copies of the embedding.
  private mutating func judgeExtra(
    _ name: String, isTied: Bool, _ config: JSONObject, layers: Int
  ) {
    let format = architecture.format
    let hasPrefix = name.hasPrefix(format.prefix)
    let inner = hasPrefix ? String(name.dropFirst(format.prefix.count)) : name
    let surplus = architecture.surplus(inner, config)
    if directory[hasPrefix ? inner : format.prefix + name] != nil, name != format.head {
      fault(
        .outputDuplicateTensor,
        "it is there with and without its prefix: loaders take one of them",
        tensor: name)
    } else if surplus == .expected {
      return
    } else if name.hasPrefix(fullName(format.blocks)),
      let number = Int(name.dropFirst(fullName(format.blocks).count).prefix { $0 != "." }),
      number >= layers
    {
      // Said once for all of them.
      return
    } else if surplus == .mask {
      note(.outputMaskBuffer, "a mask that no release needs any more", tensor: name)
    } else if name == format.head, isTied {
      guard let head = directory[name], let words = directory[fullName(format.embedding)],
        head.declared.shape == words.declared.shape,
        let comparison = try? TensorDifference(TensorContent(head), TensorContent(words))
      else {
        fault(.outputTiedHead, "it cannot be compared with the embedding", tensor: name)
        return
      }
      if comparison.isEqual {
        note(.outputTiedHead, "a copy of the embedding, to which it is tied", tensor: name)
      } else {
        fault(
          .outputTiedHead,
          "it differs from the embedding, yet tie_word_embeddings is true: releases disagree about "
            + "which of the two is used", tensor: name)
      }
    } else {
      fault(.outputUnexpectedTensor, "\(format.title) has no tensor of this name", tensor: name)
    }
  }

  /// All weights have the type that `config.json` names, if it names one.
  private mutating func checkTypes(_ config: JSONObject, _ expected: Set<String>) {
    let name = config["dtype"]?.string ?? config["torch_dtype"]?.string
    if let a = config["dtype"]?.string, let b = config["torch_dtype"]?.string, a != b {
      fault(.configDtype, "dtype is \(a), but torch_dtype is \(b)", file: "config.json")
    }
    for tensor in expected.sorted() {
      guard let declared = directory[tensor]?.declared else { continue }
      guard let format = FloatFormat(declared.dtype) else {
        if declared.dtype != .f64 {
          fault(
            .outputDtype, "\(declared.dtype.rawValue) is not a type for weights", tensor: tensor)
        }
        continue
      }
      if let name, !name.hasPrefix("torch."), format.torchName != name {
        fault(
          .outputDtype, "its type is \(format.torchName); config.json says \(name)",
          tensor: tensor)
      }
    }
  }
}
