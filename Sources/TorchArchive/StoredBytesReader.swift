public import ByteIO
public import SystemPackage

/// Reads the contents of an archive entry in pieces, and keeps account of their CRC.
///
/// Stored entries are read anywhere at no cost. Deflated ones are inflated from the front, so
/// reading backwards starts over; nothing is ever inflated beyond the declared size.
public final class StoredBytesReader {
  /// What is known of the CRC of an entry.
  public enum Verdict: Hashable, Sendable {
    /// All bytes were read and agree with the recorded CRC.
    case verified
    /// The writer recorded no CRC.
    case notRecorded
    /// Not all bytes were read.
    case partlyRead
    /// It was not asked for.
    case notChecked
  }

  /// What is read; offsets count from the beginning of its contents.
  public let entry: StoredBytes
  /// The checksums of what was read so far; kept by the caller when it reads an entry in turns.
  public var ledger: ChecksumLedger
  private let file: InputFile
  private let checksums: Bool
  /// The file that is read.
  public var path: FilePath { file.path }
  private var stream: DeflateStream?

  /// A reader of `entry`.
  ///
  /// - Parameters:
  ///   - entry: The entry.
  ///   - file: The file that holds it.
  ///   - checksums: Whether the CRC is computed along the way.
  ///   - ledger: What is known of the CRC from earlier turns.
  public init(
    _ entry: StoredBytes, in file: InputFile, checksums: Bool = true,
    ledger: ChecksumLedger = ChecksumLedger()
  ) {
    self.entry = entry
    self.file = file
    self.checksums = checksums
    self.ledger = ledger
  }

  /// Reads `range.count` bytes of the contents from `offset` into `range` of `buffer`.
  ///
  /// - Throws: ``TorchFileError`` `zip/inflate`, or a `FileError`.
  public func read(at offset: Int, into buffer: ByteBuffer, _ range: Range<Int>) throws {
    precondition(offset >= 0 && offset + range.count <= entry.size, "outside of the entry")
    switch entry.compression {
    case .stored: try file.read(at: entry.dataOffset + offset, into: buffer, range)
    case .deflated:
      let stream = try stream(at: offset)
      try stream.inflate(into: buffer, range)
      // The end is looked at as soon as it is reached, and the inflater given back.
      if stream.position == entry.size {
        try stream.expectEnd()
        self.stream = nil
      }
    }
    note(offset..<offset + range.count, of: buffer, at: range.lowerBound)
  }

  /// The whole contents, which the caller has found small enough.
  public func readAll() throws -> [UInt8] {
    let buffer = ByteBuffer(count: entry.size)
    try read(at: 0, into: buffer, 0..<entry.size)
    _ = try verdict()
    return buffer.bytes(0..<entry.size)
  }

  /// Reads what was not read yet, for the sake of the CRC alone.
  ///
  /// - Parameters:
  ///   - buffer: What is read through.
  ///   - step: Called before each piece of at most the size of the buffer; what it throws ends the
  ///     reading.
  /// - Throws: ``TorchFileError``, `FileError`, or what `step` throws.
  public func readRest(through buffer: ByteBuffer, before step: () throws -> Void = {}) throws {
    guard checksums, entry.crc != nil || entry.compression == .deflated else { return }
    var position = 0
    while position < entry.size {
      let window = position..<min(position + buffer.count, entry.size)
      guard let missing = ledger.missing(in: window) else {
        position = window.upperBound
        continue
      }
      try step()
      try read(at: missing.lowerBound, into: buffer, 0..<missing.count)
      position = missing.upperBound
    }
  }

