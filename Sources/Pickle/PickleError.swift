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
    /// More instructions than ``PickleLimits/opcodes``.
    case limitOpcodes = "limit/opcodes"
    /// More values than ``PickleLimits/nodes``, or too many copied between containers.
    case limitNodes = "limit/nodes"
    /// More containers than ``PickleLimits/containers``.
    case limitContainers = "limit/containers"
    /// More values put into containers than ``PickleLimits/items``.
    case limitItems = "limit/items"
    /// More values, or marks, on the stack than ``PickleLimits/stack``.
    case limitStack = "limit/stack"
    /// More slots of the memo than ``PickleLimits/memo``.
    case limitMemo = "limit/memo"
    /// An integer of more bytes, or digits, than ``PickleLimits/integerBytes``.
    case limitInteger = "limit/integer"
    /// A string of more bytes than ``PickleLimits/stringBytes``, or too many bytes in all texts.
    case limitString = "limit/string"
  }

  /// The kind of fault, apart from where it is.
  public let code: Code
  /// The offset of the instruction in the pickle.
  public let offset: Int
  /// What was found and what was expected.
  public let detail: String

  /// An error of the instruction at `offset`; `detail` becomes the beginning of the message.
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
