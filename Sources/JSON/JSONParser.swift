/// A text that is not JSON, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The byte offset in the text.
  public let offset: Int
  public let detail: String

  public var description: String { "\(detail), at byte \(offset)" }
}

/// A strict reader of JSON (RFC 8259): no trailing commas, no comments, no NaN, nothing after the
/// value. Repeated keys are kept, for the caller to judge.
public struct JSONParser {
  private let bytes: [UInt8]
  private var position: Int
  private let maximumDepth: Int

  /// Reads the one value that `text` consists of.
  public static func parse(
    _ text: some Sequence<UInt8>, maximumDepth: Int = 64
  ) throws(JSONError) -> JSONValue {
    var parser = try JSONParser(Array(text), maximumDepth)
    let value = try parser.value(depth: 0)
    try parser.finish()
    return value
  }

  /// Reads the members of the one object that `bytes` consist of, one after the other, without
  /// keeping them.
  ///
  /// - Parameters:
  ///   - bytes: The text.
  ///   - maximumDepth: How many levels of values there may be in each other.
  ///   - body: Called with each member in order, before the rest of the text is looked at.
  /// - Throws: ``JSONError``, or what `body` throws.
  package static func forEachMember(
    of bytes: [UInt8], maximumDepth: Int = 64, _ body: (JSONObject.Member) throws -> Void
  ) throws {
    var parser = try JSONParser(bytes, maximumDepth)
    guard parser.peek == UInt8(ascii: "{") else { throw parser.error("an object was expected") }
    var isFirst = true
    while let member = try parser.nextMember(0, isFirst: isFirst) {
      try body(member)
      isFirst = false
    }
    try parser.finish()
  }

  private init(_ bytes: [UInt8], _ maximumDepth: Int) throws(JSONError) {
    guard (try? UTF8Span(validating: bytes.span)) != nil else {
      throw JSONError(offset: 0, detail: "the text is not UTF-8")
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      throw JSONError(
        offset: 0, detail: "a byte order mark (EF BB BF) stands before the text, where readers stop"
      )
    }
    self.bytes = bytes
    position = 0
    self.maximumDepth = maximumDepth
    skipSpace()
  }

  private mutating func finish() throws(JSONError) {
    skipSpace()
    guard position == bytes.count else { throw error("more text after the end of the value") }
  }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth <= maximumDepth else { throw error("more than \(maximumDepth) levels") }
    switch peek {
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"): return try number()
    case let byte? where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte):
      return try number()
    case nil: throw error("the text ends where a value was expected")
    default: throw error("a value was expected")
    }
  }

  private mutating func object(_ depth: Int) throws(JSONError) -> JSONValue {
    var members: [JSONObject.Member] = []
    while let member = try nextMember(depth, isFirst: members.isEmpty) { members.append(member) }
    return .object(JSONObject(members))
  }

  /// The next member of an object; `nil` at its end.
  private mutating func nextMember(
    _ depth: Int, isFirst: Bool
  ) throws(JSONError) -> JSONObject.Member? {
    if isFirst {
      position += 1
      skipSpace()
      if take(UInt8(ascii: "}")) { return nil }
    } else {
      if take(UInt8(ascii: "}")) { return nil }
      guard take(UInt8(ascii: ",")) else { throw error("a comma or } was expected") }
      skipSpace()
    }
    guard peek == UInt8(ascii: "\"") else { throw error("a key was expected") }
    let key = try string()
    skipSpace()
    guard take(UInt8(ascii: ":")) else { throw error("a colon was expected") }
    skipSpace()
    let value = try value(depth: depth + 1)
    skipSpace()
    return JSONObject.Member(key: key, value: value)
  }

  private mutating func array(_ depth: Int) throws(JSONError) -> JSONValue {
    var elements: [JSONValue] = []
    position += 1
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array([]) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw error("a comma or ] was expected") }
      skipSpace()
    }
  }

  private mutating func string() throws(JSONError) -> String {
    position += 1
    var text: [UInt8] = []
    while let byte = peek {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        position += 1
        text += Array(try escape().utf8)
      case ..<0x20: throw error("a control character in a string")
      default:
        text.append(byte)
        position += 1
      }
    }
    throw error("the text ends inside of a string")
  }

  private mutating func escape() throws(JSONError) -> String {
    guard let byte = peek else { throw error("the text ends inside of a string") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var units = [try codeUnit()]
      if UTF16.isLeadSurrogate(units[0]) {
        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
          throw error("half of a surrogate pair")
        }
        units.append(try codeUnit())
      }
      guard let text = String(validating: units, as: UTF16.self) else {
        throw error("half of a surrogate pair")
      }
      return text
    default: throw error("an unknown escape")
    }
  }

  private mutating func codeUnit() throws(JSONError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 128
      else { throw error("four hexadecimal digits were expected") }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return value
  }

  private mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    _ = take(UInt8(ascii: "-"))
    let integer = digits()
    guard integer > 0 else { throw error("a digit was expected") }
    let first = position - integer
    guard integer == 1 || bytes[first] != UInt8(ascii: "0") else {
      throw error("a number with a leading zero")
    }
    var isInteger = true
    if take(UInt8(ascii: ".")) {
      isInteger = false
      guard digits() > 0 else { throw error("a digit was expected") }
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() > 0 else { throw error("a digit was expected") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    // Minus zero is a number of its own.
    if isInteger, text != "-0", let value = Int(text) { return .int(value) }
    guard let value = Double(text), value.isFinite else { throw error("a number out of range") }
    if isInteger, text != "-0" { return .bigInt(text) }
    return .double(value)
  }

  private mutating func digits() -> Int {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position - start
  }

  private mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    for byte in text.utf8 {
      guard take(byte) else { throw error("\(text) was expected") }
    }
    return value
  }

  private var peek: UInt8? { position < bytes.endIndex ? bytes[position] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
  }

  private func error(_ detail: String) -> JSONError {
    JSONError(offset: position, detail: detail)
  }
}
