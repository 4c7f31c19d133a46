/// Buffers of one size that threads take and give back; there are as many as were ever in use at
/// once.
public final class BufferPool: Sendable {
  /// The size of each buffer in bytes.
  public let bufferSize: Int
  private let idle = Locked<[ByteBuffer]>([])

  public init(bufferSize: Int) {
    self.bufferSize = bufferSize
  }

  /// Lends a buffer, whose contents are left from earlier use, for the time of a call.
  public func withBuffer<Result, Failure>(
    _ body: (ByteBuffer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let buffer = idle.withLock { $0.popLast() } ?? ByteBuffer(count: bufferSize)
    defer { idle.withLock { $0.append(buffer) } }
    return try body(buffer)
  }
}
