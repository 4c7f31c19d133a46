/// Writes JSON as other programs of the field write it, so that equal contents are equal bytes.
public enum JSONWriter {
  /// How a text is laid out.
  public enum Layout: Hashable, Sendable {
    /// Without spaces, characters beyond ASCII as they are: the header of a safetensors file.
    case compact
    /// Python's `json.dumps(indent=2, sort_keys=True) + "\n"`: `config.json` and its like.
    case sorted
    /// Indented, members in the order given, with a final line feed.
    case indented
  }

  /// The text of `value`.
  public static func text(_ value: JSONValue, _ layout: Layout) -> String {
    var result = ""
    write(value, layout, indent: 0, into: &result)
    if layout != .compact { result += "\n" }
    return result
  }

  private static func write(
    _ value: JSONValue, _ layout: Layout, indent: Int, into text: inout String
  ) {
    switch value {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += "\(value)"
    case .bigInt(let value): text += value
    // Swift prints the same digits as Python's repr; JSON has no word for what is not finite.
    case .double(let value): text += value.isFinite ? "\(value)" : "null"
    case .string(let value): quote(value, ascii: layout != .compact, into: &text)
    case .array(let elements):
      list("[", "]", elements, layout, indent, into: &text) { element, text in
        write(element, layout, indent: indent + 1, into: &text)
      }
    case .object(let object):
      let members =
        layout == .sorted
        ? object.members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        : object.members
      list("{", "}", members, layout, indent, into: &text) { member, text in
        quote(member.key, ascii: layout != .compact, into: &text)
        text += layout == .compact ? ":" : ": "
        write(member.value, layout, indent: indent + 1, into: &text)
      }
    }
  }

  private static func list<Element>(
    _ open: String, _ close: String, _ elements: [Element], _ layout: Layout, _ indent: Int,
    into text: inout String, _ body: (Element, inout String) -> Void
  ) {
    text += open
    for (index, element) in elements.enumerated() {
      if index > 0 { text += "," }
      if layout != .compact { text += "\n" + String(repeating: "  ", count: indent + 1) }
      body(element, &text)
    }
    if layout != .compact, !elements.isEmpty {
      text += "\n" + String(repeating: "  ", count: indent)
    }
    text += close
  }

  private static func quote(_ value: String, ascii: Bool, into text: inout String) {
    text += "\""
    // Nearly all texts need no escapes.
    if value.utf8.allSatisfy({ (0x20..<0x7F).contains($0) && $0 != 0x22 && $0 != 0x5C }) {
      text += value
      text += "\""
      return
    }
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{C}": text += "\\f"
      case _ where scalar.value < 0x20 || ascii && scalar.value >= 0x7F:
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
