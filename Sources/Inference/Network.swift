public import Architectures
import ByteIO
import Diagnostics

/// A model of the GPT-2 kind that is run in binary32, whatever its weights are stored in.
///
/// One description serves both sides of a conversion: a folder of transformers is one rank whose
/// weights are [in, out]; a checkpoint has as many as tensor parallelism, whose weights are [out,
/// in], and a residual stream for each, as in training. No weight is ever joined, transposed or
/// permuted: activations are divided and summed instead.
///
/// ```swift
/// let network = try Network(of: ModelDirectory(reading: "hf/gpt2"))
/// let logits = try network.logits(of: [15496, 11, 616])
/// ```
///
/// Results do not depend on the number of threads, on the processor, on how many tokens are
/// computed at once, or on how many of the weights lie in memory.
public final class Network: Sendable {
  /// What a model computes besides its sizes and weights.
  struct Function: Sendable {
    /// The name of the function of the feed-forward layers in transformers.
    var activation: String
    /// What layer norms add to the variance.
    var epsilon: Float
    /// What attention scores are multiplied with, in each layer.
    var scales: [Float]
    /// How the rows of query, key and value lie.
    var order = QKVOrder.thirds
    /// How many ranks were put together in those of each rank, where they lie in thirds.
    var mergedRanks = 1
    /// Whether weights are [out, in], as PyTorch keeps them.
    var isLinear = false
  }

  /// Weight and bias of a layer norm.
  struct Norm: Sendable {
    let weight: FloatRows
    let bias: FloatRows
  }

  /// Weight and bias of a linear layer; without a bias, nothing is added.
  struct Linear: Sendable {
    var weight: Weight
    let bias: FloatRows?
  }

  /// What a rank has of a layer.
  struct Block: Sendable {
    let firstNorm: Norm
    var attention: Linear
    var projection: Linear
    let secondNorm: Norm
    var upward: Linear
    var downward: Linear
  }

  /// What a rank has of the rest: its rows of the vocabulary, and the positions.
  struct Ends: Sendable {
    var words: Weight
    var positions: Weight
    let finalNorm: Norm
    /// The rows of the head, if it is not the embedding.
    var head: Weight?
  }

  /// The sizes, with all rows of the embedding.
  public let sizes: ModelSizes
  /// The element type of the embedding, by the name that PyTorch has for it.
  public let dtype: String
  /// The tokens that end a text, as the folder says; several are possible.
  public let endTokens: [Int]
  /// How many bytes of weights lie in memory, and how many are read each time.
  public let residentBytes: Int
  public let streamedBytes: Int
  let function: Function
  /// The ranks of each layer.
  let layers: [[Block]]
  let ends: [Ends]
  let multiplier: Multiplier

  /// The name of the function of the feed-forward layers, by the name that transformers has for it.
  public var activation: String { function.activation }
  /// How many tensor-parallel ranks there are.
  public var ranks: Int { ends.count }
  /// The heads of a rank.
  var rankHeads: Int { sizes.heads / ranks }
  /// The room of a head in rows of queries, keys and values.
  var headRoom: Int { (sizes.headSize + 15) / 16 * 16 }

  /// Puts a model together, and reads as many weights as memory is granted for.
  ///
  /// - Throws: `Failure` for weights that cannot be read, or `Interrupted`.
  init(
    _ sizes: ModelSizes, _ function: Function, layers: [[Block]], ends: [Ends],
    endTokens: [Int] = [], options: Options
  ) throws {
    self.sizes = sizes
    self.function = function
    self.endTokens = endTokens
    dtype = ends[0].words.format.torchName
    var loader = WeightLoader(options)
    var (ends, layers) = (ends, layers)
    // The head is used with every token, and so is every layer.
    for rank in ends.indices {
      var head = ends[rank].head ?? ends[rank].words
      try loader.load(&head)
      if ends[rank].head == nil { ends[rank].words = head } else { ends[rank].head = head }
    }
    for layer in layers.indices {
      for rank in layers[layer].indices {
        try loader.load(&layers[layer][rank].attention.weight)
        try loader.load(&layers[layer][rank].projection.weight)
        try loader.load(&layers[layer][rank].upward.weight)
        try loader.load(&layers[layer][rank].downward.weight)
      }
    }
    self.layers = layers
    self.ends = ends
    (residentBytes, streamedBytes) = (loader.resident, loader.streamed)
    multiplier = Multiplier(threads: options.threads, rowSize: loader.rowSize)
  }
}

extension Network {
  /// How a model is run.
  public struct Options: Hashable, Sendable {
    /// How many threads share the work.
    public var threads = 1
    /// How many bytes of weights may be held in memory; `nil` for all. The others are read again
    /// for each pass.
    public var memory: Int?

    /// The usual options, with a number of threads.
    public init(threads: Int = 1, memory: Int? = nil) {
      self.threads = threads
      self.memory = memory
    }
  }

  /// Reads weights into memory as long as there is room.
  private struct WeightLoader {
    private(set) var resident = 0
    private(set) var streamed = 0
    /// The size of the longest row.
    private(set) var rowSize = 0
    private var left: Int

    init(_ options: Options) {
      left = options.memory ?? .max
    }

    mutating func load(_ weight: inout Weight) throws {
      try Interrupted.check()
      rowSize = max(rowSize, weight.rowSize)
      guard weight.size <= left else {
        streamed += weight.size
        return
      }
      try weight.load()
      resident += weight.size
      left -= weight.size
    }
  }
}
