/// The sizes of a model, and the shapes of its tensors that follow from them.
public struct ModelSizes: Hashable, Sendable {
  public let layers: Int
  public let hidden: Int
  /// Heads of queries.
  public let heads: Int
  /// Heads of keys, and as many of values.
  public let keyValueHeads: Int
  /// The channels of a head.
  public let headSize: Int
  public let feedForward: Int
  public let positions: Int
  /// Rows of the embedding.
  public var vocabulary: Int

  /// Sizes; without their own, there are as many keys as queries, which share the hidden size.
  public init(
    layers: Int, hidden: Int, heads: Int, keyValueHeads: Int? = nil, headSize: Int? = nil,
    feedForward: Int, positions: Int, vocabulary: Int
  ) {
    self.layers = layers
    self.hidden = hidden
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize ?? hidden / max(heads, 1)
    self.feedForward = feedForward
    self.positions = positions
    self.vocabulary = vocabulary
  }

  /// The ratio of width to depth that model cards state.
  public var ratio: Int { hidden / max(layers, 1) }

  /// How many heads of queries share a head of keys and values.
  public var queriesPerGroup: Int { heads / max(keyValueHeads, 1) }

  /// The size of a dimension over all ranks.
  public func size(_ dimension: TensorRule.Dimension) -> Int {
    switch dimension {
    case .hidden: hidden
    case .query: heads * headSize
    case .qkv: (heads + 2 * keyValueHeads) * headSize
    case .keyValue: 2 * keyValueHeads * headSize
    case .headSize: headSize
    case .feedForward: feedForward
    case .twoFeedForward: 2 * feedForward
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
    case .replicated, .summed: break
    }
    return shape
  }

  /// The shape of a target tensor.
  public func targetShape(_ rule: TensorRule) -> [Int] {
    var shape = sourceShape(rule)
    switch rule.rows {
    case .asStored, .fused: break
    case .part(.query): shape[0] = heads * headSize
    case .part(.key), .part(.value), .part(.keyOfTwo), .part(.valueOfTwo):
      shape[0] = keyValueHeads * headSize
    case .part(.firstHalf), .part(.secondHalf): shape[0] /= 2
    }
    return rule.isTransposed ? shape.reversed() : shape
  }

  /// The number of elements of the targets of some rules.
  public func parameterCount(_ rules: [RuleTable.Applied]) -> Int {
    rules.reduce(0) { $0 + targetShape($1.rule).reduce(1, *) }
  }
}
