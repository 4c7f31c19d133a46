public import Architectures
import ByteIO
public import Diagnostics

/// Which order of query, key and value a text speaks for: the one under which a trained model
/// predicts it best.
///
/// A wrong stamp in a checkpoint cannot be told from its tensors: all orders have the same shapes.
/// Under a wrong one the model is as if it had hardly been trained.
public struct OrderArbitration: Sendable {
  /// What a text says of the evidence.
  public enum Verdict: String, Hashable, Sendable {
    /// The order that the evidence names predicts best.
    case confirmed
    /// Another one does.
    case wrong = "evidence is wrong"
    /// The evidence names none, and one of them does.
    case silent = "evidence is silent"
    /// The text is too short, the model has learnt too little, or two orders are too close.
    case doesNotTell = "does not tell"
  }

  /// The loss under each order.
  public let losses: [(order: QKVOrder, loss: TextLoss)]
  /// The order that the evidence names, if it names one.
  public let evidence: QKVOrder?
  /// The order of the lowest loss; the evidence's own among several that are the same.
  public let best: QKVOrder
  public let verdict: Verdict
  /// Orders that are the same as the best one, as those of heads and of thirds are where each rank
  /// has one head.
  public let alike: [QKVOrder]

  /// Fewer predictions than that, a loss that is not that much below the one of a model that has
  /// learnt nothing, or that little between the best two, prove nothing.
  public static let (leastPredictions, leastGain, leastMargin) = (250, 1.0, 0.25)

  /// Judges the loss of a text.
  ///
  /// - Parameters:
  ///   - losses: The loss under each order.
  ///   - evidence: The order that the evidence names, if it names one.
  ///   - vocabulary: The rows of the vocabulary, of which a model that has learnt nothing takes
  ///     each to be as likely as any other.
  public init(
    _ losses: [(order: QKVOrder, loss: TextLoss)], evidence: QKVOrder?, vocabulary: Int
  ) {
    self.losses = losses
    self.evidence = evidence
    let lowest = losses.map(\.loss.padded).min() ?? .infinity
    let alike = losses.filter { $0.loss.padded == lowest }.map(\.order)
    self.alike = alike
    best = evidence.flatMap { alike.contains($0) ? $0 : nil } ?? alike.first ?? .heads3HN
    let second = losses.map(\.loss.padded).filter { $0 > lowest }.min() ?? lowest
    let predictions = losses.map(\.loss.predictions).min() ?? 0
    guard predictions >= OrderArbitration.leastPredictions,
      lowest <= LogSum.log(Double(vocabulary)) - OrderArbitration.leastGain,
      second - lowest >= OrderArbitration.leastMargin
    else {
      verdict = .doesNotTell
      return
    }
    verdict =
      evidence == nil ? .silent : evidence == best ? .confirmed : .wrong
  }

  /// The losses in words, the lowest first.
  public var words: String {
    losses.sorted { $0.loss.padded < $1.loss.padded }.map {
      "\(decimal($0.loss.padded, places: 4)) as \($0.order.rawValue)"
    }.joined(separator: ", ")
  }

  /// The error of a text that speaks against the evidence, or settles what it leaves open.
  ///
  /// - Parameter file: The checkpoint, for the message.
  /// - Returns: `nil` where the text does neither.
  public func failure(file: String) -> Failure? {
    switch verdict {
    case .confirmed, .doesNotTell: nil
    case .wrong:
      Failure(
        .qkvRefuted,
        "the loss of the text is \(words), but query, key and value would be taken as "
          + "\(evidence?.rawValue ?? "")", file: file,
        hint: "the text speaks for --qkv-layout \(best.rawValue)")
    case .silent:
      Failure(
        .qkvAmbiguous,
        "nothing in the checkpoint names the order of query, key and value; the loss of the text "
          + "is \(words)", file: file, hint: "the text speaks for --qkv-layout \(best.rawValue)")
    }
  }
}
