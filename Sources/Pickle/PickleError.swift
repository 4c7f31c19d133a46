/// A pickle that cannot be read, and where.
public struct PickleError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong. The raw values appear in machine-readable output.
  public enum Code: String, Hashable, Sendable {
    /// The bytes end inside an instruction or before STOP.
    case truncated = "pickle/truncated"
    /// An instruction finds too little on the stack, or a mark in its way.
    case stack = "pickle/stack"
    /// A memo slot is read that was never written.
    case memo = "pickle/memo"
    /// An instruction is applied to a value of the wrong type.
    case type = "pickle/type"
    /// An operand makes no sense: a negative length, characters that are not digits.
    case badArgument = "pickle/bad-argument"
    /// A text is not UTF-8.
    case badText = "pickle/bad-text"
    /// A persistent id given as text, as in protocol 0.
    case persistentText = "pickle/persid"
    /// No such instruction, or one that needs something outside the pickle.
    case unsupportedOpcode = "pickle/unsupported-opcode"
    /// A protocol above 5.
    case unsupportedProtocol = "pickle/unsupported-protocol"
    case limitOpcodes = "limit/opcodes"
    case limitNodes = "limit/nodes"
    case limitContainers = "limit/containers"
    case limitItems = "limit/items"
    case limitStack = "limit/stack"
    case limitMemo = "limit/memo"
    case limitInteger = "limit/integer"
    case limitString = "limit/string"
  }

  public let code: Code
  /// The offset of the instruction in the pickle.
  public let offset: Int
  /// What was found and what was expected.
  public let detail: String

  public init(_ code: Code, at offset: Int, _ detail: String) {
    self.code = code
    self.offset = offset
    self.detail = detail
  }

  public var description: String { "\(detail), at byte \(offset) of the pickle" }

  public static func == (a: PickleError, b: PickleError) -> Bool {
    a.code == b.code && a.offset == b.offset
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(offset)
  }
}
