/// How a tensor is divided among the tensor-parallel ranks (Megatron `mpu/layers.py`).
public enum Partition: String, Hashable, Sendable {
  /// Rows of the vocabulary.
  case vocabulary
  /// The output dimension: rows, as PyTorch stores a linear layer.
  case column = "column-parallel"
  /// The input dimension: columns, as PyTorch stores a linear layer.
  case row = "row-parallel"
  /// Every rank has all of it.
  case replicated
  /// Every rank has a summand of all of it (GPT-NeoX with a parallel residual, whose ranks each add
  /// a bias of their own).
  case summed

  /// Whether each rank has a part of its own.
  public var isDivided: Bool { self != .replicated && self != .summed }

  /// Whether each rank has some of the rows.
  public var isByRows: Bool { self == .vocabulary || self == .column }
}

/// One row of an architecture's table: what a tensor is called in Megatron and in transformers, and
/// how it gets there.
///
/// ```swift
/// TensorRule(
///   "layers.*.self_attention.query_key_value.weight", .column, rows: .fused(as: .thirds),
///   transposed: true, "h.*.attn.c_attn.weight", [.qkv, .hidden])
/// ```
public struct TensorRule: Hashable, Sendable {
  /// What a dimension counts.
  public enum Dimension: Hashable, Sendable {
    case hidden, vocabulary, positions, feedForward
    /// The gate and the upward projection of a gated feed-forward layer.
    case twoFeedForward
    /// The channels of all queries.
    case query
    /// The channels of all queries, keys and values.
    case qkv
    /// The channels of all keys and values.
    case keyValue
    /// The channels of a head.
    case headSize
  }

  /// A part of a fused projection.
  public enum Part: String, Hashable, Sendable {
    case query, key, value
    /// The same of a projection that keys and values share.
    case keyOfTwo = "key of two"
    case valueOfTwo = "value of two"
    /// The first and the second half of each rank's rows, as a gated layer has them.
    case firstHalf = "first half"
    case secondHalf = "second half"
  }

  /// Which rows of the source the target has, and in which order.
  public enum Rows: Hashable, Sendable {
    case asStored
    /// Those of query, key and value, brought into one order over all ranks.
    case fused(as: QKVOrder)
    /// Some of those of a fused projection, which is the source of several rules.
    case part(Part)
  }

  /// What stands for a tensor that the checkpoint does not have.
  public enum Presence: Hashable, Sendable {
    /// Nothing: it is missing.
    case required
    /// Zeros, where no block has one of its kind: a bias that the model was trained without.
    case zeros
    /// Nothing at all, where no block has one of its kind: the configuration says so.
    case optional
    /// Zeros where another tensor is there, by its name in Megatron, and nothing at all elsewhere:
    /// a bias that goes with another one in transformers alone.
    case zerosBeside(String)
    /// Another tensor, by its target name, is used in its place.
    case tied(to: String)

    /// Whether it is zeros wherever it is missing.
    package var isZeros: Bool {
      if case .zerosBeside = self { true } else { false }
    }
  }

  /// What the tensor is.
  public enum Role: Hashable, Sendable {
    case weight
    case bias
    /// The weight of a norm, which may be stored as its distance from 1.
    case norm
  }

  /// The name in Megatron; `*` is the number of the block.
  public let source: String
  public let partition: Partition
  public let rows: Rows
  /// Whether the two axes are exchanged: some layers of transformers multiply from the other side
  /// (`Conv1D`).
  public let isTransposed: Bool
  /// The name in transformers, without the prefix of the model; `*` is the number of the block.
  public let target: String
  /// The shape in Megatron over all ranks.
  public let shape: [Dimension]
  public let presence: Presence
  public let role: Role

  /// A row of a table.
  public init(
    _ source: String, _ partition: Partition, rows: Rows = .asStored, transposed: Bool = false,
    _ target: String, _ shape: [Dimension], presence: Presence = .required, role: Role = .weight
  ) {
    self.source = source
    self.partition = partition
    self.rows = rows
    isTransposed = transposed
    self.target = target
    self.shape = shape
    self.presence = presence
    self.role = role
  }

  /// Whether there is one in each block.
  public var isOfBlock: Bool { source.contains("*") }

  /// What becomes of the rows and axes, for people and for documents.
  public var arrangement: String {
    switch (rows, isTransposed) {
    case (.asStored, false): "unchanged"
    case (.asStored, true): "transposed"
    case (.fused, false): "qkv"
    case (.fused, true): "qkv, transposed"
    case (.part(let part), false): part.rawValue
    case (.part(let part), true): "\(part.rawValue), transposed"
    }
  }
}