  /// Compares the CRC of what was read with the recorded one.
  ///
  /// - Throws: ``TorchFileError`` `zip/crc-mismatch` when all was read and the CRC is another one.
  public func verdict() throws -> Verdict {
    guard checksums else { return .notChecked }
    guard let recorded = entry.crc else { return .notRecorded }
    guard let computed = ledger.checksum(count: entry.size) else { return .partlyRead }
    guard computed == recorded else {
      throw TorchFileError(
        .crcMismatch,
        "the bytes have CRC \(hex(computed)), but \(hex(recorded)) was recorded: "
          + "the file is damaged",
        offset: entry.dataOffset, entry: entry.name)
    }
    return .verified
  }

  private func stream(at offset: Int) throws -> DeflateStream {
    if let stream, stream.position <= offset {
      try skip(stream, to: offset)
      return stream
    }
    let fresh = DeflateStream(entry, in: file)
    stream = fresh
    try skip(fresh, to: offset)
    return fresh
  }

  private func skip(_ stream: DeflateStream, to offset: Int) throws {
    guard stream.position < offset else { return }
    let waste = ByteBuffer(count: min(1 << 18, offset - stream.position))
    while stream.position < offset {
      let start = stream.position
      let count = min(waste.count, offset - start)
      try stream.inflate(into: waste, 0..<count)
      note(start..<start + count, of: waste, at: 0)
    }
  }

  private func note(_ range: Range<Int>, of buffer: ByteBuffer, at start: Int) {
    guard checksums, entry.crc != nil else { return }
    var rest = range
    while let missing = ledger.missing(in: rest) {
      let at = start + missing.lowerBound - range.lowerBound
      ledger.note(missing, crc: CRC32.checksum(at..<at + missing.count, of: buffer))
      rest = missing.upperBound..<range.upperBound
    }
  }

  private func hex(_ value: UInt32) -> String {
    hexadecimal((0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) })
  }
}

/// A deflated entry that is inflated from front to back.
private final class DeflateStream {
  /// How many bytes of the contents were produced.
  private(set) var position = 0
  private let entry: StoredBytes
  private let file: InputFile
  private let inflater = Inflater()
  private let input: ByteBuffer
  private var available = 0..<0
  private var consumed = 0
  private var finished = false

  init(_ entry: StoredBytes, in file: InputFile) {
    self.entry = entry
    self.file = file
    input = ByteBuffer(count: max(1, min(1 << 18, entry.storedSize)))
  }

  func inflate(into buffer: ByteBuffer, _ range: Range<Int>) throws {
    var target = range
    while !target.isEmpty {
      let produced = try step(into: buffer, target)
      target = target.lowerBound + produced..<target.upperBound
      if finished, !target.isEmpty {
        throw damaged(
          "the deflate stream ends after \(position) bytes; \(entry.size) were declared")
      }
    }
  }

  /// Makes sure that the stream does not hold more than was declared.
  func expectEnd() throws {
    let waste = ByteBuffer(count: 1)
    while !finished {
      guard try step(into: waste, 0..<1) == 0 else {
        throw damaged("the deflate stream holds more than the \(entry.size) bytes declared")
      }
    }
  }

  private func step(into buffer: ByteBuffer, _ target: Range<Int>) throws -> Int {
    if available.isEmpty, !finished {
      // When all input was taken, zlib may still hold output back.
      let count = min(input.count, entry.storedSize - consumed)
      try file.read(at: entry.dataOffset + consumed, into: input, 0..<count)
      consumed += count
      available = 0..<count
    }
    let hadInput = !available.isEmpty
    guard let step = inflater.inflate(input, available, into: buffer, target) else {
      throw damaged("the deflate stream is damaged")
    }
    available = available.lowerBound + step.consumed..<available.upperBound
    position += step.produced
    finished = step.finished
    if step.consumed == 0, step.produced == 0, !finished {
      throw damaged(
        hadInput ? "the deflate stream makes no progress" : "the deflate stream has no end")
    }
    return step.produced
  }

  private func damaged(_ detail: String) -> TorchFileError {
    TorchFileError(.inflate, detail, offset: entry.dataOffset, entry: entry.name)
  }
}
