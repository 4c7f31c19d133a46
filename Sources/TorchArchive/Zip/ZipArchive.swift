public import ByteIO

/// The directory of a zip archive (APPNOTE 6.3.10, with zip64), read strictly.
///
/// PyTorch's writer leaves sizes and CRC out of the local headers and pads their extra fields, so
/// sizes come from the central directory and data offsets from the local headers. Whatever two
/// readers could understand differently is refused: names twice, local headers that disagree,
/// overlapping entries, two end records, bytes before the first or after the last record.
public struct ZipArchive: Sendable {
  /// All entries but folders, in the order of the central directory.
  public let entries: [StoredBytes]
  private let positions: [UTF8Key: Int]

  /// Reads the directory of `file`: the end of the file, and the local header of every entry.
  ///
  /// - Throws: ``TorchFileError`` with a `zip/` code, or a `FileError`.
  public init(reading file: InputFile, limits: TorchLimits = TorchLimits()) throws {
    let end = try ZipEnd(reading: file)
    guard end.entryCount <= limits.entries else {
      throw TorchFileError(
        .limitEntries, "\(end.entryCount) entries; \(limits.entries) are allowed",
        offset: end.offset)
    }
    let records = try CentralRecord.all(in: file, end)
    var entries: [StoredBytes] = []
    var spans: [Range<Int>] = []
    var positions: [UTF8Key: Int] = [:]
    for record in records {
      let dataOffset = try record.dataOffset(in: file, before: end.directory.lowerBound)
      spans.append(record.localOffset..<dataOffset + record.storedSize)
      guard positions.updateValue(entries.count, forKey: UTF8Key(record.name)) == nil else {
        throw TorchFileError(.duplicateName, "two entries of one name", entry: record.name)
      }
      if record.name.hasSuffix("/") { continue }
      entries.append(
        StoredBytes(
          name: record.name, compression: record.compression,
          crc: record.crc == 0 && record.size > 0 ? nil : record.crc,
          storedSize: record.storedSize, size: record.size, dataOffset: dataOffset))
    }
    spans.sort { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }
    if let first = spans.first, first.lowerBound != 0 {
      throw TorchFileError(
        .badOffset, "\(first.lowerBound) bytes before the first entry", offset: first.lowerBound)
    }
    for (one, next) in zip(spans, spans.dropFirst()) where one.upperBound > next.lowerBound {
      throw TorchFileError(
        .overlap, "an entry begins inside of another one", offset: next.lowerBound)
    }
    self.entries = entries
    self.positions = positions
  }

  /// The entry of exactly this name.
  public subscript(name: String) -> StoredBytes? {
    positions[UTF8Key(name)].flatMap { entries.indices.contains($0) ? entries[$0] : nil }
      .flatMap { $0.name.utf8.elementsEqual(name.utf8) ? $0 : nil }
  }
}
