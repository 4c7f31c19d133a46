public import Pickle

/// How much a file may make the reader do.
public struct TorchLimits: Hashable, Sendable {
  /// What the pickle may make the machine do.
  public var pickle = PickleLimits()
  /// Entries of the archive.
  public var entries = 1_000_000
  /// Bytes of `data.pkl`, inflated. A tensor takes some 100 bytes.
  public var pickleBytes = 64 << 20
  /// How many times larger than its deflated form `data.pkl` may be, above 16 MiB.
  public var inflationRatio = 100
  /// Names of tensors; one tensor may have several.
  public var names = 1_000_000
  /// Containers inside each other on the way to a tensor.
  public var depth = 1_000
  /// How much larger a tensor may be than its storage, besides 1 GiB: expanded views take no room
  /// in a file.
  public var expansion = 64

  public init() {}
}
