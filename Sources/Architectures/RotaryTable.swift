/// The angles of rotary positions as a checkpoint keeps them beside its weights
/// (Megatron-DeepSpeed, `args.rotary_pos_emb`).
public struct RotaryTable: Hashable, Sendable {
  /// The element type, by torch's name without `torch.`.
  public let dtype: String
  /// The base that its first frequencies follow; `nil` where they follow none.
  public let base: Double?

  /// How many channels of a head are turned; `nil` where the table does not tell.
  public let channels: Int?

  /// A table.
  public init(dtype: String, base: Double?, channels: Int? = nil) {
    self.dtype = dtype
    self.base = base
    self.channels = channels
  }
}
