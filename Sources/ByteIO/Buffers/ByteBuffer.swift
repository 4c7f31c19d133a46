import Glibc

/// A fixed block of memory that is allocated once and used again and again.
///
/// All access is by byte ranges that are checked against ``count``, so a wrong range is a trap and
/// never a stray access. The kernels in the extensions of this type are the only code of the
/// package that moves tensor bytes.
///
/// Threads may share a buffer as long as none writes what another reads or writes at the same time;
/// who hands ranges out to threads sees to that.
@safe
public final class ByteBuffer: @unchecked Sendable {
  /// How much a pass over a file reads at a time.
  public static let passSize = 1 << 20

  /// The size in bytes.
  public let count: Int
  // Sound: allocated in `init`, freed in `deinit`, never handed out but through `slice`.
  private let base: UnsafeMutableRawPointer
  /// The mapping that the buffer lies in, if it has one.
  private let mapping: UnsafeMutableRawBufferPointer?

  /// Allocates `count` bytes of zeros.
  public init(count: Int) {
    precondition(count >= 0, "a buffer cannot have a negative size")
    self.count = count
    if count >= ByteBuffer.mappedFrom {
      // Pages of an anonymous mapping are zero, and take memory only once they are touched.
      let room = count + (count >= ByteBuffer.hugePage ? ByteBuffer.hugePage : 0)
      let mapping = unsafe mmap(
        nil, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
        preconditionFailure("no memory for a buffer of \(count) bytes")
      }
      unsafe self.mapping = UnsafeMutableRawBufferPointer(start: mapping, count: room)
      guard count >= ByteBuffer.hugePage else {
        unsafe base = mapping
        return
      }
      // A transposition jumps from page to page; large ones spare it most of the misses. A hint.
      unsafe base = mapping.alignedUp(toMultipleOf: ByteBuffer.hugePage)
      unsafe madvise(base, count, MADV_HUGEPAGE)
    } else {
      unsafe base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
      unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: max(count, 1))
      unsafe mapping = nil
    }
  }

  /// Buffers of this size and above are mapped.
  private static let mappedFrom = 1 << 18
  /// The size and alignment of a large page.
  private static let hugePage = 2 << 20

  /// A buffer that holds `bytes`.
  public convenience init(_ bytes: [UInt8]) {
    self.init(count: bytes.count)
    store(bytes, at: 0)
  }

  deinit {
    if let mapping = unsafe mapping {
      unsafe munmap(mapping.baseAddress, mapping.count)
    } else {
      unsafe base.deallocate()
    }
  }

  /// The bytes of `range`, copied out.
  public func bytes(_ range: Range<Int>) -> [UInt8] {
    unsafe [UInt8](slice(range))
  }

  /// Copies `bytes` in from `offset`.
  public func store(_ bytes: [UInt8], at offset: Int) {
    let target = unsafe slice(offset..<offset + bytes.count)
    unsafe target.copyBytes(from: bytes)
  }

  /// Copies a range of another buffer in from `offset`.
  public func copy(_ range: Range<Int>, of source: ByteBuffer, to offset: Int) {
    let from = unsafe source.slice(range)
    let to = unsafe slice(offset..<offset + range.count)
    guard let target = to.baseAddress, let source = from.baseAddress else { return }
    unsafe memmove(target, source, range.count)
  }

  /// Sets every byte of `range` to `value`.
  public func fill(_ range: Range<Int>, with value: UInt8) {
    unsafe slice(range).initializeMemory(as: UInt8.self, repeating: value)
  }

  /// The first offset, counted from the start of both ranges, at which the bytes differ.
  public func firstDifference(_ range: Range<Int>, from other: ByteBuffer, at offset: Int) -> Int? {
    let mine = unsafe slice(range)
    let theirs = unsafe other.slice(offset..<offset + range.count)
    guard let a = mine.baseAddress, let b = theirs.baseAddress else { return nil }
    if unsafe memcmp(a, b, range.count) == 0 { return nil }
    return unsafe zip(mine, theirs).enumerated().first { $0.element.0 != $0.element.1 }?.offset
  }

  /// The memory of `range`, for the kernels and system calls of this module.
  ///
  /// Sound as long as it is used before the buffer is released: callers hold the buffer.
  func slice(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "outside of the buffer")
    return unsafe UnsafeMutableRawBufferPointer(
      start: base + range.lowerBound, count: range.count)
  }
}
