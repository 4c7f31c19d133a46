/// An entry of a zip archive, as the central directory and its local header agree on it.
public struct StoredBytes: Hashable, Sendable {
  /// How the bytes are stored.
  public enum Compression: Hashable, Sendable {
    /// As they are.
    case stored
    /// Compressed by deflate (RFC 1951), without a header.
    case deflated
  }

  /// The path within the archive, root folder included; in legacy files the key of the storage.
  public let name: String
  /// Always `stored` in legacy files.
  public let compression: Compression
  /// The CRC-32 of the contents; `nil` when the writer recorded none (a zero with contents).
  public let crc: UInt32?
  /// The size in the file.
  public let storedSize: Int
  /// The size of the contents.
  public let size: Int
  /// Where the stored bytes begin in the file.
  public let dataOffset: Int

  /// An entry whose bytes lie in the file as they are.
  public init(
    name: String, compression: Compression = .stored, crc: UInt32? = nil, storedSize: Int,
    size: Int, dataOffset: Int
  ) {
    self.name = name
    self.compression = compression
    self.crc = crc
    self.storedSize = storedSize
    self.size = size
    self.dataOffset = dataOffset
  }
}
