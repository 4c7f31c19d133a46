import Diagnostics
public import SystemPackage

/// Digests of whole files.
public enum FileDigest {
  /// The CRC-32 of a file.
  ///
  /// - Throws: `Failure` 66 or 74, or `Interrupted` when a signal asked for a stop.
  package static func crc32(_ path: FilePath) throws -> UInt32 {
    do {
      return try crc32(path, through: ByteBuffer(count: ByteBuffer.passSize))
    } catch let stop as Interrupted {
      throw stop
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  /// The CRC-32 of a file, read from front to back.
  ///
  /// - Throws: ``FileError``, or `Interrupted`.
  package static func crc32(_ path: FilePath, through buffer: ByteBuffer) throws -> UInt32 {
    let file = try InputFile(opening: path)
    var crc: UInt32 = 0
    var offset = 0
    while offset < file.size {
      try Interrupted.check()
      let count = min(buffer.count, file.size - offset)
      try file.read(at: offset, into: buffer, 0..<count)
      crc = CRC32.checksum(0..<count, of: buffer, continuing: crc)
      offset += count
    }
    return crc
  }

  /// The SHA-256 of a file, as `sha256sum` prints it.
  ///
  /// - Throws: `Failure` 66 or 74, or `Interrupted` when a signal asked for a stop.
  public static func sha256(_ path: FilePath) throws -> String {
    do {
      let file = try InputFile(opening: path)
      let buffer = ByteBuffer(count: ByteBuffer.passSize)
      var hasher = SHA256Hasher()
      for start in stride(from: 0, to: file.size, by: buffer.count) {
        try Interrupted.check()
        let count = min(buffer.count, file.size - start)
        try file.read(at: start, into: buffer, 0..<count)
        hasher.update(0..<count, of: buffer)
      }
      return hasher.hexDigest()
    } catch let stop as Interrupted {
      throw stop
    } catch {
      throw Failure(reading: error, file: path)
    }
  }
}
