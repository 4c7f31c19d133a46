/// A stretch of an event file that was left out.
public struct EventDamage: Hashable, Sendable {
  /// What is wrong with it.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// The file ends within a record, as it does when a job is killed.
    case cutOff = "cut-off"
    /// There are only zeros up to the end of the file, as a file system leaves them that lost
    /// what was written last.
    case zeros
    /// The checksum of a payload is wrong: one record is lost.
    case payload
    /// The checksum of a length is wrong: all is lost up to the next whole record.
    case length
    /// The checksums are right, but the payload is no event.
    case message
    /// A payload of more than 64 MiB.
    case tooLong = "too-long"
  }

  /// What is wrong with the stretch.
  public let kind: Kind
  /// The name of the file.
  public let file: String
  /// Where the stretch begins.
  public let offset: Int
  /// How many bytes it has.
  public let count: Int

  /// Of one file, more than this many stretches are not told apart.
  static let maximumCount = 1000

  init(_ kind: Kind, file: String, _ offset: Int, _ count: Int) {
    self.kind = kind
    self.file = file
    self.offset = offset
    self.count = count
  }

  /// Whether it is what every job that is killed leaves behind, and no reason to worry.
  public var isUsual: Bool { kind == .cutOff || kind == .zeros }

  /// What was found, and what became of it.
  public var message: String {
    switch kind {
    case .cutOff:
      "the file ends within a record, as a job that is killed leaves it; \(count) bytes left out"
    case .zeros:
      "\(count) bytes of zeros at the end, as a file system leaves them that lost the last writes"
    case .payload: "the checksum of a record is wrong; its \(count) bytes are left out"
    case .length:
      "the checksum of a length is wrong; \(count) bytes are left out, up to byte \(offset + count)"
    case .message:
      "a record of \(count) bytes is no event, although its checksums are right; it is left out"
    case .tooLong:
      "a record of \(count) bytes is longer than \(EventRecords.maximumPayload); it is left out"
    }
  }
}
