import Architectures
import ByteIO
import Diagnostics
public import HuggingFace
import JSON
import Safetensors
import SystemPackage
import Transfer

extension Network {
  /// A folder of transformers, as GPT-2 of transformers computes it
  /// (transformers `models/gpt2/modeling_gpt2.py`).
  ///
  /// - Parameters:
  ///   - directory: The folder of the model.
  ///   - options: How it is run.
  /// - Throws: `Failure` 69 for a model that is not GPT-2, or a function that is not known, 65
  ///   for tensors that are missing or do not fit, 66 for a folder without `config.json`, or
  ///   `Interrupted`.
  public convenience init(of directory: ModelDirectory, options: Options = Options()) throws {
    // A damaged file, or two files with one tensor.
    if let fault = directory.faults.first { throw Failure(fault) }
    let path = directory.path.appending("config.json")
    guard let config = try JSONFile.read(path).object else {
      throw Failure(.configSyntax, "a JSON object was expected", file: path.string)
    }
    func unsupported(_ message: String) -> Failure {
      Failure(.networkUnsupported, message, file: path.string)
    }
    // A field that is there has to be understood; what is not there is as transformers has it.
    func field<Value>(
      _ name: String, _ known: Value, _ read: (JSONValue) -> Value?
    ) throws(Failure) -> Value {
      guard let value = config[name], value != .null else { return known }
      guard let result = read(value) else {
        throw unsupported("\(name) is \(JSONWriter.text(value, .compact))")
      }
      return result
    }
    guard try field("model_type", "gpt2", \.string) == "gpt2" else {
      throw unsupported("model_type is \(config["model_type"]?.string ?? ""); only gpt2 is run")
    }
    guard try field("add_cross_attention", false, \.bool) == false else {
      throw unsupported("add_cross_attention is true")
    }
    guard config["quantization_config"] ?? .null == .null else {
      throw unsupported("the weights are quantized (quantization_config)")
    }
    let family = GPT2()
    var named = config
    for (alias, name) in family.format.aliases where named[name] == nil {
      if let value = named[alias] { named[name] = value }
    }
    guard let sizes = family.sizes(config: named), sizes.positions > 0, sizes.vocabulary > 0,
      sizes.feedForward > 0
    else {
      throw Failure(
        .networkTensor, "its sizes are missing or make no sense", file: path.string)
    }
    // No shape tells the heads: another number of them is another model.
    guard let heads = named["n_head"]?.int, heads == sizes.heads else {
      throw Failure(
        .networkTensor,
        "n_head is \(named["n_head"].map { JSONWriter.text($0, .compact) } ?? "missing"); a "
          + "divisor of the hidden size \(sizes.hidden) was expected", file: path.string)
    }
    let activation = try field("activation_function", "gelu_new", \.string)
    guard ["gelu", "gelu_fast", "gelu_new", "gelu_pytorch_tanh"].contains(activation) else {
      throw unsupported("activation_function is \(activation)")
    }
    let h = sizes.hidden
    let base: Float =
      try field("scale_attn_weights", true, \.bool) ? 1 / Float(sizes.headSize).squareRoot() : 1
    let isByLayer = try field("scale_attn_by_inverse_layer_idx", false, \.bool)
    let function = Function(
      activation: activation, epsilon: Float(try field("layer_norm_epsilon", 1e-5, \.number)),
      scales: (0..<sizes.layers).map { isByLayer ? base / Float($0 + 1) : base })
    let tensors = FolderTensors(directory)
    let layers = try (0..<sizes.layers).map { number in
      let name = "h.\(number)"
      return [
        Block(
          firstNorm: try tensors.norm("\(name).ln_1", h),
          attention: try tensors.linear("\(name).attn.c_attn", h, 3 * h),
          projection: try tensors.linear("\(name).attn.c_proj", h, h),
          secondNorm: try tensors.norm("\(name).ln_2", h),
          upward: try tensors.linear("\(name).mlp.c_fc", h, sizes.feedForward),
          downward: try tensors.linear("\(name).mlp.c_proj", sizes.feedForward, h))
      ]
    }
    let words = try tensors.weight("wte.weight", sizes.vocabulary, h)
    var ends = Ends(
      words: words, positions: try tensors.weight("wpe.weight", sizes.positions, h),
      finalNorm: try tensors.norm("ln_f", h))
    if try !field("tie_word_embeddings", true, \.bool) {
      ends.head = try tensors.weight("lm_head.weight", sizes.vocabulary, h)
    } else if directory["lm_head.weight"] != nil {
      // transformers takes such a head for one of its own, or leaves it out: by release.
      guard try tensors.weight("lm_head.weight", sizes.vocabulary, h).isSame(as: words) else {
        throw Failure(
          .networkTensor,
          "it differs from the embedding, but tie_word_embeddings says that it is the same",
          file: path.string, tensor: "lm_head.weight")
      }
    }
    let generation = try? JSONFile.read(directory.path.appending("generation_config.json")).object
    let end = (generation ?? nil)?["eos_token_id"] ?? config["eos_token_id"]
    try self.init(
      sizes, function, layers: layers, ends: [ends],
      endTokens: end?.int.map { [$0] } ?? end?.array?.compactMap(\.int) ?? [], options: options)
  }
}

