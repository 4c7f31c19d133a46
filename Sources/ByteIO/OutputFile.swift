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
    var done = 0
    let bytes = unsafe buffer.slice(range)
    while done < range.count {
      // Sound: `bytes` has `range.count` bytes, of which `done` are written.
      let put = unsafe pwrite(
        descriptor, bytes.baseAddress?.advanced(by: done), range.count - done, offset + done)
      if put > 0 {
        done += put
      } else if put == 0 || errno != EINTR {
        throw FileError(
          errno: put == 0 ? ENOSPC : errno, path: path, operation: "write", offset: offset + done)
      }
    }
  }

  /// Writes `bytes` at `offset`.
  public func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    guard !bytes.isEmpty else { return }
    try write(0..<bytes.count, of: ByteBuffer(bytes), at: offset)
  }

  /// Has the system begin to write `range` to the disk. A hint: where it is not understood, nothing is
  /// lost.
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
