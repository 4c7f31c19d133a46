import ByteIO
import SystemPackage

/// Reads the event files of one folder, one record after the other, into the curves of a run
/// (TensorFlow `core/util/event.proto` and `core/framework/summary.proto`).
struct EventRunReader {
  /// What the values of a tag are, by the plugin that its first value names.
  private enum Kind {
    case scalars, text, other
  }

  /// What is known of a tag.
  private struct Tag {
    let bytes: [UInt8]
    let kind: Kind
    var curve = EventCurve()
    var texts: [EventRun.Text] = []
    /// The tag that followed this one the last time: a trainer logs them in the same order at
    /// every step.
    var next = 0
  }

  /// A `Summary.Value`.
  private struct Value {
    var tag = 0..<0
    var number: Double?
    var tensor: Range<Int>?
    var plugin: Range<Int>?
  }

  private var run: EventRun
  private let limits: EventLimits
  private let isEssential: (String) -> Bool
  private var tags: [Tag] = []
  private var indices: [[UInt8]: Int] = [:]
  private var last = 0
  /// The values of one record; room that is used again.
  private var found: [Value] = []
  private var job = 0
  private var hasContent = false
  private var pointCount = 0
  private var textBytes = 0

  /// A reader for the folder that is called `name`.
  ///
  /// - Parameters:
  ///   - name: The path of the folder below the one that was asked for.
  ///   - limits: What is kept.
  ///   - isEssential: Which tags keep all their values where there are too many for all.
  init(_ name: String, _ limits: EventLimits, isEssential: @escaping (String) -> Bool) {
    run = EventRun(name: name)
    self.limits = limits
    self.isEssential = isEssential
  }

  /// Reads one more file.
  ///
  /// - Throws: ``FileError``, or `Interrupted`.
  mutating func read(_ path: FilePath) throws {
    let file = try InputFile(opening: path)
    run.files.append(path.lastComponent?.string ?? "")
    run.byteCount += file.size
    hasContent = false
    for index in tags.indices { tags[index].curve.beginJob() }
    var records = EventRecords(file)
    while let payload = try records.next() {
      guard readEvent(records.window.span, payload) else {
        records.refuseLast(payload)
        continue
      }
      run.recordCount += 1
    }
    run.damage += records.damage
    if hasContent { job += 1 }
  }

  /// What was read.
  consuming func finish() -> EventRun {
    run.jobCount = job
    for tag in tags {
      let name = String(decoding: tag.bytes, as: UTF8.self)
      if tag.curve.readCount > 0 { run.curves.append(.init(tag: name, curve: tag.curve)) }
      if !tag.texts.isEmpty { run.texts.append(.init(tag: name, texts: tag.texts)) }
    }
    return run
  }

  // MARK: - Messages

  /// Takes what an event holds.
  ///
  /// - Returns: Whether it could be read to its end; if not, nothing is taken.
  mutating func readEvent(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var (step, time) = (0, 0.0)
    var summary: Range<Int>?
    var session: Range<Int>?
    var source: Range<Int>?
    let isWhole = WireField.forEach(of: bytes, in: range) { field in
      switch (field.number, field.kind) {
      case (1, .eight): time = Double(bitPattern: field.bits)
      case (2, .varint): step = Int(truncatingIfNeeded: field.bits)
      case (5, .bytes): summary = field.range
      case (7, .bytes): session = field.range
      case (10, .bytes): source = field.range
      default: break
      }
    }
    guard isWhole else { return false }
    if let session, isStart(bytes, session) {
      for index in tags.indices { tags[index].curve.restart(at: step) }
    }
    if let source, run.writer == nil { run.writer = writer(bytes, source) }
    guard let summary else { return true }
    // A record is taken as a whole or not at all.
    var values = found
    found = []
    defer {
      values.removeAll(keepingCapacity: true)
      found = values
    }
    var isRight = true
    isRight =
      WireField.forEach(of: bytes, in: summary) { field in
        guard field.number == 1, let range = field.bytes else { return }
        guard let value = EventRunReader.value(bytes, range) else {
          isRight = false
          return
        }
        values.append(value)
      } && isRight
    guard isRight else { return false }
    for value in values { take(value, bytes, step, time) }
    return true
  }

  private func isStart(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var status = 0
    _ = WireField.forEach(of: bytes, in: range) { field in
      if field.number == 1, let value = field.int { status = value }
    }
    return status == 1
  }

  private func writer(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
    var name: String?
    _ = WireField.forEach(of: bytes, in: range) { field in
      if field.number == 1, let range = field.bytes {
        name = text(bytes, range)
      }
    }
    return name
  }

