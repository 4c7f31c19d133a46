import ByteIO

/// A record of the central directory, checked against its local header.
struct CentralRecord {
  let name: String
  let rawName: [UInt8]
  let flags: UInt16
  let method: UInt16
  let compression: StoredBytes.Compression
  let crc: UInt32
  let storedSize: Int
  let size: Int
  let localOffset: Int

  private static let headerSize = 46
  private static let localHeaderSize = 30
  /// Bit 0: encrypted. Bit 6: strong encryption. Bit 13: masked headers.
  private static let encryptionFlags: UInt16 = 1 | 1 << 6 | 1 << 13

  /// Reads all records of the directory, which must fill it exactly.
  static func all(in file: InputFile, _ end: ZipEnd) throws -> [CentralRecord] {
    // Before memory is taken: each record has at least a header.
    guard end.directory.count / headerSize >= end.entryCount else {
      throw ZipEnd.bad(
        "\(end.entryCount) entries cannot fit into \(end.directory.count) bytes", end.offset)
    }
    // And at most three fields of 64 KiB each; no genuine directory comes near a quarter of a GB.
    guard end.directory.count <= min(1 << 28, end.entryCount * (headerSize + 3 << 16)) else {
      throw ZipEnd.bad(
        "\(end.directory.count) bytes are too many for \(end.entryCount) entries", end.offset)
    }
    let bytes = try file.read(at: end.directory.lowerBound, count: end.directory.count)
    var reader = ByteReader(bytes)
    var records: [CentralRecord] = []
    records.reserveCapacity(end.entryCount)
    for _ in 0..<end.entryCount {
      let offset = end.directory.lowerBound + reader.position
      guard let record = try CentralRecord(parsing: &reader, at: offset) else {
        throw ZipEnd.bad("a record of the central directory is damaged", offset)
      }
      records.append(record)
    }
    guard reader.remaining == 0 else {
      throw ZipEnd.bad(
        "\(reader.remaining) bytes after the last of \(end.entryCount) entries",
        end.directory.lowerBound + reader.position)
    }
    return records
  }

  /// Reads one record; `nil` when its structure is broken.
  private init?(parsing reader: inout ByteReader, at offset: Int) throws {
    guard reader.uint32() == 0x0201_4B50, reader.range(count: 4) != nil,
      let flags = reader.uint16(), let method = reader.uint16(), reader.range(count: 4) != nil,
      let crc = reader.uint32(), let stored32 = reader.uint32(), let size32 = reader.uint32(),
      let nameLength = reader.uint16(), let extraLength = reader.uint16(),
      let commentLength = reader.uint16(), let disk = reader.uint16(),
      reader.range(count: 6) != nil, let offset32 = reader.uint32(),
      let nameRange = reader.range(count: Int(nameLength)),
      let extra = reader.range(count: Int(extraLength)),
      reader.range(count: Int(commentLength)) != nil
    else { return nil }
    rawName = Array(reader.bytes[nameRange])
    name = try CentralRecord.checked(rawName, at: offset)
    self.flags = flags
    self.method = method
    self.crc = crc
    guard disk == 0 || disk == .max else { return nil }
    guard flags & CentralRecord.encryptionFlags == 0, method != 99 else {
      throw TorchFileError(
        method == 99 ? .unsupportedMethod : .encrypted, "the entry is encrypted",
        offset: offset, entry: name)
    }
    switch method {
    case 0: compression = .stored
    case 8: compression = .deflated
    default:
      throw TorchFileError(
        .unsupportedMethod,
        "compression method \(method); PyTorch files are stored (0) or deflated (8)",
        offset: offset, entry: name)
    }
    // The zip64 block holds only those fields whose 32-bit twin is saturated, in this order.
    var zip64 = CentralRecord.zip64Block(in: Array(reader.bytes[extra]))
    func wide(_ small: UInt32) -> Int? {
      small == .max ? zip64.uint64().flatMap { Int(exactly: $0) } : Int(small)
    }
    guard let size = wide(size32), let storedSize = wide(stored32), let localOffset = wide(offset32)
    else {
      throw ZipEnd.bad("a size or offset of more than 32 bits is missing for \(name)", offset)
    }
    // Deflate makes at most 1032 bytes of one.
    guard compression == .stored || size / 1032 <= storedSize + 1 else {
      throw TorchFileError(
        .limitInflation, "\(storedSize) bytes are said to inflate to \(size)", offset: offset,
        entry: name)
    }
    guard compression == .deflated || size == storedSize else {
      throw ZipEnd.bad("\(name) is stored as it is, yet has two sizes", offset)
    }
    self.size = size
    self.storedSize = storedSize
    self.localOffset = localOffset
  }

  /// The contents of the 0x0001 block of an extra field; empty when there is none.
  private static func zip64Block(in extra: [UInt8]) -> ByteReader {
    var reader = ByteReader(extra)
    while let tag = reader.uint16(), let length = reader.uint16(),
      let range = reader.range(count: Int(length))
    {
      if tag == 1 { return ByteReader(Array(extra[range])) }
    }
    return ByteReader([])
  }

  /// A name that means the same to every reader: UTF-8, relative, without `..`, NUL or backslash.
  private static func checked(_ bytes: [UInt8], at offset: Int) throws -> String {
    guard let name = String(validating: bytes, as: UTF8.self) else {
      throw TorchFileError(.badName, "an entry name that is not UTF-8", offset: offset)
    }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !name.isEmpty, !bytes.contains(0), !bytes.contains(UInt8(ascii: "\\")),
      name.utf8.first != UInt8(ascii: "/"), !parts.contains("..")
    else {
      throw TorchFileError(
        .badName, "the entry name \"\(shortened(name))\" could be taken for a path",
        offset: offset)
    }
    return name
  }

  /// Where the contents begin, by the local header, which must agree with this record.
  func dataOffset(in file: InputFile, before directory: Int) throws -> Int {
    func bad(_ code: TorchFileError.Code, _ detail: String) -> TorchFileError {
      TorchFileError(code, detail, offset: localOffset, entry: name)
    }
    let (nameEnd, overflow) = localOffset.addingReportingOverflow(
      CentralRecord.localHeaderSize + rawName.count)
    guard localOffset >= 0, !overflow, nameEnd <= directory else {
      throw bad(.badOffset, "the entry is said to begin after the last entry")
    }
    var reader = ByteReader(
      try file.read(at: localOffset, count: CentralRecord.localHeaderSize + rawName.count))
    guard reader.uint32() == 0x0403_4B50, reader.range(count: 2) != nil,
      let flags = reader.uint16(), let method = reader.uint16(), reader.range(count: 16) != nil,
      let nameLength = reader.uint16(), let extraLength = reader.uint16()
    else { throw bad(.badLocalHeader, "there is no local header where the entry should begin") }
    guard method == self.method, flags == self.flags,
      Int(nameLength) == rawName.count,
      let nameRange = reader.range(count: rawName.count),
      reader.bytes[nameRange].elementsEqual(rawName)
    else {
      throw bad(
        .localHeaderMismatch, "the local header and the central directory describe two entries")
    }
    let dataOffset = nameEnd + Int(extraLength)
    let (dataEnd, wrapped) = dataOffset.addingReportingOverflow(storedSize)
    guard !wrapped, dataEnd <= directory else {
      throw bad(.badOffset, "the \(storedSize) bytes of the entry reach beyond the last entry")
    }
    return dataOffset
  }
}
