/// Rows of bytes in a buffer that lie apart there and contiguous where they go.
///
/// Rows whose distance is not a power of two fall into different sets of a cache, which makes
/// filling them column by column several times as fast; so a window has room between its rows that
/// no file has.
public struct BufferRows: Sendable {
  public let buffer: ByteBuffer
  /// The offset of the first row in the buffer.
  public let start: Int
  /// The bytes of a row.
  public let rowSize: Int
  /// The distance from one row to the next.
  public let pitch: Int
  /// The number of rows.
  public let count: Int

  /// Rows of a buffer, all of which must lie inside of it.
  public init(of buffer: ByteBuffer, start: Int, rowSize: Int, pitch: Int, count: Int) {
    precondition(start >= 0 && rowSize >= 0 && count >= 0 && pitch >= rowSize, "no rows")
    precondition(
      count == 0 || start + (count - 1) * pitch + rowSize <= buffer.count, "outside of the buffer")
    self.buffer = buffer
    self.start = start
    self.rowSize = rowSize
    self.pitch = pitch
    self.count = count
  }

  /// One run of bytes.
  public init(_ range: Range<Int>, of buffer: ByteBuffer) {
    self.init(
      of: buffer, start: range.lowerBound, rowSize: range.count, pitch: range.count, count: 1)
  }

  /// The bytes of all rows.
  public var byteCount: Int { rowSize * count }

  /// Where a row lies in the buffer.
  public func row(_ index: Int) -> Range<Int> {
    let lower = start + index * pitch
    return lower..<lower + rowSize
  }

  /// The rows in groups of at most `size` bytes each, or single rows where one has more, each with
  /// the number of its first row.
  public func groups(of size: Int) -> [(first: Int, rows: BufferRows)] {
    let step = max(1, size / max(1, rowSize))
    return stride(from: 0, to: count, by: step).map { first in
      let part = BufferRows(
        of: buffer, start: start + first * pitch, rowSize: rowSize, pitch: pitch,
        count: min(step, count - first))
      return (first, part)
    }
  }
}
