import CGlibc
import Glibc
public import SystemPackage

/// A new file that is written at absolute offsets and becomes durable before it is used.
///
/// Several threads may write at the same time; ``finish()`` comes after all of them.
public final class OutputFile: @unchecked Sendable {
  public let path: FilePath
  private var descriptor: Int32

  /// Creates `path`, which must not exist, with the modes that the umask allows.
  ///
  /// - Throws: ``FileError`` `exists`, `permission`, `noSpace`, ...
  public init(creating path: FilePath) throws(FileError) {
    let descriptor = unsafe path.withPlatformString {
      unsafe cglibc_open($0, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    }
    guard descriptor >= 0 else {
      throw FileError(errno: errno, path: path, operation: "create")
    }
    self.path = path
    self.descriptor = descriptor
  }

  deinit {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  /// Sets the size, and has the file system set the room aside where it can, so that a full disk
  /// shows before the first byte is written.
  public func preallocate(_ size: Int) throws(FileError) {
    guard size > 0 else { return }
    while cglibc_fallocate(descriptor, size) != 0 {
      switch errno {
      case EINTR: continue
      // glibc's posix_fallocate would write every block here; a sparse file will do.
      case EOPNOTSUPP, ENOSYS, EINVAL:
        guard ftruncate(descriptor, size) == 0 else {
          throw FileError(errno: errno, path: path, operation: "size")
        }
        return
      default: throw FileError(errno: errno, path: path, operation: "make room for")
      }
    }
  }

  /// Writes `range` of `buffer` at `offset`.
  public func write(
    _ range: Range<Int>, of buffer: ByteBuffer, at offset: Int
  ) throws(FileError) {
    try write(BufferRows(range, of: buffer), at: offset)
  }

  /// Writes rows one after the other from `offset` on, as many with one call as the system takes.
  public func write(_ rows: BufferRows, at offset: Int) throws(FileError) {
    guard rows.rowSize > 0 else { return }
    var done = 0
    while done < rows.byteCount {
      let put = write(rows, from: done, at: offset + done)
      if put > 0 {
        done += put
      } else if put == 0 || errno != EINTR {
        throw FileError(
          errno: put == 0 ? ENOSPC : errno, path: path, operation: "write", offset: offset + done)
      }
    }
  }

  /// The most rows that one call takes (`IOV_MAX`).
  private static let rowLimit = 1024

  /// One call that writes what it can of the rows from their byte `done` on.
  private func write(_ rows: BufferRows, from done: Int, at offset: Int) -> Int {
    let first = done / rows.rowSize
    let count = min(rows.count - first, OutputFile.rowLimit)
    func rest(of index: Int) -> UnsafeMutableRawBufferPointer {
      let row = rows.row(index)
      return unsafe rows.buffer.slice(
        (index == first ? row.lowerBound + done % rows.rowSize : row.lowerBound)..<row.upperBound)
    }
    if count == 1 {
      let row = unsafe rest(of: first)
      // Sound: the slice was checked against the buffer, which `rows` holds.
      return unsafe pwrite(descriptor, row.baseAddress, row.count, offset)
    }
    return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
      for index in 0..<count {
        let row = unsafe rest(of: first + index)
        // Sound: as above; the system only reads through the pointers.
        unsafe vectors.initializeElement(
          at: index, to: iovec(iov_base: row.baseAddress, iov_len: row.count))
      }
      return unsafe pwritev(descriptor, vectors.baseAddress, Int32(count), offset)
    }
  }

  /// Writes `bytes` at `offset`.
  public func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    guard !bytes.isEmpty else { return }
    try write(0..<bytes.count, of: ByteBuffer(bytes), at: offset)
  }

  /// Has the system begin to write `range` to the disk. A hint: where it is not understood, nothing
  /// is lost.
  ///
  /// It makes nothing faster, but leaves less to ``finish()``, which no signal can interrupt.
  public func startWriteback(_ range: Range<Int>) {
    _ = cglibc_start_writeback(descriptor, range.lowerBound, range.count)
  }

  /// Waits until the contents are on the disk, and closes the file.
  ///
  /// - Throws: ``FileError`` when an earlier write turns out to have failed.
  public func finish() throws(FileError) {
    let synced = fsync(descriptor)
    let syncError = errno
    let closed = Glibc.close(descriptor)
    let closeError = errno
    descriptor = -1
    if synced != 0, syncError != EINVAL, syncError != EROFS {
      throw FileError(errno: syncError, path: path, operation: "flush")
    }
    if closed != 0, closeError != EINTR {
      throw FileError(errno: closeError, path: path, operation: "close")
    }
  }
}
