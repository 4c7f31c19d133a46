import CGlibc
import Glibc
public import SystemPackage

/// A regular file opened for positioned reads.
///
/// Reading never maps the file: a file that is truncated meanwhile gives an error where a mapping
/// would give a bus error, and pages that were read do not count as memory of the process.
public final class InputFile: Sendable {
  /// What tells one state of a file from another without reading it.
  public struct Identity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64
    public let size: Int
    /// Time of the last change of the contents, in nanoseconds since 1970.
    public let modified: Int64
  }

  public let path: FilePath
  /// The size in bytes when the file was opened; of a slice, the bytes in it.
  public let size: Int
  /// What the whole file was when it was opened.
  public let identity: Identity
  /// Where a slice begins in the file; 0 for the file itself.
  public let start: Int
  private let descriptor: Descriptor

  /// An open file, which is closed when the last slice of it is gone.
  private final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }
  }

  /// Opens `path`, following symbolic links, without ever blocking.
  ///
  /// - Throws: ``FileError`` `notFound`, `permission`, ..., and `notAFile` for folders, FIFOs,
  ///   sockets and devices.
  public init(opening path: FilePath) throws(FileError) {
    // O_NONBLOCK: opening a FIFO that has no writer would otherwise wait forever.
    let descriptor = unsafe path.withPlatformString {
      unsafe cglibc_open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)
    }
    guard descriptor >= 0 else {
      throw FileError(errno: errno, path: path, operation: "open")
    }
    let status: Stat
    do {
      status = try FileDescriptor(rawValue: descriptor).stat()
    } catch {
      close(descriptor)
      throw FileError(errno: error.rawValue, path: path, operation: "open")
    }
    guard status.type == .regular else {
      close(descriptor)
      throw FileError(
        .notAFile, path: path, operation: "open", reason: "it is \(describe(status.type))")
    }
    self.path = path
    self.descriptor = Descriptor(descriptor)
    start = 0
    size = Int(status.size)
    identity = Identity(status)
  }

  private init(_ range: Range<Int>, of file: InputFile) {
    path = file.path
    descriptor = file.descriptor
    start = file.start + range.lowerBound
    size = range.count
    identity = file.identity
  }

  /// A part of the file that is read as if it were a file of its own; offsets count from its
  /// beginning.
  ///
  /// - Throws: ``FileError`` `changed` for a range that is not within the file.
  public func slice(_ range: Range<Int>) throws(FileError) -> InputFile {
    try checkBounds(range.lowerBound, range.count)
    return InputFile(range, of: self)
  }

  /// Opens a file that was looked at before.
  ///
  /// - Throws: ``FileError`` `changed` for one that is not what it was, or what opening throws.
  public convenience init(
    opening path: FilePath, asItWas identity: Identity
  ) throws(FileError) {
    try self.init(opening: path)
    guard self.identity == identity else {
      throw FileError(
        .changed, path: path, operation: "read",
        reason: "the file was changed since it was looked at")
    }
  }

  /// Reads exactly `count` bytes at `offset`.
  ///
  /// The caller has compared `count` with ``size``, so that memory is bounded by the file.
  ///
  /// - Throws: ``FileError`` `changed` when the file ends earlier than it did when it was opened.
  public func read(at offset: Int, count: Int) throws(FileError) -> [UInt8] {
    try checkBounds(offset, count)
    guard count > 0 else { return [] }
    var failure: FileError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      // Sound: the buffer has room for `count` bytes, and only bytes that the system call filled
      // are reported as initialized.
      let result = unsafe fill(UnsafeMutableRawBufferPointer(buffer), at: offset, count: count)
      initialized = result.filled
      failure = result.failure
    }
    if let failure { throw failure }
    return bytes
  }

  /// Reads `range.count` bytes at `offset` into `range` of `buffer`.
  ///
  /// - Throws: ``FileError`` `changed` when the file ends earlier than it did when it was opened.
  public func read(
    at offset: Int, into buffer: ByteBuffer, _ range: Range<Int>
  ) throws(FileError) {
    try checkBounds(offset, range.count)
    guard !range.isEmpty else { return }
    let target = unsafe buffer.slice(range)
    if let failure = unsafe fill(target, at: offset, count: range.count).failure { throw failure }
  }

  /// Compares the file with what it was when it was opened.
  ///
  /// - Throws: ``FileError`` `changed` when size or modification time differ.
  public func checkUnchanged() throws(FileError) {
    let status: Stat
    do {
      status = try FileDescriptor(rawValue: descriptor.number).stat()
    } catch {
      throw FileError(errno: error.rawValue, path: path, operation: "read")
    }
    guard Identity(status) == identity else {
      throw FileError(
        .changed, path: path, operation: "read", reason: "the file was changed while it was read")
    }
  }

  private func checkBounds(_ offset: Int, _ count: Int) throws(FileError) {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= size else {
      throw FileError(
        .changed, path: path, operation: "read", offset: start + offset,
        reason: "\(count) bytes were expected there, but the file has \(size) bytes")
    }
  }

  private func fill(
    _ target: UnsafeMutableRawBufferPointer, at offset: Int, count: Int
  ) -> (filled: Int, failure: FileError?) {
    var filled = 0
    while filled < count {
      // Sound: `target` has `count` bytes, of which `filled` are taken.
      let got = unsafe pread(
        descriptor.number, target.baseAddress?.advanced(by: filled), count - filled,
        start + offset + filled)
      if got > 0 {
        filled += got
      } else if got == 0 {
        return (
          filled,
          FileError(
            .changed, path: path, operation: "read", offset: start + offset + filled,
            reason: "the file ends there, but had \(size) bytes when it was opened")
        )
      } else if errno != EINTR {
        return (
          filled, FileError(errno: errno, path: path, operation: "read", offset: start + offset)
        )
      }
    }
    return (filled, nil)
  }
}

extension InputFile.Identity {
  init(_ status: Stat) {
    self.init(
      device: UInt64(status.deviceID.rawValue), inode: UInt64(status.inode.rawValue),
      size: Int(status.size),
      modified: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec))
  }
}

/// What a type of file is called in messages.
func describe(_ type: FileType) -> String {
  switch type {
  case .directory: "a folder"
  case .fifo: "a named pipe"
  case .socket: "a socket"
  case .characterSpecial, .blockSpecial: "a device"
  case .symbolicLink: "a symbolic link"
  default: "a regular file"
  }
}
