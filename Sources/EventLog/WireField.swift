/// A field of a protobuf message.
///
/// The format has four kinds of values that are still written: a varint, 8 bytes, 4 bytes, and a
/// length with that many bytes (protobuf, "Encoding").
struct WireField {
  enum Kind: UInt8 {
    case varint = 0
    case eight = 1
    case bytes = 2
    case four = 5
  }

  let number: UInt64
  let kind: Kind
  /// The varint, or the bits of the 4 or 8 bytes.
  let bits: UInt64
  /// Where the bytes lie; empty for the other kinds.
  let range: Range<Int>

  /// The bytes, if it is of that kind.
  var bytes: Range<Int>? { kind == .bytes ? range : nil }
  /// The varint, as the signed number of 64 bits that it stands for.
  var int: Int? { kind == .varint ? Int(truncatingIfNeeded: bits) : nil }

  /// Calls `body` with each field of the message in `range`, in order.
  ///
  /// - Returns: Whether the message could be read to its end.
  @inline(__always)
  static func forEach(
    of bytes: Span<UInt8>, in range: Range<Int>, _ body: (WireField) -> Void
  ) -> Bool {
    var position = range.lowerBound
    while position < range.upperBound {
      guard let key = varint(bytes, &position, range.upperBound),
        let kind = Kind(rawValue: UInt8(key & 7)), key >> 3 > 0
      else { return false }
      var (value, content) = (UInt64(0), position..<position)
      switch kind {
      case .varint:
        guard let number = varint(bytes, &position, range.upperBound) else { return false }
        value = number
      case .bytes:
        guard let count = varint(bytes, &position, range.upperBound),
          count <= UInt64(range.upperBound - position)
        else { return false }
        content = position..<position + Int(count)
        position = content.upperBound
      case .eight, .four:
        let size = kind == .eight ? 8 : 4
        guard size <= range.upperBound - position else { return false }
        value = littleEndian(bytes, position, size)
        position += size
      }
      body(WireField(number: key >> 3, kind: kind, bits: value, range: content))
    }
    return true
  }

  /// A varint of at most 10 bytes; what is beyond 64 bits is cut off, as protobuf does it.
  @inline(__always)
  static func varint(_ bytes: Span<UInt8>, _ position: inout Int, _ end: Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end, shift < 70 {
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    return nil
  }

  /// An unsigned number of `size` bytes at `start`, which are there.
  @inline(__always)
  static func littleEndian(_ bytes: Span<UInt8>, _ start: Int, _ size: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<size { value |= UInt64(bytes[start + index]) << UInt64(8 * index) }
    return value
  }
}
