public import Architectures
public import ByteIO
public import Diagnostics
public import Megatron
public import Transfer

/// What a conversion makes, and all that was concluded for it: the transfer as plain data, the
/// sizes and settings of the model, and the decisions with their reasons.
@dynamicMemberLookup
public struct ConversionPlan: Sendable {
  /// Which stored bytes go where in which file, as plain data.
  public let transfer: TransferPlan
  /// The family of the model.
  public let architecture: any Architecture
  /// The sizes of the output.
  public let sizes: ModelSizes
  /// Rows of the embedding as stored, padding included.
  public let paddedVocabulary: Int
  /// Whether the head is the embedding.
  public let isTied: Bool
  /// The order of the query, key and value rows, and how it is known.
  public let qkv: QKVEvidence
  /// What `config.json` says.
  public let configuration: ModelConfiguration
  /// The element type of the output.
  public let format: FloatFormat
  /// What the user chose, as it was given.
  public let options: ConversionOptions
  /// The records of the run beside the checkpoint.
  public let recordCheck: RecordCheck?
  /// What was concluded, with its reasons, in the order in which it is shown.
  public let decisions: [Decision]
  /// What the user should know before a tensor is read.
  public let warnings: [Diagnostic]

  /// Rows of the vocabulary in the output.
  public var vocabulary: Int { sizes.vocabulary }

  /// The function of the feed-forward layers, and how it is known.
  public var activation: Decision? {
    configuration.decisions.first { $0.name == "activation_function" }
  }

  /// A part of ``transfer``, as if it were one of the plan itself.
  public subscript<Value>(dynamicMember part: KeyPath<TransferPlan, Value>) -> Value {
    transfer[keyPath: part]
  }
}
