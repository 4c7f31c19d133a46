package import Architectures
import ByteIO
package import Diagnostics
package import SystemPackage

/// Settings as GPT-NeoX's files have them: YAML that looks like JSON, with comments, commas at the
/// end, quotes of both kinds and plain words. Nested mappings are passed over.
///
/// A parser of all of YAML would bring Foundation along, which doubles the executable, for anchors,
/// tags and folded texts that these files do not have.
package struct SettingsText {
  /// The settings by their names, with underscores.
  package private(set) var values: [String: ArgumentValue] = [:]
  private let bytes: [UInt8]
  private var position = 0

  /// Larger files are refused before they are read.
  private static let maximumSize = 1 << 20
  private static let maximumDepth = 32

  /// Reads a file.
  ///
  /// - Throws: `Failure` 65 with the line of what cannot be read.
  package init(_ path: FilePath) throws(Failure) {
    do {
      let file = try InputFile(opening: path)
      guard file.size <= SettingsText.maximumSize else {
        throw Failure(
          .limitJSONSize, "\(file.size) bytes; \(SettingsText.maximumSize) are allowed",
          file: path.string)
      }
      try self.init(try file.read(at: 0, count: file.size), named: path.string)
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  package init(_ bytes: [UInt8], named name: String) throws(Failure) {
    self.bytes = bytes
    skipSpace()
    let isFlow = take("{")
    while true {
      skipSpace()
      if isFlow, take("}") { break }
      if position >= bytes.count {
        guard !isFlow else { throw wrong("the end of the file", "}", name) }
        break
      }
      if take(",") { continue }
      let isTop = isFlow || column == 0
      let key = try settingName(name)
      // What is indented belongs to a mapping that is passed over.
      let value = try value(depth: 0, isFlow: isFlow, name)
      if isTop, let value {
        values[key.replacing("-", with: "_")] = value
      }
    }
  }

  // MARK: - Values

  /// A name, up to and with its colon.
  private mutating func settingName(_ file: String) throws(Failure) -> String {
    let start = position
    guard let name = scalarText(endingAt: ":"), take(":") else {
      position = start
      throw wrong(excerpt, "a setting (name: value)", file)
    }
    return name
  }

  private mutating func value(
    depth: Int, isFlow: Bool, _ name: String
  ) throws(Failure) -> ArgumentValue? {
    guard depth < SettingsText.maximumDepth else { throw wrong(excerpt, "fewer brackets", name) }
    skipBlanks()
    if take("{") {
      while true {
        skipSpace()
        if take("}") { return nil }
        if take(",") { continue }
        _ = try settingName(name)
        _ = try value(depth: depth + 1, isFlow: true, name)
      }
    }
    if take("[") {
      var items: [ArgumentValue] = []
      while true {
        skipSpace()
        if take("]") { return .list(items) }
        if take(",") { continue }
        guard position < bytes.count else { throw wrong("the end of the file", "]", name) }
        if let item = try value(depth: depth + 1, isFlow: true, name) { items.append(item) }
      }
    }
    // Nothing on the line: a mapping in the lines below.
    if position >= bytes.count || bytes[position] == UInt8(ascii: "\n") { return nil }
    let isQuoted = bytes[position] == UInt8(ascii: "\"") || bytes[position] == UInt8(ascii: "'")
    guard let text = scalarText(endingAt: isFlow ? ",]}" : "") else {
      throw wrong(excerpt, "a value", name)
    }
    return isQuoted ? .string(text) : SettingsText.scalar(text)
  }

  private static func scalar(_ text: String) -> ArgumentValue {
    switch text {
    case "true", "True", "TRUE": .bool(true)
    case "false", "False", "FALSE": .bool(false)
    case "null", "None", "~", "": .none
    default: Int(text).map { .int($0) } ?? Double(text).map { .double($0) } ?? .string(text)
    }
  }

  /// A quoted text, or what stands before one of some characters, a comment or the end of the line.
  private mutating func scalarText(endingAt ends: String) -> String? {
    guard position < bytes.count else { return nil }
    let quote = bytes[position]
    if quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
      guard let end = bytes[(position + 1)...].firstIndex(of: quote) else { return nil }
      let text = String(decoding: bytes[(position + 1)..<end], as: UTF8.self)
      position = end + 1
      skipBlanks()
      return text
    }
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "\n"),
      !ends.utf8.contains(bytes[position])
    {
      if bytes[position] == UInt8(ascii: "#"), position == start || isBlank(bytes[position - 1]) {
        break
      }
      position += 1
    }
    var end = position
    while end > start, isBlank(bytes[end - 1]) { end -= 1 }
    return end > start ? String(decoding: bytes[start..<end], as: UTF8.self) : nil
  }

  // MARK: - Characters

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }

  private mutating func skipBlanks() {
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "#") {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
      } else if isBlank(bytes[position]) {
        position += 1
      } else {
        return
      }
    }
  }

  private mutating func skipSpace() {
    while true {
      skipBlanks()
      guard position < bytes.count else { return }
      if bytes[position] == UInt8(ascii: "\n") {
        position += 1
      } else if bytes[position...].starts(with: "---".utf8), column == 0 {
        position += 3
      } else {
        return
      }
    }
  }

  private var column: Int {
    let start = bytes[..<position].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return position - start
  }

  private var excerpt: String {
    let rest = bytes[position...].prefix(40).prefix { $0 != UInt8(ascii: "\n") }
    return String(decoding: rest, as: UTF8.self)
  }

  private func wrong(_ found: String, _ expected: String, _ name: String) -> Failure {
    let line = bytes[..<position].count { $0 == UInt8(ascii: "\n") } + 1
    return Failure(
      .argumentsConfig, "\"\(found)\" at line \(line), where \(expected) was expected", file: name,
      offset: position, hint: "write the settings that matter as JSON: {\"rotary_pct\": 0.25, ...}")
  }
}
