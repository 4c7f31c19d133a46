/// Cuts a text into the pieces that are encoded by themselves: contractions, words, numbers, runs
/// of other characters, and white space (the pattern of OpenAI's `encoder.py`, as the `ByteLevel`
/// pre-tokenizer of the tokenizers library carries it out).
///
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
struct PieceScanner {
  /// What the pattern tells characters apart by.
  enum Kind {
    case letter, number, space, other
  }

  /// The kind of a character.
  ///
  /// The tokenizers library knows Unicode 16: characters that were added later count as `other`.
  static func kind(of scalar: Unicode.Scalar) -> Kind {
    switch scalar.value {
    case 0x41...0x5A, 0x61...0x7A: return .letter
    case 0x30...0x39: return .number
    case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
      0x3000:
      return .space
    case ..<0x80: return .other
    default: break
    }
    let properties = scalar.properties
    guard let age = properties.age, age.major <= 16 else { return .other }
    return switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      .letter
    case .decimalNumber, .letterNumber, .otherNumber: .number
    default: .other
    }
  }

  private let bytes: [UInt8]
  private let end: Int
  private var position: Int

  /// A scanner of a part of a text.
  ///
  /// - Parameters:
  ///   - bytes: Valid UTF-8.
  ///   - range: The part, which begins and ends between characters.
  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  /// The next piece; `nil` at the end.
  mutating func next() -> Range<Int>? {
    guard position < end else { return nil }
    let start = position
    position = start + length(at: start)
    return start..<position
  }

  private func length(at start: Int) -> Int {
    if let contraction = contraction(at: start) { return contraction }
    let (first, width) = character(at: start)
    // A word takes one space before it along.
    if bytes[start] == 0x20, start + 1 < end {
      let (kind, _) = character(at: start + 1)
      if kind != .space { return run(of: kind, from: start + 1).end - start }
    }
    guard first == .space else { return run(of: first, from: start).end - start }
    let (stop, last) = run(of: .space, from: start)
    // The last character of a run belongs to what follows.
    return stop == end || last == start ? max(stop - start, width) : last - start
  }

  /// Where a run of characters of one kind ends, and where its last character begins.
  private func run(of kind: Kind, from start: Int) -> (end: Int, last: Int) {
    var (place, last) = (start, start)
    while place < end {
      let (found, width) = character(at: place)
      guard found == kind else { break }
      last = place
      place += width
    }
    return (place, last)
  }

  /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d`.
  private func contraction(at start: Int) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
    switch bytes[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: break
    }
    guard start + 2 < end else { return nil }
    let pair = (bytes[start + 1], bytes[start + 2])
    let (r, v, l, e) = (
      UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"), UInt8(ascii: "e")
    )
    return pair == (r, e) || pair == (v, e) || pair == (l, l) ? 3 : nil
  }

  /// The kind of the character at a place, and its bytes.
  private func character(at place: Int) -> (kind: Kind, width: Int) {
    let first = bytes[place]
    if first < 0x80 { return (PieceScanner.kind(of: Unicode.Scalar(first)), 1) }
    let width = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    var value = UInt32(first) & (width == 2 ? 0x1F : width == 3 ? 0x0F : 0x07)
    for byte in bytes[place + 1..<min(place + width, end)] {
      value = value << 6 | UInt32(byte & 0x3F)
    }
    guard let scalar = Unicode.Scalar(value) else { return (.other, width) }
    return (PieceScanner.kind(of: scalar), width)
  }
}
