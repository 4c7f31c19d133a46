import CZlib

/// A raw deflate stream (RFC 1951, as in zip method 8) that is inflated step by step.
@safe
public final class Inflater {
  /// What a step came to.
  public struct Step: Hashable, Sendable {
    /// Bytes of input that were taken.
    public let consumed: Int
    /// Bytes of output that were produced.
    public let produced: Int
    /// Whether the stream ended here.
    public let finished: Bool
  }

  // Sound: zlib keeps a pointer to the stream, so it must not move: it lives on the heap.
  private let stream: UnsafeMutablePointer<z_stream>

  /// A new stream.
  public init() {
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    let result = unsafe czlib_inflate_init_raw(stream)
    precondition(result == Z_OK, "zlib could not be initialised: \(result)")
  }

  deinit {
    unsafe inflateEnd(stream)
    unsafe stream.deallocate()
  }

  /// Starts over.
  public func reset() {
    unsafe inflateReset(stream)
  }

  /// Inflates from `source` into `target` until either range is used up or the stream ends.
  ///
  /// - Returns: `nil` when the stream is damaged.
  public func inflate(
    _ source: ByteBuffer, _ input: Range<Int>, into target: ByteBuffer, _ output: Range<Int>
  ) -> Step? {
    let from = unsafe source.slice(input)
    let to = unsafe target.slice(output)
    let limit = Int(UInt32.max)
    let (available, room) = (min(input.count, limit), min(output.count, limit))
    // Sound: both slices outlive the call, and zlib stays within the counts given.
    unsafe stream.pointee.next_in = from.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe stream.pointee.avail_in = UInt32(available)
    unsafe stream.pointee.next_out = to.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe stream.pointee.avail_out = UInt32(room)
    let result = unsafe CZlib.inflate(stream, Z_NO_FLUSH)
    guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else { return nil }
    return Step(
      consumed: unsafe available - Int(stream.pointee.avail_in),
      produced: unsafe room - Int(stream.pointee.avail_out),
      finished: result == Z_STREAM_END)
  }
}
