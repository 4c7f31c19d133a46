import ByteIO
import Safetensors

/// How the values of two tensors of one shape differ.
struct TensorDifference: Hashable, Sendable {
  /// Elements whose values differ.
  private(set) var elements = 0
  /// The largest absolute difference; `nil` for types that are no floating-point numbers.
  private(set) var largest: Double?

  /// Whether there is no difference.
  var isEqual: Bool { elements == 0 }

  /// Compares two tensors part by part. Floating-point tensors of different types are compared by
  /// their values, all others by their bytes.
  ///
  /// - Throws: `FileError`.
  init(_ a: OutputDirectory.Tensor, _ b: OutputDirectory.Tensor) throws {
    let count = a.declared.elementCount
    let formats = (FloatFormat(a.declared.dtype), FloatFormat(b.declared.dtype))
    let part = 1 << 18
    let buffers = (ByteBuffer(count: part * 8), ByteBuffer(count: part * 8))
    if case (let one?, let two?) = formats {
      largest = 0
      let widened = (ByteBuffer(count: part * 4), ByteBuffer(count: part * 4))
      for start in stride(from: 0, to: count, by: part) {
        let size = min(part, count - start)
        try a.file.file.read(at: a.start + start * one.size, into: buffers.0, 0..<size * one.size)
        try b.file.file.read(at: b.start + start * two.size, into: buffers.1, 0..<size * two.size)
        if one == two, buffers.0.firstDifference(0..<size * one.size, from: buffers.1, at: 0) == nil
        {
          continue
        }
        _ = widened.0.convert(size, from: buffers.0, at: 0, as: one, to: .float32, at: 0)
        _ = widened.1.convert(size, from: buffers.1, at: 0, as: two, to: .float32, at: 0)
        let found = widened.0.difference(size, as: .float32, at: 0, from: widened.1, at: 0)
        elements += found.differing
        largest = max(largest ?? 0, Double(found.largest))
      }
      return
    }
    // Elements of less than a byte are compared byte by byte.
    let width = max(1, a.declared.dtype.bits / 8)
    let total = a.declared.dataOffsets.count / width
    for start in stride(from: 0, to: total, by: part) {
      let size = min(part, total - start) * width
      try a.file.file.read(at: a.start + start * width, into: buffers.0, 0..<size)
      try b.file.file.read(at: b.start + start * width, into: buffers.1, 0..<size)
      guard buffers.0.firstDifference(0..<size, from: buffers.1, at: 0) != nil else { continue }
      let (one, two) = (buffers.0.bytes(0..<size), buffers.1.bytes(0..<size))
      for element in stride(from: 0, to: size, by: width)
      where one[element..<element + width] != two[element..<element + width] {
        elements += 1
      }
    }
  }
}
