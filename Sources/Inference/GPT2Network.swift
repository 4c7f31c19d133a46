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
    let path = directory.path.appending("config.json")
    guard let config = try JSONFile.read(path).object else {
      throw Failure(.configSyntax, "a JSON object was expected", file: path.string)
    }
    func unsupported(_ message: String) -> Failure {
      Failure(.networkUnsupported, message, file: path.string)
    }
    if let type = config["model_type"]?.string, type != "gpt2" {
      throw unsupported("model_type is \(type); only gpt2 is run")
    }
    guard config["add_cross_attention"]?.bool != true else {
      throw unsupported("add_cross_attention is true")
    }
    let family = GPT2()
    var named = config
    for (alias, name) in family.format.aliases where named[name] == nil {
      if let value = named[alias] { named[name] = value }
    }
    guard let sizes = family.sizes(config: named), sizes.layers > 0,
      sizes.hidden % max(named["n_head"]?.int ?? 0, 1) == 0, sizes.positions > 0,
      sizes.vocabulary > 0
    else {
      throw Failure(
        .networkTensor, "its sizes are missing or make no sense", file: path.string)
    }
    let activation = config["activation_function"]?.string ?? "gelu_new"
    guard ["gelu", "gelu_fast", "gelu_new", "gelu_pytorch_tanh"].contains(activation) else {
      throw unsupported("activation_function is \(activation)")
    }
    self.sizes = sizes
    self.activation = activation
    self.threads = max(1, threads)
    epsilon = Float(config["layer_norm_epsilon"]?.number ?? 1e-5)
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
      config["scale_attn_weights"]?.bool == false ? 1 : 1 / Float(sizes.headSize).squareRoot()
    let isByLayer = config["scale_attn_by_inverse_layer_idx"]?.bool == true
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
    let isTied = config["tie_word_embeddings"]?.bool ?? true
    head = isTied ? words : try reader.matrix("lm_head.weight", sizes.vocabulary, h)
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
