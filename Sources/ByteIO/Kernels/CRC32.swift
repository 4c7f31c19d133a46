import CKernels
import CZlib

/// The CRC-32 of zip archives and gzip: by carry-less multiplication where the processor has it,
/// which is many times as fast as zlib, and by zlib elsewhere and for what is short.
public enum CRC32 {
  private static let canFold = Processor.features & ckernels_can_multiply.rawValue != 0
  /// Folding goes by 16 bytes; below this size it does not pay.
  private static let foldedFrom = 256

  /// The checksum of `range` of `buffer`, continuing `previous`.
  public static func checksum(
    _ range: Range<Int>, of buffer: ByteBuffer, continuing previous: UInt32 = 0
  ) -> UInt32 {
    let bytes = unsafe buffer.slice(range)
    guard let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
      return previous
    }
    guard canFold, range.count >= foldedFrom else {
      return unsafe zlib(start, range.count, previous)
    }
    let whole = range.count & ~15
    // Sound: both parts lie in the slice.
    let folded = unsafe fold(start, size: whole, pitch: whole, rows: 1, previous)
    return whole == range.count
      ? folded : unsafe zlib(start + whole, range.count - whole, folded)
  }

  /// The checksum of rows one after the other.
  public static func checksum(_ rows: BufferRows) -> UInt32 {
    guard canFold, rows.rowSize >= foldedFrom, rows.rowSize.isMultiple(of: 16), rows.count > 0
    else {
      return (0..<rows.count).reduce(0) { crc, row in
        checksum(rows.row(row), of: rows.buffer, continuing: crc)
      }
    }
    let bytes = unsafe rows.buffer.slice(
      rows.row(0).lowerBound..<rows.row(rows.count - 1).upperBound)
    guard let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
      return 0
    }
    // Sound: the slice reaches from the first row to the last one.
    return unsafe fold(start, size: rows.rowSize, pitch: rows.pitch, rows: rows.count, 0)
  }

  /// The checksum of `rows` runs of `size` bytes, a multiple of 16 and at least ``foldedFrom``.
  private static func fold(
    _ start: UnsafePointer<UInt8>, size: Int, pitch: Int, rows: Int, _ previous: UInt32
  ) -> UInt32 {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { folded in
      guard let target = folded.baseAddress else { return previous }
      // The register is the complement of the CRC. From a register of 0, the 16 bytes lead to the
      // register that all of them lead to.
      unsafe ckernels_fold_crc(
        Processor.features, start, size, pitch, rows, ~previous, target)
      return unsafe zlib(target, 16, .max)
    }
  }

  private static func zlib(
    _ start: UnsafePointer<UInt8>, _ count: Int, _ previous: UInt32
  ) -> UInt32 {
    // zlib takes a null pointer as the question for the initial value; this pointer is not null.
    unsafe UInt32(truncatingIfNeeded: crc32_z(UInt(previous), start, count))
  }

  /// The checksum of `bytes`.
  public static func checksum(_ bytes: [UInt8]) -> UInt32 {
    // zlib takes a null pointer as the question for the initial value, which is 0 as well.
    unsafe bytes.withUnsafeBufferPointer {
      unsafe UInt32(truncatingIfNeeded: crc32_z(0, $0.baseAddress, $0.count))
    }
  }
}

extension CRC32 {
  /// The multiplication that appends a fixed number of bytes to what a checksum was computed of.
  ///
  /// The checksum of two consecutive runs is that of the first one, shifted by the length of
  /// the second one, XOR that of the second one. So the checksum of a whole is the XOR over its
  /// parts, in any order, of their checksums, each shifted by the bytes after it.
  public struct Shift: Hashable, Sendable {
    /// How many bytes are appended.
    public let count: Int
    /// x to the power of 8 `count`, modulo the polynomial; the highest bit is the power 0.
    private let factor: UInt32

    /// A shift by `count` bytes, which takes about a microsecond to prepare.
    public init(by count: Int) {
      precondition(count >= 0, "bytes are appended, not taken away")
      self.count = count
      var factor: UInt32 = 1 << 31
      // x to the power of 8, squared again and again.
      var power: UInt32 = 1 << 23
      var rest = count
      while rest > 0 {
        if rest & 1 == 1 { factor = CRC32.product(factor, power) }
        power = CRC32.product(power, power)
        rest >>= 1
      }
      self.factor = factor
    }

    /// The checksum `crc`, shifted; some 30 nanoseconds.
    public func callAsFunction(_ crc: UInt32) -> UInt32 { CRC32.product(factor, crc) }
  }

  /// The product of two polynomials modulo that of the CRC, with the bits in reverse order as in a
  /// CRC.
  private static func product(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var (a, b, product) = (a, b, UInt32(0))
    while a != 0 {
      if a & 1 << 31 != 0 { product ^= b }
      a <<= 1
      b = b & 1 == 0 ? b >> 1 : b >> 1 ^ 0xEDB8_8320
    }
    return product
  }
}
