package import ByteIO

/// Where the bytes of output tensors go: into files, or into a comparison.
///
/// Several threads hand over bytes at the same time, never the same ones.
package protocol TensorSink: AnyObject, Sendable {
  /// Whether it takes one thread at a time, so that another one had better do something else.
  var takesTurns: Bool { get }

  /// Takes rows as the bytes of output tensor `tensor` from byte `offset` on, one after the other.
  func accept(_ rows: BufferRows, tensor: Int, at offset: Int) throws

  /// The first half of ``accept(_:tensor:at:)``: notes the CRC-32 of `count` bytes.
  func note(
    _ crc: @autoclosure () -> UInt32, of count: Int, tensor: Int, at offset: Int) throws

  /// The second half of ``accept(_:tensor:at:)``: takes the bytes.
  func take(_ rows: BufferRows, tensor: Int, at offset: Int) throws

  /// Notes that `range` of the bytes of a tensor is complete and will not be touched again soon.
  func finished(_ range: Range<Int>, tensor: Int)
}

extension TensorSink {
  package var takesTurns: Bool { false }

  package func accept(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
    try note(CRC32.checksum(rows), of: rows.byteCount, tensor: tensor, at: offset)
    try take(rows, tensor: tensor, at: offset)
  }

  package func note(
    _ crc: @autoclosure () -> UInt32, of count: Int, tensor: Int, at offset: Int
  ) throws {}

  package func finished(_ range: Range<Int>, tensor: Int) {}
}