  private static func value(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Value? {
    var (value, isRight) = (Value(), true)
    isRight =
      WireField.forEach(of: bytes, in: range) { field in
        switch (field.number, field.kind) {
        case (1, .bytes): value.tag = field.range
        // Of number and tensor only one can be there, and the last one counts.
        case (2, .four):
          value.number = Double(Float(bitPattern: UInt32(truncatingIfNeeded: field.bits)))
          value.tensor = nil
        case (8, .bytes):
          value.tensor = field.range
          value.number = nil
        case (9, .bytes):
          isRight =
            WireField.forEach(of: bytes, in: field.range) { metadata in
              guard metadata.number == 1, let plugin = metadata.bytes else { return }
              value.plugin = plugin.lowerBound..<plugin.lowerBound
              isRight =
                WireField.forEach(of: bytes, in: plugin) { part in
                  if part.number == 1, let name = part.bytes { value.plugin = name }
                } && isRight
            } && isRight
        default: break
        }
      } && isRight
    return isRight ? value : nil
  }

  // MARK: - Values

  private mutating func take(_ value: Value, _ bytes: Span<UInt8>, _ step: Int, _ time: Double) {
    guard let index = index(of: value, bytes) else {
      run.otherCount += 1
      return
    }
    if let number = value.number {
      add(number, index, step, time)
    } else if let range = value.tensor, let tensor = EventTensor(bytes, range) {
      switch tags[index].kind {
      case .scalars:
        if let number = tensor.number(bytes) {
          add(number, index, step, time)
        } else {
          run.otherCount += 1
        }
      case .text where tensor.isText: add(text(bytes, tensor.text ?? 0..<0), index, step)
      default: run.otherCount += 1
      }
    } else {
      run.otherCount += 1
    }
  }

  /// The index of the value's tag, which may be a new one; `nil` if there are too many, or if its
  /// name is too long.
  private mutating func index(of value: Value, _ bytes: Span<UInt8>) -> Int? {
    let name = value.tag
    if let guess = tags.indices.contains(last) ? tags[last].next : nil, isName(guess, bytes, name) {
      last = guess
      return guess
    }
    guard name.count <= EventLimits.tagSize else { return nil }
    let key = [UInt8](copying: bytes.extracting(name))
    var index = indices[key]
    if index == nil {
      guard tags.count < EventLimits.tags else { return nil }
      let kind: Kind =
        switch value.plugin.map({ text(bytes, $0) }) {
        case "scalars": .scalars
        case "text": .text
        case nil: value.number == nil ? .other : .scalars
        default: .other
        }
      tags.append(Tag(bytes: key, kind: kind))
      index = tags.count - 1
      indices[key] = index
    }
    if let index, tags.indices.contains(last) {
      tags[last].next = index
      last = index
    }
    return index
  }

  private func isName(_ index: Int, _ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    let name = tags[index].bytes
    guard name.count == range.count else { return false }
    for offset in 0..<name.count where name[offset] != bytes[range.lowerBound + offset] {
      return false
    }
    return true
  }

  private func text(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String {
    let end = min(range.upperBound, range.lowerBound + EventLimits.textSize)
    return String(
      decoding: [UInt8](copying: bytes.extracting(range.lowerBound..<end)), as: UTF8.self)
  }

  private mutating func add(_ value: Double, _ index: Int, _ step: Int, _ time: Double) {
    hasContent = true
    run.firstTime = run.firstTime ?? time
    tags[index].curve.append(EventCurve.Point(step: step, value: value, time: time))
    pointCount += 1
    if pointCount > limits.points { makeRoom() }
  }

  private mutating func add(_ text: String, _ index: Int, _ step: Int) {
    hasContent = true
    textBytes += text.utf8.count + 64
    guard textBytes <= EventLimits.textBytes else {
      run.otherCount += 1
      return
    }
    tags[index].texts.append(EventRun.Text(step: step, text: text, job: job))
  }

  /// Thins curves until there is room for as many points again: those that nobody asked for before
  /// all others, and the longest before the shorter ones.
  private mutating func makeRoom() {
    func count() -> Int {
      tags.reduce(0) { $0 + $1.curve.points.count + $1.curve.superseded.count }
    }
    var isSpared = tags.map { isEssential(String(decoding: $0.bytes, as: UTF8.self)) }
    pointCount = count()
    while pointCount > limits.points / 2 {
      let longest = tags.indices.filter { !isSpared[$0] }.max {
        tags[$0].curve.points.count < tags[$1].curve.points.count
      }
      if let longest, tags[longest].curve.points.count > 64 {
        tags[longest].curve.thin()
      } else if isSpared.contains(true), pointCount > limits.points {
        isSpared = isSpared.map { _ in false }
      } else {
        break
      }
      pointCount = count()
    }
  }
}

extension Array where Element == UInt8 {
  /// The bytes of a span.
  init(copying span: Span<UInt8>) {
    self.init()
    reserveCapacity(span.count)
    for index in span.indices { append(span[index]) }
  }
}
