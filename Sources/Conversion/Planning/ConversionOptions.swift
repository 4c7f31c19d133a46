public import Architectures
public import HuggingFace
public import Safetensors
import Transfer

/// What the user may choose about a conversion.
public struct ConversionOptions: Hashable, Sendable {
  /// What to do about replicas that differ between ranks.
  public enum Replicas: String, Hashable, Sendable, CaseIterable {
    /// Their mean, computed in binary32 and rounded once.
    case mean
    /// What rank 0 has.
    case rank0
    /// An error.
    case strict

    /// What a transfer does with them.
    var rule: Piece.MergeRule {
      switch self {
      case .mean: .mean
      case .rank0: .first
      case .strict: .strict
      }
    }
  }

  /// Which rows of the vocabulary are kept.
  public enum Vocabulary: Hashable, Sendable {
    /// All, padding included: the function that was trained.
    case keep
    /// Those before the padding.
    case trim
    /// So many from the first one on: at least 1, and not more than are stored.
    case rows(Int)
  }

  /// The element type of the output; `nil` for the one that is stored.
  public var dtype: DType?
  /// The order of the query, key and value rows; `nil` for the one that the checkpoint tells.
  public var qkvLayout: QKVOrder?
  /// How many tensor-parallel ranks a tool put together in each file; `nil` for what the checkpoint
  /// says.
  public var mergedRanks: Int?
  /// Whether partitions of two ranks that are bit for bit the same are taken all the same.
  public var acceptsDuplicatedShards = false
  /// What is done about replicas that differ; by default their mean is taken, with a warning.
  public var replicas = Replicas.mean
  /// Which rows of the embedding the output has.
  public var vocabulary = Vocabulary.keep
  /// Whether the names of the tensors begin with a prefix.
  public var keyStyle = KeyStyle.transformer
  /// The largest size of a shard in bytes; `nil` puts all into one file.
  public var maximumShardSize: Int? = 5_000_000_000
  /// What was kept of the run besides its checkpoints.
  public var records: RunRecords?
  /// Lines for the head of the card.
  public var cardHeader: CardHeader?
  /// Whether the event files are copied into the output.
  public var copiesLogs = false
  /// What the model said when it was asked, for the card.
  public var sample: ModelCard.Sample?

  /// Options, of which the usual ones can be given at once.
  ///
  /// - Parameters:
  ///   - dtype: The element type of the output; `nil` for the one that is stored.
  ///   - qkvLayout: The order of the query, key and value rows, where the checkpoint leaves it
  ///     open.
  ///   - vocabulary: Which rows of the vocabulary are kept.
  public init(
    dtype: DType? = nil, qkvLayout: QKVOrder? = nil, vocabulary: Vocabulary = .keep
  ) {
    self.dtype = dtype
    self.qkvLayout = qkvLayout
    self.vocabulary = vocabulary
  }
}
