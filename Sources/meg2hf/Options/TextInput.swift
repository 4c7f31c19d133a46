import ByteIO
import Conversion
import Diagnostics
import JSON
import SystemPackage

/// Text and ids as they are given to commands.
enum TextInput {
  /// What was given, as valid text.
  ///
  /// - Parameters:
  ///   - text: The text itself, if it was an argument.
  ///   - file: The file with it; `-` for standard input.
  ///   - argument: What the argument is called.
  /// - Returns: The text.
  /// - Throws: `Failure` 65, with the offset, for what is not UTF-8.
  static func read(
    _ text: String?, _ file: String?, named argument: String
  ) throws(Failure) -> String {
    let bytes: [UInt8]
    var name = argument
    if let text {
      bytes = Process.bytes(argument: text)
    } else {
      name = file ?? "-"
      do {
        bytes =
          name == "-"
          ? try Process.standardInput()
          : try JSONFile.bytes(Process.path(argument: name))
      } catch let error as Failure {
        throw error
      } catch {
        throw Failure(reading: error, file: FilePath(name))
      }
    }
    guard let valid = String(validating: bytes, as: UTF8.self) else {
      throw Failure(
        .tokenizerText, "it is not UTF-8", file: name, offset: firstBroken(bytes))
    }
    return valid
  }

  /// The offset of the first byte that is not a part of valid UTF-8.
  private static func firstBroken(_ bytes: [UInt8]) -> Int? {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var offset = 0
    while true {
      switch decoder.decode(&iterator) {
      case .scalarValue(let scalar): offset += UTF8.width(scalar)
      case .emptyInput: return nil
      case .error: return offset
      }
    }
  }

  /// The ids in a text, separated by spaces or commas.
  static func ids(_ text: String) throws(Failure) -> [Int] {
    var ids: [Int] = []
    for word in text.split(whereSeparator: { $0.isWhitespace || ",[]".contains($0) }) {
      guard let id = Int(word), id >= 0 else {
        throw Failure(
          .tokenizerText, "\"\(word)\" is not the id of a token",
          hint: "ids are separated by spaces or commas, as in \"15496 11 616\"")
      }
      ids.append(id)
    }
    return ids
  }
}
