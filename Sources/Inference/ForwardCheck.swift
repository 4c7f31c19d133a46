import Architectures
import ByteIO
import Diagnostics

/// Compares what two networks compute of the same tokens: a model and the checkpoint that it was
/// made of.
///
/// A comparison of bytes recomputes the output by the rules that made it, so that a wrong rule
/// agrees with itself. This one shares no rule of theirs. What it does not see: what both sides
/// take from the same place (the order of query, key and value, the activation, the number of
/// heads), the key's bias, which softmax takes out again, and rows of the embeddings that were not
/// used.
public struct ForwardCheck: Sendable {
  /// Where the two sides begin to differ.
  public struct Place: Hashable, Sendable {
    /// The layer; `nil` outside of layers.
    public let layer: Int?
    public let part: String
  }

  /// The tokens, and the rows of the position embedding that they were run at, spread over the
  /// whole table.
  public let ids: [Int]
  public let positions: [Int]
  /// The logits of a token that were compared.
  public let vocabulary: Int
  /// Whether the weights are the same numbers on both sides, so that only sums differ in order.
  public let isExact: Bool
  /// The largest and the mean difference of logits, in float32's own units.
  public private(set) var largest = 0.0
  public private(set) var mean = 0.0
  /// The mean divergence of the distributions (Kullback and Leibler), in nats, as far as positive.
  public private(set) var divergence = 0.0
  /// The share of tokens after which both sides find the same token the most likely.
  public private(set) var agreement = 0.0
  /// Where the residual streams begin to differ by more than a ten-thousandth of their scale; `nil`
  /// where they do nowhere.
  public private(set) var place: Place?
  private var isWithinLimit = true

  /// Whether the two compute the same.
  ///
  /// With the same numbers on both sides, no logit may differ by more than 1e-5 and two millionths
  /// of the largest one. Where numbers were rounded, or replicas averaged, the most likely token
  /// has to be the same in 99 of 100 cases, one aside, and the distributions may diverge by 1e-3.
  public var passes: Bool {
    guard !isExact else { return isWithinLimit }
    let odd = (Double(ids.count) * (1 - agreement)).rounded()
    return odd <= max(1, Double(ids.count) / 100) && divergence <= 1e-3
  }

  /// Tokens as they come when none are given: the same each time, and spread over the vocabulary.
  public static func tokens(_ count: Int, below vocabulary: Int, seed: UInt64 = 1) -> [Int] {
    var state = seed
    return (0..<count).map { _ in
      // SplitMix64
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = state
      value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
      return Int((value ^ value >> 31) % UInt64(max(vocabulary, 1)))
    }
  }

  /// Runs both sides, layer by layer.
  ///
  /// - Parameters:
  ///   - output: The model that was made.
  ///   - source: The checkpoint.
  ///   - ids: The tokens.
  ///   - isExact: Whether the weights are the same numbers on both sides.
  ///   - progress: Called with how many of all steps are done.
  /// - Throws: `Failure` 64 for tokens that the models lack, 65 for sizes that differ or values
  ///   that are not finite, 74 for weights that cannot be read, or `Interrupted`.
  public init(
    _ output: Network, _ source: Network, ids: [Int], isExact: Bool,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    let count = min(output.sizes.positions, source.sizes.positions)
    guard output.sizes.layers == source.sizes.layers, output.sizes.hidden == source.sizes.hidden,
      ids.count <= count
    else {
      throw Failure(
        ids.count > count ? .networkPrompt : .networkTensor,
        ids.count > count
          ? "\(ids.count) tokens are more than the model has positions, \(count)"
          : "the output has \(output.sizes.layers) layers of \(output.sizes.hidden), the "
            + "checkpoint \(source.sizes.layers) of \(source.sizes.hidden)")
    }
    self.ids = ids
    self.isExact = isExact
    vocabulary = min(output.sizes.vocabulary, source.sizes.vocabulary)
    positions = ids.indices.map { $0 * (count - 1) / max(1, ids.count - 1) }
    let total = 2 * output.sizes.layers + 1
    let (x, y) = (try output.embed(ids, at: positions), try source.embed(ids, at: positions))
    compare(x, y, Place(layer: nil, part: "the embedding"))
    for layer in 0..<output.sizes.layers {
      try Interrupted.check()
      try output.attend(layer, x, output.keysAndValues(ids.count))
      try source.attend(layer, y, source.keysAndValues(ids.count))
      compare(x, y, Place(layer: layer, part: "attention"))
      progress(2 * layer + 1, total)
      try Interrupted.check()
      try output.feedForward(layer, x)
      try source.feedForward(layer, y)
      compare(x, y, Place(layer: layer, part: "the feed-forward layer"))
      progress(2 * layer + 2, total)
    }
    try compareLogits(
      output, output.normalized(x, output.ends.map(\.finalNorm)),
      source, source.normalized(y, source.ends.map(\.finalNorm)))
    progress(total, total)
  }

  /// Compares the residual streams.
  private mutating func compare(_ x: [FloatRows], _ y: [FloatRows], _ here: Place) {
    guard place == nil else { return }
    var (difference, scale): (Float, Float) = (0, 0)
    for row in 0..<ids.count {
      for (a, b) in zip(x[0][row], y[0][row]) {
        difference = max(difference, abs(a - b))
        scale = max(scale, abs(b))
      }
    }
    if difference > 1e-4 * scale { place = here }
  }

  /// Compares the logits, some tokens at a time.
  private mutating func compareLogits(
    _ output: Network, _ x: [FloatRows], _ source: Network, _ y: [FloatRows]
  ) throws {
    var (sum, equal) = (0.0, 0)
    for first in stride(from: 0, to: ids.count, by: 64) {
      let rows = first..<min(first + 64, ids.count)
      let (mine, theirs) = (try output.logits(of: x, rows), try source.logits(of: y, rows))
      for row in 0..<rows.count {
        let (a, b) = (mine[row].prefix(vocabulary), theirs[row].prefix(vocabulary))
        var largest: Float = 0
        for (a, b) in zip(a, b) {
          largest = max(largest, abs(a - b))
          sum += Double(abs(a - b))
        }
        self.largest = max(self.largest, Double(largest))
        if Double(largest) > 1e-5 + 2e-6 * Double(b.map(abs).max() ?? 0) { isWithinLimit = false }
        let (p, q) = (LogSum.of(b), LogSum.of(a))
        divergence += zip(a, b).reduce(0.0) { total, pair in
          let (a, b) = (Double(pair.0) - q, Double(pair.1) - p)
          return total + LogSum.exp(b) * (b - a)
        }
        if a.firstIndex(of: a.max() ?? 0) == b.firstIndex(of: b.max() ?? 0) { equal += 1 }
      }
    }
    mean = sum / Double(max(1, ids.count * vocabulary))
    divergence = max(0, divergence / Double(max(1, ids.count)))
    agreement = Double(equal) / Double(max(1, ids.count))
    if place == nil, !passes {
      place = Place(layer: nil, part: "the last layer norm or the head")
    }
  }
}
