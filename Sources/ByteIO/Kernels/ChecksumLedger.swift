/// The checksum of a run of bytes that arrives in pieces, in any order.
///
/// CRCs of neighbouring ranges can be combined without their bytes, so an entry counts as checked
/// as soon as the ranges that were read cover it, on any thread and in any run.
public struct ChecksumLedger: Sendable {
  /// A run of bytes with its checksum.
  public struct Segment: Hashable, Sendable {
    public internal(set) var range: Range<Int>
    public internal(set) var crc: UInt32

    public init(range: Range<Int>, crc: UInt32) {
      self.range = range
      self.crc = crc
    }
  }

  /// What is known, in the order of the bytes; neighbours are joined.
  public private(set) var segments: [Segment] = []

  public init() {}

  /// Takes over what another ledger knows of the same bytes. A run that overlaps what is known here
  /// is left out.
  public mutating func absorb(_ other: ChecksumLedger) {
    for segment in other.segments { absorb(segment) }
  }

  /// Takes over one run, unless it overlaps what is known.
  public mutating func absorb(_ segment: Segment) {
    guard !segments.contains(where: { $0.range.overlaps(segment.range) }) else { return }
    note(segment.range, crc: segment.crc)
  }

  /// How many bytes have a checksum.
  public var coveredBytes: Int { segments.reduce(0) { $0 + $1.range.count } }

  /// The part of `range`, if any, that has no checksum yet. A range that is known in its middle
  /// only is given up to where the known part begins.
  public func missing(in range: Range<Int>) -> Range<Int>? {
    var lower = range.lowerBound
    for segment in segments where segment.range.contains(lower) { lower = segment.range.upperBound }
    let next = segments.first { $0.range.lowerBound >= lower }?.range.lowerBound
    let upper = min(range.upperBound, next ?? range.upperBound)
    return lower < upper ? lower..<upper : nil
  }

  /// Notes the checksum of `range`, which must not overlap what is already known.
  ///
  /// After too many ranges that do not touch each other the rest is not noted, and the whole counts
  /// as partly read.
  public mutating func note(_ range: Range<Int>, crc: UInt32) {
    guard !range.isEmpty, segments.count <= 4096 else { return }
    let at = segments.firstIndex { $0.range.lowerBound >= range.upperBound } ?? segments.count
    precondition(
      at == 0 || segments[at - 1].range.upperBound <= range.lowerBound, "ranges must not overlap")
    segments.insert(Segment(range: range, crc: crc), at: at)
    join(at + 1)
    join(at)
  }

  /// The checksum of the first `count` bytes, once all of them were read.
  public func checksum(count: Int) -> UInt32? {
    if count == 0 { return 0 }
    guard segments.count == 1, segments[0].range == 0..<count else { return nil }
    return segments[0].crc
  }

  private mutating func join(_ index: Int) {
    guard index > 0, index < segments.count,
      segments[index - 1].range.upperBound == segments[index].range.lowerBound
    else { return }
    let right = segments.remove(at: index)
    let left = segments[index - 1]
    segments[index - 1] = Segment(
      range: left.range.lowerBound..<right.range.upperBound,
      crc: CRC32.Shift(by: right.range.count)(left.crc) ^ right.crc)
  }
}
