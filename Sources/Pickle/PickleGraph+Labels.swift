import ByteIO

extension PickleGraph {
  /// How many values a label shows, and how deep it looks into them.
  private static let labelParts = 64
  private static let labelDepth = 8

  /// A text for a value of any kind that tells it from every other one, for keys that are shown.
  ///
  /// Texts stand as they are, without quotes; inside of other values they have quotes. Bytes and
  /// lone surrogates are escaped, so that nothing becomes U+FFFD. A value that is too large to be
  /// shown ends in its position in the graph.
  public func label(_ id: NodeID) -> String {
    if case .string(let range) = self[id] { return escaped(range) }
    var parts = PickleGraph.labelParts
    let text = label(id, depth: PickleGraph.labelDepth, parts: &parts)
    return parts > 0 ? text : "\(text)#\(id.index)"
  }

  private func label(_ id: NodeID, depth: Int, parts: inout Int) -> String {
    parts -= 1
    guard depth > 0, parts > 0 else {
      parts = 0
      return "..."
    }
    func list(_ items: [NodeID]) -> String {
      var texts: [String] = []
      for item in items {
        guard parts > 0 else { break }
        texts.append(label(item, depth: depth - 1, parts: &parts))
      }
      return texts.joined(separator: ", ")
    }
    switch self[id] {
    case .none: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .int(let value): return "\(value)"
    case .bigDecimal(let range): return String(decoding: bytes(range), as: UTF8.self)
    case .bigInt(let range): return "0x" + hexadecimal(bytes(range).reversed())
    case .float(let value): return "\(value)"
    case .string(let range): return "'\(escaped(range))'"
    case .bytes(let range):
      return "b'" + bytes(range).prefix(256).map(PickleGraph.escaped).joined() + "'"
        + (range.count > 256 ? "#\(id.index)" : "")
    case .list(let index): return "[\(list(sequences[index]))]"
    case .tuple(let index): return "(\(list(sequences[index])))"
    case .set(let index), .frozenSet(let index): return "{\(list(sequences[index]))}"
    case .dict(let index):
      var texts: [String] = []
      for entry in dictionaries[index].entries {
        guard parts > 0 else { break }
        let key = label(entry.key, depth: depth - 1, parts: &parts)
        texts.append("\(key): \(label(entry.value, depth: depth - 1, parts: &parts))")
      }
      return "{\(texts.joined(separator: ", "))}"
    case .global(let index): return globals[index].description
    case .persistent: return "persistent#\(id.index)"
    case .object(let index):
      let object = objects[index]
      var text = global(object.callable)?.description ?? "object"
      text += "(\(list(tuple(object.arguments) ?? [])))"
      if let state = object.state { text += label(state, depth: depth - 1, parts: &parts) }
      return text
    }
  }

  private static func escaped(_ byte: UInt8) -> String {
    switch byte {
    case UInt8(ascii: "\\"), UInt8(ascii: "'"): "\\" + String(UnicodeScalar(byte))
    case 0x20..<0x7F: String(UnicodeScalar(byte))
    default: "\\x" + hexadecimal([byte])
    }
  }

  /// A text in which lone surrogates are written as `\udc80`, and a backslash that could be taken
  /// for the beginning of such an escape is doubled.
  private func escaped(_ range: Range<Int>) -> String {
    let raw = bytes(range)
    let backslash = UInt8(ascii: "\\")
    guard raw.contains(0xED) || raw.contains(backslash) else {
      return String(decoding: raw, as: UTF8.self)
    }
    var result: [UInt8] = []
    var rest = raw
    while let byte = rest.popFirst() {
      if byte == 0xED, rest.count >= 2, let second = rest.first, second >= 0xA0 {
        let third = rest[rest.startIndex + 1]
        let code = 0xD000 | UInt32(second & 0x3F) << 6 | UInt32(third & 0x3F)
        result += Array("\\u\(String(code, radix: 16))".utf8)
        rest = rest.dropFirst(2)
      } else {
        if byte == backslash, rest.first == UInt8(ascii: "u") || rest.first == backslash {
          result.append(backslash)
        }
        result.append(byte)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
