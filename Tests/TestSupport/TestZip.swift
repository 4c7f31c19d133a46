import ByteIO

/// Changes entries of archives so that their checksums stay right.
public enum TestZip {
  /// An entry with the places of its contents and of its CRC in the central directory.
  public struct Entry {
    public let name: String
    public let offset: Int
    public let size: Int
    let crcOffset: Int
  }

  /// The entries of an archive with stored contents, as PyTorch writes it.
  public static func entries(of bytes: [UInt8]) -> [Entry] {
    func number(_ offset: Int, _ count: Int) -> Int {
      (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    var position = number(bytes.count - 6, 4)
    var entries: [Entry] = []
    while number(position, 4) == 0x0201_4B50 {
      let lengths = [28, 30, 32].map { number(position + $0, 2) }
      let local = number(position + 42, 4)
      entries.append(
        Entry(
          name: String(decoding: bytes[position + 46..<position + 46 + lengths[0]], as: UTF8.self),
          offset: local + 30 + number(local + 26, 2) + number(local + 28, 2),
          size: number(position + 24, 4), crcOffset: position + 16))
      position += 46 + lengths.reduce(0, +)
    }
    return entries
  }

  /// Writes the CRC that the contents of an entry have now.
  public static func mend(_ bytes: inout [UInt8], _ entry: Entry) {
    let crc = CRC32.checksum(Array(bytes[entry.offset..<entry.offset + entry.size]))
    bytes.replaceSubrange(entry.crcOffset..<entry.crcOffset + 4, with: little(Int(crc), 4))
  }
}
