import ByteIO
public import Diagnostics
public import SystemPackage

/// Lines for the head of a model card, between its `---`: YAML of which only the top-level keys are
/// read.
public struct CardHeader: Hashable, Sendable {
  /// The lines of each key, in their order.
  private var parts: [(key: String, lines: [String])] = []

  /// No lines.
  public static let none = CardHeader()

  private init() {}

  /// What every card has.
  static func own(tags: [String]) -> CardHeader {
    var header = CardHeader()
    header.parts = [
      ("library_name", ["library_name: transformers"]),
      ("pipeline_tag", ["pipeline_tag: text-generation"]),
      ("tags", ["tags:"] + tags.map { "- \($0)" }),
    ]
    return header
  }

  private static let maximumSize = 64 << 10

  /// Reads a file of such lines.
  ///
  /// - Throws: `Failure` 64 for a line `---`, a tab at the start of a line, a key twice, or more
  ///   than 64 KiB; 66 for a file that cannot be read.
  public init(reading path: FilePath) throws(Failure) {
    let text: String
    do {
      let file = try InputFile(opening: path)
      guard file.size <= CardHeader.maximumSize else {
        throw Failure(
          .cardHeader, "\(file.size) bytes; \(CardHeader.maximumSize) are allowed",
          file: path.string)
      }
      text = String(decoding: try file.read(at: 0, count: file.size), as: UTF8.self)
    } catch {
      throw Failure(reading: error, file: path.string)
    }
    func wrong(_ number: Int, _ message: String) -> Failure {
      Failure(.cardHeader, "line \(number + 1): \(message)", file: path.string)
    }
    // By scalars: to Swift a carriage return and a line feed are one character.
    let bare = text.unicodeScalars.filter { $0 != "\r" && $0 != "\u{FEFF}" }
    let lines = bare.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    for (number, line) in lines.enumerated() {
      let isBlank = line.allSatisfy(\.isWhitespace)
      guard !isBlank || !parts.isEmpty else { continue }
      if line.hasPrefix("---") || line.hasPrefix("...") {
        throw wrong(number, "\"\(line.prefix(3))\" would end the head of the card")
      }
      if line.hasPrefix("\t") {
        throw wrong(number, "it begins with a tab, which YAML does not take")
      }
      if let key = CardHeader.key(line) {
        guard !parts.contains(where: { $0.key == key }) else {
          throw wrong(number, "\"\(key)\" is there twice")
        }
        if key == "tags", !line.dropFirst(5).allSatisfy(\.isWhitespace) {
          throw wrong(number, "tags are read as a list with a line for each, after \"tags:\"")
        }
        parts.append((key, [line]))
      } else if parts.isEmpty, !line.hasPrefix("#") {
        throw wrong(number, "\"key: value\" was expected")
      } else if !parts.isEmpty, !isBlank {
        parts[parts.count - 1].lines.append(line)
      }
    }
  }

  /// The key of a line at the top level.
  private static func key(_ line: String) -> String? {
    guard let first = line.unicodeScalars.first, first.isASCII,
      first == "_" || first.properties.isAlphabetic,
      let end = line.firstIndex(of: ":")
    else { return nil }
    let key = line[..<end]
    let isKey = key.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-".contains($0)) }
    return isKey ? String(key) : nil
  }

  /// Whether it names a licence.
  var hasLicense: Bool { parts.contains { $0.key == "license" } }

  /// The lines of both: those of `own` of which this one has none come first, then all of this one.
  /// Lists of tags become one.
  package func merged(with own: CardHeader) -> String {
    var lines: [String] = []
    let tags = parts.first { $0.key == "tags" }?.lines ?? []
    for part in own.parts {
      if part.key == "tags", tags.first?.dropFirst(5).allSatisfy(\.isWhitespace) == true {
        func bare(_ line: String) -> String { line.filter { !" -'\"".contains($0) } }
        let own = Set(part.lines.map(bare))
        let items = tags.dropFirst().map { String($0.drop { $0 == " " }) }
        lines += part.lines + items.filter { !own.contains(bare($0)) }
      } else if !parts.contains(where: { $0.key == part.key }) {
        lines += part.lines
      }
    }
    for part in parts where part.key != "tags" || !lines.contains("tags:") { lines += part.lines }
    return lines.joined(separator: "\n")
  }

  public static func == (a: CardHeader, b: CardHeader) -> Bool {
    a.parts.map(\.lines) == b.parts.map(\.lines)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(parts.map(\.lines))
  }
}
