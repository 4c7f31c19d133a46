import ByteIO

/// Writes zip archives as PyTorch does, and wrong ones on request.
public struct ZipWriter {
  /// An entry to write.
  public struct Entry {
    public var name: String
    public var contents: [UInt8]
    public var crc: UInt32?
    public var localName: String?
    public var method: UInt16 = 0
    public var declaredSize: Int?

    public init(_ name: String, _ contents: [UInt8]) {
      self.name = name
      self.contents = contents
    }
  }

  public var entries: [Entry] = []
  public var hasZip64 = true
  public var trailing: [UInt8] = []
  public var prefix: [UInt8] = []
  public var countDelta = 0
  /// Whether the CRC of each entry is written, or a zero as by PyTorch without them.
  public var recordsChecksums = true

  public init() {}

  public init(_ entries: [Entry]) {
    self.entries = entries
  }

  /// The archive.
  public var bytes: [UInt8] {
    var file = prefix
    var directory: [UInt8] = []
    for entry in entries {
      let offset = file.count
      let crc = recordsChecksums ? entry.crc ?? CRC32.checksum(entry.contents) : 0
      let size = entry.declaredSize ?? entry.contents.count
      let localName = Array((entry.localName ?? entry.name).utf8)
      file += little(0x0403_4B50, 4) + little(0, 2) + little(0x0808, 2)
      file += little(Int(entry.method), 2) + little(0, 4) + little(0, 12)
      // The data begin at a multiple of 64, as in PyTorch's files.
      let padding = 63 - (file.count + 4 + localName.count + 4 + 63) % 64
      file += little(localName.count, 2) + little(padding + 4, 2) + localName
      file += [0x46, 0x42] + little(padding, 2) + [UInt8](repeating: 0x5A, count: padding)
      file += entry.contents
      file += little(0x0807_4B50, 4) + little(Int(crc), 4) + little(entry.contents.count, 4)
      file += little(size, 4)
      let name = Array(entry.name.utf8)
      directory += little(0x0201_4B50, 4) + little(0, 4) + little(0x0808, 2)
      directory += little(Int(entry.method), 2) + little(0, 4) + little(Int(crc), 4)
      directory += little(entry.contents.count, 4) + little(size, 4) + little(name.count, 2)
      directory += little(0, 2) + little(0, 2) + little(0, 2) + little(0, 6) + little(offset, 4)
      directory += name
    }
    let start = file.count
    let count = entries.count + countDelta
    file += directory
    if hasZip64 {
      let end = file.count
      file += little(0x0606_4B50, 4) + little(44, 8) + little(798, 2) + little(45, 2)
      file += little(0, 8) + little(count, 8) + little(count, 8) + little(directory.count, 8)
      file += little(start, 8)
      file += little(0x0706_4B50, 4) + little(0, 4) + little(end, 8) + little(1, 4)
    }
    file += little(0x0605_4B50, 4) + little(0, 4) + little(count, 2) + little(count, 2)
    file += little(directory.count, 4) + little(start, 4) + little(0, 2)
    return file + trailing
  }
}

/// The low `count` bytes of a number, little-endian.
public func little(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> (8 * $0)) : 0 }
}
