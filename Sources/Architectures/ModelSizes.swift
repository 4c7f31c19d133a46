/// The sizes of a model, and the shapes of its tensors that follow from them.
public struct ModelSizes: Hashable, Sendable {
  public let layers: Int
  public let hidden: Int
  public let heads: Int
  public let feedForward: Int
  public let positions: Int
  /// Rows of the embedding.
  public let vocabulary: Int

  public init(
    layers: Int, hidden: Int, heads: Int, feedForward: Int, positions: Int, vocabulary: Int
  ) {
    self.layers = layers
    self.hidden = hidden
    self.heads = heads
    self.feedForward = feedForward
    self.positions = positions
    self.vocabulary = vocabulary
  }

  /// The size of a head.
  public var headSize: Int { hidden / heads }

  /// The size of a dimension over all ranks.
  public func size(_ dimension: TensorRule.Dimension) -> Int {
    switch dimension {
    case .hidden: hidden
    case .qkv: 3 * hidden
    case .feedForward: feedForward
    case .vocabulary: vocabulary
    case .positions: positions
    }
  }

  /// The shape of a source tensor over all ranks.
  public func sourceShape(_ rule: TensorRule) -> [Int] { rule.shape.map(size) }

  /// The shape that one of some ranks holds of a source tensor.
  public func shardShape(_ rule: TensorRule, ranks: Int) -> [Int] {
    var shape = sourceShape(rule)
    switch rule.partition {
    case .vocabulary, .column: shape[0] /= ranks
    case .row: shape[1] /= ranks
    case .replicated: break
    }
    return shape
  }

  /// The shape of a target tensor.
  public func targetShape(_ rule: TensorRule) -> [Int] {
    rule.isTransposed ? sourceShape(rule).reversed() : sourceShape(rule)
  }
}
