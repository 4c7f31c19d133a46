public import ByteIO
public import Diagnostics
public import Megatron
public import Transfer

/// What a conversion makes, and all that was concluded for it: the transfer as plain data, the sizes and
/// settings of the model, and the decisions with their reasons.
@dynamicMemberLookup
public struct ConversionPlan: Hashable, Sendable {
  public let transfer: TransferPlan
  public let geometry: GPT2Geometry
  public let qkv: QKVEvidence
  public let settings: GPT2Settings
  /// Rows of the vocabulary in the output.
  public let vocabulary: Int
  /// The element type of the output.
  public let format: FloatFormat
  public let options: ConversionOptions
  /// What was concluded, with its reasons, in the order in which it is shown.
  public let decisions: [Decision]
  public let warnings: [Diagnostic]

  /// The function of the feed-forward layers.
  public var activation: GPT2Activation { settings.activation }

  public subscript<Value>(dynamicMember part: KeyPath<TransferPlan, Value>) -> Value {
    transfer[keyPath: part]
  }
}
