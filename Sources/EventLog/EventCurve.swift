/// The values of one tag over the steps of a run, as they count in the end: a value at a step makes
/// void what was read before for that step and all later ones, as in TensorBoard's data server. A
/// job that begins again at an earlier iteration so replaces what the job before it had computed.
public struct EventCurve: Hashable, Sendable {
  /// One value.
  public struct Point: Hashable, Sendable {
    /// The iteration, or whatever the trainer counts: samples, tokens.
    public let step: Int
    /// As it was logged, often in binary32; it may be NaN or infinite.
    public let value: Double
    /// Seconds since 1970.
    public let time: Double

    package init(step: Int, value: Double, time: Double) {
      self.step = step
      self.value = value
      self.time = time
    }
  }

  /// What counts, with steps that increase.
  public private(set) var points: [Point] = []
  /// What a later job made void, in the order in which that happened.
  public private(set) var superseded: [Point] = []
  /// The first step of each job, in the order of the files.
  public private(set) var starts: [Int] = []
  /// How many values were read, whether they count or not.
  public private(set) var readCount = 0
  /// Whether there were so many values that of runs of them only the smallest, the largest, the
  /// first and the last are kept.
  public private(set) var isThinned = false

  private var beginsJob = true

  init() {}

  /// A curve of points with steps that increase.
  package init(_ points: [Point]) {
    self.points = points
    readCount = points.count
  }

  /// A curve of more points than this is thinned.
  static let maximumCount = 1 << 20

  mutating func beginJob() { beginsJob = true }

  /// Adds a value.
  mutating func append(_ point: Point) {
    restart(at: point.step)
    if beginsJob {
      starts.append(point.step)
      beginsJob = false
    }
    readCount += 1
    points.append(point)
    if points.count > EventCurve.maximumCount { thin() }
  }

  /// Makes void all values from a step on.
  mutating func restart(at step: Int) {
    guard let last = points.last, last.step >= step else { return }
    let count = points.count - firstIndex(from: step)
    if superseded.count + count <= EventCurve.maximumCount {
      superseded += points.suffix(count)
    }
    points.removeLast(count)
  }

  /// Adds what another folder of the same training has of this tag.
  mutating func append(contentsOf other: EventCurve) {
    // What the jobs there made void of one another stays void.
    superseded += other.superseded
    if let first = other.points.first { restart(at: first.step) }
    points += other.points
    starts += other.starts
    readCount += other.readCount
    isThinned = isThinned || other.isThinned
  }

  /// Keeps of each eight points four.
  mutating func thin() {
    isThinned = true
    var kept: [Point] = []
    kept.reserveCapacity(points.count / 2 + 8)
    for start in stride(from: 0, to: points.count, by: 8) {
      let run = points[start..<min(start + 8, points.count)]
      let finite = run.indices.filter { run[$0].value.isFinite }
      let ends = [run.startIndex, run.endIndex - 1]
      let extremes = [
        finite.min { run[$0].value < run[$1].value }, finite.max { run[$0].value < run[$1].value },
      ].compactMap { $0 }
      kept += Set(ends + extremes).sorted().map { run[$0] }
    }
    points = kept
  }

  // MARK: - What is asked of it

  /// The index of the first point at or after a step.
  private func firstIndex(from step: Int) -> Int {
    var (low, high) = (0, points.count)
    while low < high {
      let middle = (low + high) / 2
      if points[middle].step < step { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The last point at or before a step.
  public func last(upTo step: Int) -> Point? {
    let index = step == .max ? points.count : firstIndex(from: step + 1)
    return index > 0 ? points[index - 1] : nil
  }

  /// How many values were computed twice, and by how much they differ at most: 0 where a job that
  /// began again computed exactly the same.
  public var recomputed: (count: Int, largestDifference: Double) {
    var (count, largest) = (0, 0.0)
    for old in superseded {
      guard let new = last(upTo: old.step), new.step == old.step else { continue }
      count += 1
      let difference = abs(new.value - old.value)
      if difference.isFinite { largest = max(largest, difference) }
    }
    return (count, largest)
  }
}
