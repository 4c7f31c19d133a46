import ByteIO

/// The operands of instructions: numbers, lengths, texts.
extension PickleMachine {
  mutating func uint8() throws(PickleError) -> UInt8 {
    guard let value = reader.uint8() else { throw truncated("a byte") }
    return value
  }

  mutating func uint16() throws(PickleError) -> UInt16 {
    guard let value = reader.uint16() else { throw truncated("2 bytes") }
    return value
  }

  mutating func uint32() throws(PickleError) -> UInt32 {
    guard let value = reader.uint32() else { throw truncated("4 bytes") }
    return value
  }

  mutating func uint64() throws(PickleError) -> UInt64 {
    guard let value = reader.uint64() else { throw truncated("8 bytes") }
    return value
  }

  /// The length of LONG4 and BINSTRING, which is signed.
  mutating func signedLength() throws(PickleError) -> Int {
    let length = Int(Int32(bitPattern: try uint32()))
    guard length >= 0 else { throw error(.badArgument, "a length of \(length)") }
    return length
  }

  /// A length of 8 bytes, which is believed only as far as there are bytes.
  mutating func length64() throws(PickleError) -> Int {
    let length = try uint64()
    guard let exact = Int(exactly: length) else { throw truncated("\(length) bytes") }
    return exact
  }

  /// The range of the next `count` bytes.
  mutating func take(_ count: Int) throws(PickleError) -> Range<Int> {
    guard let range = reader.range(count: count) else { throw truncated("\(count) bytes") }
    guard count <= limits.stringBytes else {
      throw error(.limitString, "a string of \(count) bytes; \(limits.stringBytes) are allowed")
    }
    return range
  }

  /// Puts decoded text aside and gives the range under which the graph finds it.
  mutating func keep(_ bytes: [UInt8]) throws(PickleError) -> Range<Int> {
    // The same text can be decoded again and again.
    guard graph.decoded.count + bytes.count <= 2 * graph.source.count + 1 << 20 else {
      throw error(.limitString, "decoded texts of more than twice the size of the pickle")
    }
    let start = graph.source.count + graph.decoded.count
    graph.decoded += bytes
    return start..<start + bytes.count
  }

  // MARK: - Integers

  /// A little-endian two's complement integer of `count` bytes.
  mutating func long(_ count: Int) throws(PickleError) -> PickleNode {
    guard count <= limits.integerBytes || count > reader.remaining else {
      throw error(.limitInteger, "an integer of \(count) bytes")
    }
    let range = try take(count)
    return integer(graph.source[range]) ?? .bigInt(range)
  }

  /// The value of little-endian two's complement bytes, if it fits into 64 bits.
  private func integer(_ bytes: ArraySlice<UInt8>) -> PickleNode? {
    guard let last = bytes.last else { return .int(0) }
    let filler: UInt8 = last & 0x80 == 0 ? 0 : 0xFF
    var value: UInt64 = filler == 0 ? 0 : .max
    for (position, byte) in bytes.enumerated() {
      if position < 8 {
        value &= ~(0xFF << UInt64(8 * position))
        value |= UInt64(byte) << UInt64(8 * position)
      } else if byte != filler {
        return nil
      }
    }
    let signed = Int(truncatingIfNeeded: value)
    guard (signed < 0) == (filler != 0) else { return nil }
    return .int(signed)
  }

  /// The operand of INT: a decimal line, in which `00` and `01` are booleans.
  mutating func textInt() throws(PickleError) -> PickleNode {
    let line = try textLine()
    if line == "00" { return .bool(false) }
    if line == "01" { return .bool(true) }
    return try decimal(line)
  }

  /// The operand of LONG: a decimal line that may end in L.
  mutating func textLong() throws(PickleError) -> PickleNode {
    var line = try textLine()
    if line.utf8.last == UInt8(ascii: "L") { line.removeLast() }
    return try decimal(line)
  }

