/// How much a pickle may make the machine do.
///
/// A genuine checkpoint of 2,500 tensors in one file takes some 60,000 instructions and 40,000
/// nodes, so the defaults leave room for a hundred times that.
public struct PickleLimits: Hashable, Sendable {
  /// Instructions that are carried out.
  public var opcodes = 50_000_000
  /// Values that are made; each takes some 30 bytes of memory.
  public var nodes = 2_000_000
  /// Lists, tuples, sets, dictionaries and objects; each takes some 250 bytes.
  public var containers = 800_000
  /// Values that are put into containers, each time counted.
  public var items = 8_000_000
  /// Values on the stack, and marks on the stack.
  public var stack = 1_000_000
  /// Slots of the memo.
  public var memo = 4_000_000
  /// Bytes of one integer.
  public var integerBytes = 1 << 16
  /// Bytes of one string.
  public var stringBytes = 1 << 28

  /// The defaults, each of which can be changed.
  public init() {}
}
