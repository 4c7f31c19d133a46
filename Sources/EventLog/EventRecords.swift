import ByteIO
import SystemPackage

/// The records of one event file, one after the other, read a window at a time.
///
/// A record is the length of its payload (8 bytes), the masked CRC-32C of that, the payload, and
/// the masked CRC-32C of the payload (TensorFlow `lib/io/record_writer.h`). A damaged one is left
/// out; where the length itself is wrong, reading goes on at the next place at which both checksums
/// are right.
struct EventRecords {
  /// Longer payloads are left out.
  static let maximumPayload = 64 << 20
  private static let headSize = 12
  private static let frameSize = 16

  private let file: InputFile
  /// The part of the file that is in memory; the ranges that ``next()`` gives lie in it.
  private(set) var window: [UInt8] = []
  private var windowStart = 0
  private var position = 0
  /// What was left out so far.
  private(set) var damage: [EventDamage] = []
  /// How many bytes of payloads may be looked at in search of a record: a file that is made of
  /// beginnings of records would be read again for each of them.
  private var searchable: Int

  init(_ file: InputFile) {
    self.file = file
    searchable = 2 * file.size + EventRecords.maximumPayload
  }

  /// The payload of the next record, as a range of ``window``; `nil` at the end.
  ///
  /// - Throws: ``FileError`` when the file cannot be read on, or `Interrupted`.
  mutating func next() throws -> Range<Int>? {
    while position < file.size {
      let left = file.size - position
      guard left >= EventRecords.headSize else { return end(.cutOff) }
      let head = try load(position, EventRecords.headSize)
      guard hasRightLength(head) else {
        try skip()
        continue
      }
      guard let size = payloadSize(head), size <= left - EventRecords.frameSize else {
        return end(.cutOff)
      }
      let (start, whole) = (position, EventRecords.frameSize + size)
      position += whole
      guard size <= EventRecords.maximumPayload else {
        add(.tooLong, start, whole)
        continue
      }
      let payload = try load(start, whole) + EventRecords.headSize
      guard hasRightPayload(payload, size) else {
        add(.payload, start, whole)
        continue
      }
      return payload..<payload + size
    }
    return nil
  }

  /// Says that the record that ``next()`` gave last is no message.
  mutating func refuseLast(_ payload: Range<Int>) {
    add(
      .message, windowStart + payload.lowerBound - EventRecords.headSize,
      payload.count + EventRecords.frameSize)
  }

  // MARK: - Damage

  /// Goes from a length that is wrong to the next record, or to the end.
  private mutating func skip() throws {
    let start = position
    if try isZeroToTheEnd() {
      _ = end(.zeros)
      return
    }
    while position < file.size {
      position += 1
      let left = file.size - position
      guard left >= EventRecords.frameSize else { break }
      let head = try load(position, EventRecords.headSize)
      guard hasRightLength(head), let size = payloadSize(head),
        size <= left - EventRecords.frameSize, size <= EventRecords.maximumPayload,
        size <= searchable
      else { continue }
      searchable -= size
      let payload = try load(position, EventRecords.frameSize + size) + EventRecords.headSize
      if hasRightPayload(payload, size) {
        add(.length, start, position - start)
        return
      }
    }
    position = start
    _ = end(.length)
  }

  private mutating func isZeroToTheEnd() throws -> Bool {
    var offset = position
    while offset < file.size {
      let count = min(ByteBuffer.passSize, file.size - offset)
      let start = try load(offset, count)
      guard window[start..<start + count].allSatisfy({ $0 == 0 }) else { return false }
      offset += count
    }
    return true
  }

  private mutating func add(_ kind: EventDamage.Kind, _ offset: Int, _ count: Int) {
    guard damage.count < EventDamage.maximumCount else { return }
    damage.append(
      EventDamage(kind, file: file.path.lastComponent?.string ?? "", offset, count))
  }

  private mutating func end(_ kind: EventDamage.Kind) -> Range<Int>? {
    add(kind, position, file.size - position)
    position = file.size
    return nil
  }

  // MARK: - Bytes

  /// Has `count` bytes from `offset` on in the window, and says where. The file has them.
  private mutating func load(_ offset: Int, _ count: Int) throws -> Int {
    if offset >= windowStart, offset + count <= windowStart + window.count {
      return offset - windowStart
    }
    try Interrupted.check()
    window = try file.read(
      at: offset, count: min(max(count, ByteBuffer.passSize), file.size - offset))
    windowStart = offset
    return 0
  }

  private func number(_ offset: Int, _ size: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<size { value |= UInt64(window[offset + index]) << UInt64(8 * index) }
    return value
  }

  private func payloadSize(_ head: Int) -> Int? { Int(exactly: number(head, 8)) }

  private func hasRightLength(_ head: Int) -> Bool {
    masked(head..<head + 8) == UInt32(truncatingIfNeeded: number(head + 8, 4))
  }

  private func hasRightPayload(_ start: Int, _ size: Int) -> Bool {
    masked(start..<start + size) == UInt32(truncatingIfNeeded: number(start + size, 4))
  }

  /// The masked checksum: a file that holds checksums of itself would have bad ones otherwise.
  private func masked(_ range: Range<Int>) -> UInt32 {
    let crc = CRC32C.checksum(window.span.extracting(range))
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}
