import Architectures
import ByteIO

/// Continues tokens by the most likely one, again and again.
public struct GreedyText {
  /// One token that was chosen.
  public struct Step: Hashable, Sendable {
    public let id: Int
    public let logit: Double
    /// The logarithm of its probability among those that can be chosen.
    public let logProbability: Double
    /// How much less likely the second best was, as a difference of logits.
    public let gap: Double
    /// The best ones with their logits and logarithms of probabilities, as many as were asked for.
    public let top: [Candidate]
  }

  /// A token that could be chosen.
  public struct Candidate: Hashable, Sendable {
    public let id: Int
    public let logit: Double
    public let logProbability: Double
  }

  /// Why no more tokens follow.
  public enum End: String, Hashable, Sendable {
    /// As many as were asked for.
    case length
    /// A stop token.
    case stop
    /// The model has no more positions.
    case positions
  }

  /// How a text is continued.
  public struct Options: Hashable, Sendable {
    /// The most new tokens.
    public var maximum = 20
    /// Tokens that end the text.
    public var stop: Set<Int> = []
    /// How many rows of the vocabulary can be chosen; `nil` for all. Padding is trained, but never
    /// wanted.
    public var rows: Int?
    /// How many candidates each step lists.
    public var top = 0

    /// The usual options.
    public init() {}
  }

  /// A gap below that may be decided by the arithmetic alone.
  public static let nearTie = 1e-4

  public private(set) var steps: [Step] = []
  public private(set) var end = End.length
  /// Seconds that the prompt took.
  public private(set) var promptSeconds = 0.0

  /// Continues a prompt.
  ///
  /// - Parameters:
  ///   - prompt: The tokens.
  ///   - network: The model.
  ///   - options: How it is continued.
  ///   - said: Called with each new token.
  /// - Throws: `Failure` 64 for a prompt that the model cannot take, 65 for values that are not
  ///   finite, or `Interrupted`.
  public init(
    after prompt: [Int], by network: Network, options: Options = Options(),
    said: (Step) -> Void = { _ in }
  ) throws {
    let capacity = min(prompt.count + options.maximum, network.sizes.positions)
    let cache = KeyValueCache(for: network, capacity: max(capacity, prompt.count))
    let started = Process.monotonicSeconds
    var logits = try network.lastLogits(of: prompt, after: cache)
    promptSeconds = Process.monotonicSeconds - started
    let rows = max(1, min(options.rows ?? network.sizes.vocabulary, network.sizes.vocabulary))
    while steps.count < options.maximum {
      let step = GreedyText.choose(logits[0].prefix(rows), options.top)
      steps.append(step)
      said(step)
      if options.stop.contains(step.id) {
        end = .stop
        return
      }
      guard cache.count < network.sizes.positions else {
        end = .positions
        return
      }
      guard steps.count < options.maximum else { return }
      logits = try network.lastLogits(of: [step.id], after: cache)
    }
  }

  /// The best of some logits; the first of several that are equal.
  private static func choose(_ logits: ArraySlice<Float>, _ count: Int) -> Step {
    var order: [Int] = []
    let wanted = max(count, 2)
    for (id, logit) in logits.enumerated() {
      if order.count == wanted, let last = order.last, logits[last] >= logit { continue }
      let place = order.firstIndex { logits[$0] < logit } ?? order.count
      order.insert(id, at: place)
      if order.count > wanted { order.removeLast() }
    }
    let total = LogSum.of(logits)
    let best = order[0]
    let second = order.count > 1 ? logits[order[1]] : -.infinity
    return Step(
      id: best, logit: Double(logits[best]), logProbability: Double(logits[best]) - total,
      gap: Double(logits[best]) - Double(second),
      top: order.prefix(count).map {
        Candidate(
          id: $0, logit: Double(logits[$0]), logProbability: Double(logits[$0]) - total)
      })
  }
}
