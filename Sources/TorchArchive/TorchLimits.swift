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
  public var tensorNames = 120_000
  /// Containers inside each other on the way to a tensor.
  public var depth = 1_000
  /// How much larger a tensor may be than its storage, besides 1 GiB: expanded views take no room
  /// in a file.
  public var expansion = 64

  /// The defaults, each of which can be changed.
  public init() {}

  /// The limits by the names under which a user can raise them.
  public static let names:
    [(name: String, limit: any WritableKeyPath<TorchLimits, Int> & Sendable)] = [
      ("opcodes", \.pickle.opcodes), ("nodes", \.pickle.nodes),
      ("containers", \.pickle.containers), ("items", \.pickle.items), ("stack", \.pickle.stack),
      ("memo", \.pickle.memo), ("integer-bytes", \.pickle.integerBytes),
      ("string-bytes", \.pickle.stringBytes), ("entries", \.entries),
      ("pickle-bytes", \.pickleBytes), ("inflation-ratio", \.inflationRatio),
      ("names", \.tensorNames),
      ("depth", \.depth), ("expansion", \.expansion),
    ]

  /// Sets a limit by its name.
  ///
  /// - Returns: `false` when there is no limit of that name.
  public mutating func set(_ name: String, to value: Int) -> Bool {
    guard let limit = TorchLimits.names.first(where: { $0.name == name })?.limit else {
      return false
    }
    self[keyPath: limit] = value
    return true
  }
}
