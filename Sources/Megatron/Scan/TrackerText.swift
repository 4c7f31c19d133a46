/// The text of a tracker file such as `latest`: trainers write ASCII, people and
/// Windows leave byte order marks, UTF-16, carriage returns and quotes.
enum TrackerText {
  /// The first line that is not empty, without white space and quotes around it.
  static func firstLine(_ bytes: [UInt8]) -> String {
    let lines = text(bytes).split(whereSeparator: \.isNewline).map(trimmed)
    return lines.first { !$0.isEmpty } ?? ""
  }

  private static func text(_ bytes: [UInt8]) -> String {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      return String(decoding: bytes.dropFirst(3), as: UTF8.self)
    }
    if bytes.starts(with: [0xFF, 0xFE]) { return utf16(bytes.dropFirst(2), isBigEndian: false) }
    if bytes.starts(with: [0xFE, 0xFF]) { return utf16(bytes.dropFirst(2), isBigEndian: true) }
    // UTF-16 without a mark: every other byte of a name is zero.
    if bytes.count >= 2, bytes.count.isMultiple(of: 2), bytes.contains(0) {
      if bytes[1] == 0, bytes[0] != 0 { return utf16(bytes[...], isBigEndian: false) }
      if bytes[0] == 0, bytes[1] != 0 { return utf16(bytes[...], isBigEndian: true) }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func utf16(_ bytes: ArraySlice<UInt8>, isBigEndian: Bool) -> String {
    var units: [UInt16] = []
    var rest = bytes
    while let first = rest.popFirst(), let second = rest.popFirst() {
      units.append(
        isBigEndian
          ? UInt16(first) << 8 | UInt16(second) : UInt16(second) << 8 | UInt16(first))
    }
    return String(decoding: units, as: UTF16.self)
  }

  private static func trimmed(_ line: Substring) -> String {
    func isOutside(_ character: Character) -> Bool {
      character.isWhitespace || ["\"", "'"].contains(character)
        || character.unicodeScalars.allSatisfy {
          // Control characters, and those without width.
          $0.properties.generalCategory == .control || $0.properties.generalCategory == .format
        }
    }
    var line = line.drop(while: isOutside)
    while let last = line.last, isOutside(last) { line.removeLast() }
    return String(line)
  }
}
