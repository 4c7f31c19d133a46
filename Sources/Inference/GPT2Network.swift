public import Architectures
import ByteIO
public import Diagnostics
public import HuggingFace
import JSON
import Safetensors
import SystemPackage
import Transfer

/// GPT-2 as transformers computes it, in binary32 whatever the weights are stored in
/// (transformers `models/gpt2/modeling_gpt2.py`).
///
/// ```swift
/// let network = try GPT2Network(ModelDirectory(reading: "hf/gpt2"))
/// let logits = try network.logits(of: [15496, 11, 616])
/// ```
///
/// All weights are held in memory, as they are stored. Results do not depend on the number of
/// threads, on the processor, or on how many tokens are computed at once.
public final class GPT2Network: Sendable {
  /// Weight and bias of a layer norm.
  struct Norm {
    let weight: FloatRows
    let bias: FloatRows
  }

  /// Weight and bias of a layer that multiplies from the other side.
  struct Conv {
    let weight: WeightMatrix
    let bias: FloatRows
  }

  struct Layer {
    let firstNorm: Norm
    let attention: Conv
    let projection: Conv
    let secondNorm: Norm
    let upward: Conv
    let downward: Conv
    let scale: Float
  }

  public let sizes: ModelSizes
  /// The name of the function of the feed-forward layers.
  public let activation: String
  /// The element type of the embedding, by the name that PyTorch has for it.
  public let dtype: String
  /// The token that ends a text, as the folder says; several are possible.
  public let endTokens: [Int]
  let epsilon: Float
  let layers: [Layer]
  let words: WeightMatrix
  let positions: WeightMatrix
  let finalNorm: Norm
  let head: WeightMatrix
  /// How many threads share the work.
  let threads: Int

  /// The room of a head in rows of queries, keys and values.
  var headRoom: Int { (sizes.headSize + 15) / 16 * 16 }

  /// Reads a model into memory.
  ///
  /// - Parameters:
  ///   - directory: The folder of the model.
  ///   - threads: How many threads share the work.
  /// - Throws: ``Failure`` 69 for a model that is not GPT-2, or a function that is not known, 65
  ///   for tensors that are missing or do not fit, 66 for a folder without `config.json`.
  public init(_ directory: ModelDirectory, threads: Int = 1) throws(Failure) {
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
    self.sizes = sizes
    self.activation = activation
    self.threads = max(1, threads)
    epsilon = Float(try field("layer_norm_epsilon", 1e-5, \.number))
    let reader = TensorLoader(directory)
    let h = sizes.hidden
    words = try reader.matrix("wte.weight", sizes.vocabulary, h)
    positions = try reader.matrix("wpe.weight", sizes.positions, h)
    func norm(_ name: String) throws(Failure) -> Norm {
      Norm(
        weight: try reader.vector("\(name).weight", h), bias: try reader.vector("\(name).bias", h))
    }
    func conv(_ name: String, _ rows: Int, _ columns: Int) throws(Failure) -> Conv {
      Conv(
        weight: try reader.matrix("\(name).weight", rows, columns),
        bias: try reader.vector("\(name).bias", columns))
    }
    let base: Float =
      try field("scale_attn_weights", true, \.bool) ? 1 / Float(sizes.headSize).squareRoot() : 1
    let isByLayer = try field("scale_attn_by_inverse_layer_idx", false, \.bool)
    var layers: [Layer] = []
    for number in 0..<sizes.layers {
      let name = "h.\(number)"
      layers.append(
        Layer(
          firstNorm: try norm("\(name).ln_1"),
          attention: try conv("\(name).attn.c_attn", h, 3 * h),
          projection: try conv("\(name).attn.c_proj", h, h),
          secondNorm: try norm("\(name).ln_2"),
          upward: try conv("\(name).mlp.c_fc", h, sizes.feedForward),
          downward: try conv("\(name).mlp.c_proj", sizes.feedForward, h),
          scale: isByLayer ? base / Float(number + 1) : base))
    }
    self.layers = layers
    finalNorm = try norm("ln_f")
    if try field("tie_word_embeddings", true, \.bool) {
      head = words
      // transformers takes such a head for one of its own, or leaves it out: by release.
      if directory["lm_head.weight"] != nil {
        let other = try reader.matrix("lm_head.weight", sizes.vocabulary, h)
        guard other.format == words.format,
          words.buffer.firstDifference(0..<words.buffer.count, from: other.buffer, at: 0) == nil
        else {
          throw Failure(
            .networkTensor,
            "it differs from the embedding, but tie_word_embeddings says that it is the same",
            file: path.string, tensor: "lm_head.weight")
        }
      }
    } else {
      head = try reader.matrix("lm_head.weight", sizes.vocabulary, h)
    }
    dtype = words.format.torchName
    let generation = try? JSONFile.read(directory.path.appending("generation_config.json")).object
    let end = (generation ?? nil)?["eos_token_id"] ?? config["eos_token_id"]
    endTokens = end?.int.map { [$0] } ?? end?.array?.compactMap(\.int) ?? []
  }
}

/// Reads tensors of a folder under their names with or without the prefix of the model.
struct TensorLoader {
  private let directory: ModelDirectory

  init(_ directory: ModelDirectory) {
    self.directory = directory
  }

  /// A matrix as it is stored.
  func matrix(_ name: String, _ rows: Int, _ columns: Int) throws(Failure) -> WeightMatrix {
    let (buffer, format) = try read(name, [rows, columns])
    return WeightMatrix(buffer, format, rows: rows, columns: columns)
  }

  /// A vector, widened.
  func vector(_ name: String, _ count: Int) throws(Failure) -> FloatRows {
    let (buffer, format) = try read(name, [count])
    let rows = FloatRows(1, width: count)
    WeightMatrix(buffer, format, rows: 1, columns: count).add(row: 0, to: rows, 0)
    return rows
  }

  private func read(
    _ name: String, _ shape: [Int]
  ) throws(Failure) -> (ByteBuffer, FloatFormat) {
    guard let tensor = directory["transformer.\(name)"] ?? directory[name] else {
      throw Failure(
        .networkTensor, "the model lacks it", file: directory.path.string, tensor: name)
    }
    let file = tensor.file.file.path.string
    guard tensor.declared.shape == shape else {
      throw Failure(
        .networkTensor, "its shape is \(tensor.declared.shape); config.json asks for \(shape)",
        file: file, tensor: name)
    }
    guard let format = FloatFormat(tensor.declared.dtype) else {
      throw Failure(
        .networkUnsupported,
        "its type is \(tensor.declared.dtype.torchName); float16, bfloat16 and float32 are run",
        file: file, tensor: name)
    }
    let count = shape.reduce(1, *)
    let buffer = ByteBuffer(count: count * format.size)
    do {
      try tensor.file.file.read(at: tensor.start, into: buffer, 0..<buffer.count)
    } catch {
      throw Failure(reading: error, file: tensor.file.file.path)
    }
    guard buffer.countNonFinite(count, as: format, at: 0) == FloatCounts() else {
      throw Failure(
        .networkNotFinite, "it holds values that are not finite", file: file, tensor: name)
    }
    return (buffer, format)
  }
}