/// Tensors of a folder under their names with or without the prefix of the model.
private struct FolderTensors {
  private let directory: ModelDirectory

  init(_ directory: ModelDirectory) {
    self.directory = directory
  }

  func weight(_ name: String, _ rows: Int, _ columns: Int) throws(Failure) -> Weight {
    Weight(try elements(name, [rows, columns]), rows: rows, columns: columns)
  }

  func norm(_ name: String, _ count: Int) throws(Failure) -> Network.Norm {
    Network.Norm(
      weight: try elements("\(name).weight", [count]).vector(count),
      bias: try elements("\(name).bias", [count]).vector(count))
  }

  func linear(_ name: String, _ rows: Int, _ columns: Int) throws(Failure) -> Network.Linear {
    Network.Linear(
      weight: try weight("\(name).weight", rows, columns),
      bias: try elements("\(name).bias", [columns]).vector(columns))
  }

  private func elements(
    _ name: String, _ shape: [Int]
  ) throws(Failure) -> SafetensorsElements {
    guard let tensor = directory["transformer.\(name)"] ?? directory[name] else {
      throw Failure(
        .networkTensor, "the model lacks it", file: directory.path.string, tensor: name)
    }
    let file = tensor.file.file
    guard tensor.declared.shape == shape else {
      throw Failure(
        .networkTensor, "its shape is \(tensor.declared.shape); config.json asks for \(shape)",
        file: file.path.string, tensor: name)
    }
    guard let format = FloatFormat(tensor.declared.dtype) else {
      throw Failure(
        .networkUnsupported,
        "its type is \(tensor.declared.dtype.torchName); float16, bfloat16 and float32 are run",
        file: file.path.string, tensor: name)
    }
    return SafetensorsElements(format, name: name, in: file, from: tensor.start)
  }
}

extension Weight {
  /// Whether another matrix has the same bytes.
  fileprivate func isSame(as other: Weight) throws(Failure) -> Bool {
    guard other.format == format else { return false }
    let count = max(1, ByteBuffer.passSize / rowSize)
    let (mine, theirs) = (ByteBuffer(count: count * rowSize), ByteBuffer(count: count * rowSize))
    for first in stride(from: 0, to: rows, by: count) {
      let some = first..<min(first + count, rows)
      try read(some, of: some, into: mine)
      try other.read(some, of: some, into: theirs)
      if mine.firstDifference(0..<some.count * rowSize, from: theirs, at: 0) != nil { return false }
    }
    return true
  }
}
