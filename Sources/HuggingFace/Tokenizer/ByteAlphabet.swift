/// The characters that stand for bytes in the vocabulary of a byte-level BPE (OpenAI `encoder.py`,
/// `bytes_to_unicode`): visible characters of Latin-1 stand for themselves, the other bytes, in
/// ascending order, for U+0100 and those after it.
enum ByteAlphabet {
  /// The character of each byte.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? Unicode.Scalar(byte)
      }
    }
  }()

  /// The byte of each character.
  private static let bytes = Dictionary(
    uniqueKeysWithValues: characters.enumerated().map { ($0.element, UInt8($0.offset)) })

  /// The bytes that a token stands for; of one with another character, such as an added token,
  /// those of its text.
  static func bytes(of token: String) -> [UInt8] {
    var result: [UInt8] = []
    for character in token.unicodeScalars {
      guard let byte = bytes[character] else { return Array(token.utf8) }
      result.append(byte)
    }
    return result
  }
}
