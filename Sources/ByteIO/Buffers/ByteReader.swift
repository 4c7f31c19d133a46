/// A cursor over bytes in memory that reads little-endian integers and never reads past the end.
///
/// Every read gives `nil` when too little is left, and leaves the cursor where it was.
public struct ByteReader: Sendable {
  public let bytes: [UInt8]
  /// The offset of the next byte.
  public private(set) var position: Int
  /// Where reading stops; at most `bytes.count`.
  public let end: Int

  /// Reads `bytes` from `start` on, to the end.
  public init(_ bytes: [UInt8], from start: Int = 0) {
    self.bytes = bytes
    end = bytes.count
    position = min(max(start, 0), end)
  }

  /// The number of bytes that are left.
  public var remaining: Int { end - position }

  /// The next byte.
  public mutating func uint8() -> UInt8? {
    guard position < end else { return nil }
    defer { position += 1 }
    return bytes[position]
  }

  /// The next 2 bytes, as a little-endian integer.
  public mutating func uint16() -> UInt16? {
    guard remaining >= 2 else { return nil }
    defer { position += 2 }
    return UInt16(bytes[position]) | UInt16(bytes[position + 1]) << 8
  }

  /// The next 4 bytes, as a little-endian integer.
  public mutating func uint32() -> UInt32? {
    guard remaining >= 4 else { return nil }
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(bytes[position + index]) << UInt32(8 * index) }
    position += 4
    return value
  }

  /// The next 8 bytes, as a little-endian integer.
  public mutating func uint64() -> UInt64? {
    guard remaining >= 8 else { return nil }
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
    position += 8
    return value
  }

  /// The range of the next `count` bytes, which are skipped.
  public mutating func range(count: Int) -> Range<Int>? {
    guard count >= 0, count <= remaining else { return nil }
    defer { position += count }
    return position..<position + count
  }

  /// The range up to the next line feed, which is skipped too.
  public mutating func line() -> Range<Int>? {
    var index = position
    while index < end {
      if bytes[index] == 0x0A {
        defer { position = index + 1 }
        return position..<index
      }
      index += 1
    }
    return nil
  }
}
