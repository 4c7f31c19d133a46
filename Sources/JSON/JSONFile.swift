import ByteIO
public import Diagnostics
public import SystemPackage

/// Small JSON files that others wrote.
public enum JSONFile {
  /// Larger files are refused before they are read.
  public static let maximumSize = 64 << 20

  /// The value in a file.
  ///
  /// - Throws: `Failure` 66 or 65.
  public static func read(_ path: FilePath) throws(Failure) -> JSONValue {
    try parse(bytes(path), path)
  }

  /// The bytes of a file.
  package static func bytes(_ path: FilePath) throws(Failure) -> [UInt8] {
    do {
      let file = try InputFile(opening: path)
      guard file.size <= maximumSize else {
        throw Failure(
          .limitJSONSize, "\(file.size) bytes; \(maximumSize) are allowed",
          file: path.string)
      }
      return try file.read(at: 0, count: file.size)
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  package static func parse(_ bytes: [UInt8], _ path: FilePath) throws(Failure) -> JSONValue {
    do {
      return try JSONParser.parse(bytes)
    } catch {
      let (line, column) = place(of: error.offset, in: bytes)
      throw Failure(
        .jsonSyntax, "\(error.detail), at line \(line), column \(column)",
        file: path.string, offset: error.offset)
    }
  }

  /// The line and the column of a byte, counted from 1 as editors do.
  private static func place(of offset: Int, in bytes: [UInt8]) -> (line: Int, column: Int) {
    let newline = UInt8(ascii: "\n")
    let before = bytes.prefix(offset)
    let start = before.lastIndex(of: newline).map { $0 + 1 } ?? 0
    let text = String(decoding: before[start...], as: UTF8.self)
    return (before.count { $0 == newline } + 1, text.unicodeScalars.count + 1)
  }
}
