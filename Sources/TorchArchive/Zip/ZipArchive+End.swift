import ByteIO

/// The end of a zip archive: where the central directory is and how many entries it has.
struct ZipEnd {
  /// The offset of the end record.
  let offset: Int
  /// Where the central directory lies.
  let directory: Range<Int>
  let entryCount: Int

  /// The size of an end record without its comment.
  private static let size = 22
  /// The sizes of a zip64 end record and of the locator that leads to it.
  private static let zip64Size = 56
  private static let locatorSize = 20

  /// Finds the one end record whose comment reaches the end of the file, and the zip64 records
  /// before it, which PyTorch always writes.
  init(reading file: InputFile) throws {
    let tailSize = min(file.size, ZipEnd.size + Int(UInt16.max))
    let tailStart = file.size - tailSize
    let tail = try file.read(at: tailStart, count: tailSize)
    let candidates = ZipEnd.signatures(in: tail)
    let whole = candidates.filter { $0.end == tail.count }
    guard let found = whole.first else {
      if let last = candidates.last {
        throw last.end < tail.count
          ? TorchFileError(
            .trailingData, "\(tail.count - last.end) bytes after the end of the archive",
            offset: tailStart + last.end)
          : TorchFileError(
            .truncated, "the file ends inside of the comment of the archive", offset: file.size)
      }
      throw TorchFileError(
        .truncated, "there is no end record: the file is not whole", offset: file.size)
    }
    guard whole.count == 1 else {
      throw TorchFileError(
        .severalEnds, "\(whole.count) end records claim the file", offset: tailStart + found.start)
    }
    let offset = tailStart + found.start
    var reader = ByteReader(tail, from: found.start + 4)
    guard let disk = reader.uint16(), let startDisk = reader.uint16(),
      let countHere = reader.uint16(), let count = reader.uint16(),
      let directorySize = reader.uint32(), let directoryOffset = reader.uint32()
    else { throw ZipEnd.bad("the end record is cut", offset) }
    guard disk == 0 || disk == .max, startDisk == 0 || startDisk == .max, countHere == count else {
      throw ZipEnd.bad("the archive is split over several files", offset)
    }

    let zip64 = try Zip64End(before: offset, in: file)
    // Without zip64 records the 32-bit fields are the truth; with them they are, unless saturated.
    func agree(_ small: Int, _ saturated: Int, _ large: Int?) throws -> Int {
      guard let large else {
        if small == saturated, saturated == Int(UInt32.max) {
          throw ZipEnd.bad("a zip64 end record is announced and missing", offset)
        }
        return small
      }
      if small != saturated, small != large {
        throw TorchFileError(
          .zip64Mismatch, "the end record says \(small), the zip64 end record \(large)",
          offset: offset)
      }
      return large
    }
    entryCount = try agree(Int(count), Int(UInt16.max), zip64?.entryCount)
    let size = try agree(Int(directorySize), Int(UInt32.max), zip64?.directorySize)
    let start = try agree(Int(directoryOffset), Int(UInt32.max), zip64?.directoryOffset)
    let (directoryEnd, overflow) = start.addingReportingOverflow(size)
    guard !overflow, directoryEnd == zip64?.offset ?? offset else {
      try ZipEnd.refuseSecondArchive(
        startingAt: (zip64?.offset ?? offset).subtractingReportingOverflow(directoryEnd), in: file)
      throw ZipEnd.bad(
        "the central directory is said to be the \(size) bytes at \(start), "
          + "but its end record is at \(zip64?.offset ?? offset)", offset)
    }
    self.offset = offset
    directory = start..<directoryEnd
  }

  /// The places where an end record could begin, each with where its comment ends.
  private static func signatures(in tail: [UInt8]) -> [(start: Int, end: Int)] {
    guard tail.count >= size else { return [] }
    var found: [(start: Int, end: Int)] = []
    // Each place has exactly one of its four bytes at a multiple of four, after three others.
    for middle in stride(from: 3, to: tail.count, by: 4) {
      let byte = tail[middle]
      guard byte == 0x50 || byte == 0x4B || byte == 0x05 || byte == 0x06 else { continue }
      for start in middle - 3...middle where start + size <= tail.count {
        guard tail[start] == 0x50, tail[start + 1] == 0x4B, tail[start + 2] == 0x05,
          tail[start + 3] == 0x06
        else { continue }
        let comment = Int(tail[start + 20]) | Int(tail[start + 21]) << 8
        found.append((start, start + size + comment))
      }
    }
    return found
  }

  /// Two archives one after the other: the offsets of the second one count from its own beginning,
  /// and before that the first one ends.
  private static func refuseSecondArchive(
    startingAt start: (partialValue: Int, overflow: Bool), in file: InputFile
  ) throws {
    let place = start.partialValue - size
    guard !start.overflow, place >= 0, start.partialValue < file.size else { return }
    let bytes = try file.read(at: place, count: size + min(4, file.size - start.partialValue))
    guard bytes.starts(with: [0x50, 0x4B, 0x05, 0x06]),
      bytes[size...].starts(with: [0x50, 0x4B, 0x03, 0x04])
    else { return }
    throw TorchFileError(
      .severalEnds,
      "a second archive begins in the same file, so two readers could see two contents",
      offset: start.partialValue, hint: "cut the file in two, or save it again")
  }

  static func bad(_ detail: String, _ offset: Int) -> TorchFileError {
    TorchFileError(.badCentralDirectory, detail, offset: offset)
  }

  /// The zip64 end record, found through the locator that stands right before the end record.
  private struct Zip64End {
    let offset: Int
    let entryCount: Int
    let directorySize: Int
    let directoryOffset: Int

    init?(before end: Int, in file: InputFile) throws {
      let locator = end - ZipEnd.locatorSize
      guard locator >= 0 else { return nil }
      var reader = ByteReader(try file.read(at: locator, count: ZipEnd.locatorSize))
      guard reader.uint32() == 0x0706_4B50 else { return nil }
      guard reader.uint32() == 0, let position = reader.uint64().flatMap({ Int(exactly: $0) }),
        let disks = reader.uint32(), disks <= 1
      else { throw ZipEnd.bad("the zip64 locator makes no sense", locator) }
      guard position >= 0, position <= locator - ZipEnd.zip64Size else {
        throw ZipEnd.bad("the zip64 end record is said to be at \(position)", locator)
      }
      let expected = locator - ZipEnd.zip64Size
      if position < expected {
        try ZipEnd.refuseSecondArchive(
          startingAt: expected.subtractingReportingOverflow(position), in: file)
      }
      offset = position
      var record = ByteReader(try file.read(at: position, count: ZipEnd.zip64Size))
      guard record.uint32() == 0x0606_4B50, let size = record.uint64(),
        record.range(count: 4) != nil, record.uint32() == 0, record.uint32() == 0,
        let countHere = record.uint64(), let count = record.uint64(), countHere == count,
        let directorySize = record.uint64().flatMap({ Int(exactly: $0) }),
        let directoryOffset = record.uint64().flatMap({ Int(exactly: $0) }),
        let entryCount = Int(exactly: count),
        Int(exactly: size) == locator - position - 12
      else { throw ZipEnd.bad("the zip64 end record makes no sense", position) }
      self.entryCount = entryCount
      self.directorySize = directorySize
      self.directoryOffset = directoryOffset
    }
  }
}