  /// A number of decimal digits; one beyond 64 bits keeps them.
  private mutating func decimal(_ text: String) throws(PickleError) -> PickleNode {
    if let value = Int(text) { return .int(value) }
    let digits = text.hasPrefix("-") ? text.utf8.dropFirst() : text.utf8[...]
    guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }) else {
      throw error(.badArgument, "digits were expected")
    }
    guard digits.count <= limits.integerBytes else {
      throw error(.limitInteger, "an integer of \(digits.count) digits")
    }
    return .bigDecimal(try keep(Array(text.utf8)))
  }

  /// The operand of GET and PUT.
  mutating func decimalIndex() throws(PickleError) -> UInt32 {
    guard let index = UInt32(try textLine()) else {
      throw error(.badArgument, "a memo index was expected")
    }
    return index
  }

  /// The operand of FLOAT.
  mutating func textFloat() throws(PickleError) -> PickleNode {
    guard let value = Double(try textLine()) else {
      throw error(.badArgument, "a number was expected")
    }
    return .float(value)
  }

  // MARK: - Texts

  /// A line of UTF-8, without its end.
  mutating func textLine() throws(PickleError) -> String {
    guard let range = reader.line() else { throw truncated("the end of a line") }
    guard range.count <= limits.stringBytes else {
      throw error(.limitString, "a line of \(range.count) bytes")
    }
    guard let text = String(validating: graph.source[range], as: UTF8.self) else {
      throw error(.badText, "a line that is not UTF-8")
    }
    return text
  }

  /// A string as Python 3 writes it: UTF-8, in which surrogates may occur.
  func string(_ range: Range<Int>) throws(PickleError) -> PickleNode {
    guard isText(graph.source[range]) else {
      throw error(.badText, "a string that is not UTF-8")
    }
    return .string(range)
  }

  /// A string as Python 2 writes it: text if it can be, else bytes.
  func oldString(_ range: Range<Int>) -> PickleNode {
    isText(graph.source[range]) ? .string(range) : .bytes(range)
  }

  /// The operand of STRING: a quoted line with backslash escapes.
  mutating func textString() throws(PickleError) -> PickleNode {
    guard let range = reader.line() else { throw truncated("the end of a line") }
    let line = graph.source[range]
    guard line.count >= 2, let quote = line.first, quote == line.last,
      quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
    else { throw error(.badArgument, "a quoted string was expected") }
    guard let bytes = unescape(line.dropFirst().dropLast()) else {
      throw error(.badArgument, "a broken escape in a string")
    }
    let kept = try keep(bytes)
    return isText(bytes[...]) ? .string(kept) : .bytes(kept)
  }

  /// The operand of UNICODE: a line in raw-unicode-escape, that is Latin-1 with \u and \U escapes.
  mutating func textUnicode() throws(PickleError) -> PickleNode {
    guard let range = reader.line() else { throw truncated("the end of a line") }
    var text: [UInt8] = []
    var rest = graph.source[range]
    while let byte = rest.popFirst() {
      let width = rest.first == UInt8(ascii: "u") ? 4 : rest.first == UInt8(ascii: "U") ? 8 : 0
      if byte == UInt8(ascii: "\\"), width > 0 {
        guard let code = hexadecimalValue(rest.dropFirst().prefix(width), width: width),
          code <= 0x10FFFF
        else { throw error(.badArgument, "a broken escape in a string") }
        rest = rest.dropFirst(1 + width)
        text += encode(code)
      } else {
        text += encode(UInt32(byte))
      }
    }
    return .string(try keep(text))
  }

  /// Resolves the escapes of a Python string literal.
  private func unescape(_ line: ArraySlice<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var rest = line
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        result.append(byte)
        continue
      }
      guard let escape = rest.popFirst() else { return nil }
      switch escape {
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "x"):
        guard let code = hexadecimalValue(rest.prefix(2), width: 2) else { return nil }
        rest = rest.dropFirst(2)
        result.append(UInt8(truncatingIfNeeded: code))
      case UInt8(ascii: "0")...UInt8(ascii: "7"):
        var code = Int(escape - 48)
        for _ in 0..<2 {
          guard let digit = rest.first, (48...55).contains(digit) else { break }
          code = code * 8 + Int(digit - 48)
          rest.removeFirst()
        }
        result.append(UInt8(truncatingIfNeeded: code))
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(escape)
      default: result += [byte, escape]
      }
    }
    return result
  }

  private func hexadecimalValue(_ digits: ArraySlice<UInt8>, width: Int) -> UInt32? {
    guard digits.count == width, digits.first != UInt8(ascii: "+") else { return nil }
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  /// The UTF-8 form of a code point; surrogates are encoded like any other.
  private func encode(_ code: UInt32) -> [UInt8] {
    func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: code >> shift) & 0x3F }
    return switch code {
    case ..<0x80: [UInt8(code)]
    case ..<0x800: [0xC0 | UInt8(code >> 6), tail(0)]
    case ..<0x10000: [0xE0 | UInt8(code >> 12), tail(6), tail(0)]
    default: [0xF0 | UInt8(truncatingIfNeeded: code >> 18), tail(12), tail(6), tail(0)]
    }
  }

  /// Whether bytes are UTF-8, apart from surrogates, which Python lets pass.
  private func isText(_ bytes: ArraySlice<UInt8>) -> Bool {
    if String(validating: bytes, as: UTF8.self) != nil { return true }
    var plain: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
      if byte == 0xED, let next = rest.first, next >= 0xA0, rest.count >= 2,
        (0x80...0xBF).contains(next), (0x80...0xBF).contains(rest[rest.startIndex + 1])
      {
        rest = rest.dropFirst(2)
        plain.append(UInt8(ascii: "?"))
      } else {
        plain.append(byte)
      }
    }
    return String(validating: plain, as: UTF8.self) != nil
  }
}
