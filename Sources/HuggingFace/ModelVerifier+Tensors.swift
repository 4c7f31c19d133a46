public import Architectures
import ByteIO
import Diagnostics
import JSON
import Safetensors
import SystemPackage
import Transfer

/// Names, shapes and types of tensors, and the tokenizer, against `config.json`.
extension ModelVerifier {
  /// The sizes that `config.json` states.
  private func sizes(_ config: JSONObject) -> ModelSizes? {
    guard let layers = config["n_layer"]?.int, let hidden = config["n_embd"]?.int,
      let vocabulary = config["vocab_size"]?.int, let positions = config["n_positions"]?.int,
      layers > 0, (1...1 << 40).contains(hidden)
    else { return nil }
    return ModelSizes(
      layers: layers, hidden: hidden, heads: config["n_head"]?.int ?? 1,
      feedForward: config["n_inner"]?.int ?? 4 * hidden, positions: positions,
      vocabulary: vocabulary)
  }

  /// How the names begin; told by the embedding.
  public var keyStyle: KeyStyle {
    directory["transformer.wte.weight"] == nil && directory["wte.weight"] != nil
      ? .bare : .transformer
  }

  mutating func checkTensors(_ config: JSONObject) {
    guard let sizes = sizes(config) else {
      if let hidden = config["n_embd"]?.int, hidden > 1 << 40 {
        fault(.configField, "no model has a hidden size of \(hidden)", file: "config.json")
      }
      return
    }
    let isTied = config["tie_word_embeddings"]?.bool ?? true
    let style = keyStyle
    // Layers that are claimed or there by the hundred would be as many faults: one says it.
    let found = layerCount(style)
    if found != sizes.layers {
      fault(
        .outputLayers,
        "config.json asks for \(sizes.layers) layers, but the tensors have \(found): they are of another "
          + "model, or some are missing", file: "config.json")
    }
    if let words = directory[style.name("wte.weight")]?.declared.shape, words.count == 2,
      words[1] != sizes.hidden
    {
      fault(
        .outputAnotherModel,
        "the tensors are of another model than config.json: a hidden size of \(words[1]) against "
          + "\(sizes.hidden)", tensor: style.name("wte.weight"))
      return
    }
    let layers = min(sizes.layers, found)
    checkCrossAttention(config, layers, style)
    let rules = GPT2Rules.table.applied(blocks: layers) { source in
      source == GPT2Rules.head.source && !isTied
    }
    var expected: Set<String> = []
    for applied in rules {
      let name = style.name(applied.target)
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
      judgeExtra(name, isTied: isTied, style)
    }
    checkTypes(config, expected)
  }

  /// The number of layers by the names of the tensors.
  private func layerCount(_ style: KeyStyle) -> Int {
    let prefix = style.name("h.")
    var numbers: Set<Int> = []
    for name in directory.names where name.hasPrefix(prefix) {
      if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }) {
        numbers.insert(number)
      }
    }
    return numbers.count
  }

  /// Cross attention adds tensors, which transformers would fill with random numbers.
  private mutating func checkCrossAttention(
    _ config: JSONObject, _ layers: Int, _ style: KeyStyle
  ) {
    guard config["add_cross_attention"] == true else { return }
    let name = style.name("h.0.crossattention.c_attn.weight")
    guard directory[name] == nil, layers > 0 else { return }
    fault(
      .outputMissingTensor,
      "add_cross_attention is true, but the tensors of cross attention are missing, and transformers would "
        + "fill them with random numbers", tensor: name)
  }

  /// Ids that the embedding does not have end in an error, or in another token's row, while it runs.
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

  /// Tensors of GPT-2 directories that other tools write: masks, and copies of the embedding.
  private mutating func judgeExtra(_ name: String, isTied: Bool, _ style: KeyStyle) {
    let bare = name.hasPrefix("transformer.") ? String(name.dropFirst(12)) : "transformer.\(name)"
    if directory[bare] != nil, name != "lm_head.weight" {
      fault(
        .outputDuplicateTensor,
        "it is there with and without its prefix: loaders take one of them",
        tensor: name)
    } else if name.contains(".crossattention.") || name.contains(".ln_cross_attn."),
      config?["add_cross_attention"] == true
    {
      return
    } else if name.hasPrefix(style.name("h.")),
      let number = Int(
        name.dropFirst(style.name("h.").count).prefix { $0 != "." }),
      let layers = config?["n_layer"]?.int,
      number >= layers
    {
      // Said once for all of them.
      return
    } else if name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") {
      note(.outputMaskBuffer, "a mask that no release needs any more", tensor: name)
    } else if name == "lm_head.weight", isTied {
      guard let head = directory[name], let words = directory[style.name("wte.weight")],
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
      fault(.outputUnexpectedTensor, "GPT-2 has no tensor of this name", tensor: name)
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
          fault(.outputDtype, "\(declared.dtype.rawValue) is no type for weights", tensor: tensor)
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
