public import ByteIO
import SystemPackage
import TorchArchive

/// Where the bytes of output tensors go: into files, or into a comparison.
public protocol TensorSink: AnyObject {
  /// Takes `range` of `buffer` as the bytes of output tensor `tensor` from byte `offset` on.
  func accept(_ range: Range<Int>, of buffer: ByteBuffer, tensor: Int, at offset: Int) throws
}

/// How much of the recorded CRCs is checked.
public enum CRCMode: String, Hashable, Sendable, CaseIterable {
  /// Where all bytes of an entry are read anyway.
  case auto
  /// Every entry that is touched, even if the rest of it must be read for that.
  case all
  case none
}

/// A sink that takes bytes from several threads at the same time.
public protocol ConcurrentSink: TensorSink, Sendable {
  /// Notes that `range` of the bytes of a tensor is complete.
  func finished(_ range: Range<Int>, tensor: Int)
}

/// Carries out a plan, driven by the sources: each stored byte is read once, into a window, and goes from
/// there into a sink. Where the parts of a tensor fit into the window together, whole rows are put
/// together (``TensorAssembly``); else each storage is scattered by itself, from front to back.
///
/// Memory is the window and two small buffers for each thread, whatever the model's size; replicas
/// that are compared share the window.
public final class PlanExecutor {
  /// What is called now and then, with the number of bytes that were read so far.
  public typealias Progress = (_ bytesRead: Int) -> Void

  public let plan: ConversionPlan
  public internal(set) var report = ExecutionReport()
  let crc: CRCMode
  private let progress: Progress
  private let openFiles: OpenFiles
  /// A window of a storage.
  let window: ByteBuffer
  /// Elements in the order of the output, as stored and as converted.
  var staged: ByteBuffer { stages[0].staged }
  var converted: ByteBuffer { stages[0].converted }
  /// Two of them for each thread.
  private let stages: [(staged: ByteBuffer, converted: ByteBuffer)]
  /// What is known of the CRCs of storages, by their positions in the plan.
  var ledgers: [Int: ChecksumLedger] = [:]

  /// The size of the window. A whole projection of a model of hidden size 2048 fits, so that its
  /// transposition is written in long runs.
  public static let windowSize = 32 << 20
  /// The size of the two buffers in which strips of the output are put together.
  public static let stageSize = 1 << 20

  /// More threads than that only wait for memory and disk.
  public static let maximumThreads = 4

  /// The memory that the buffers of a conversion on so many threads take.
  public static func bufferSize(threads: Int) -> Int {
    windowSize + 2 * threads * stageSize + 1 << 20
  }

  /// An executor of `plan`.
  ///
  /// - Parameters:
  ///   - plan: The plan.
  ///   - crc: How much of the recorded CRCs is checked.
  ///   - windowSize: The size of the window in bytes; small ones serve tests.
  ///   - stageSize: The size of each of the two other buffers.
  ///   - threads: How many threads share the work.
  ///   - progress: Called after each window.
  public init(
    _ plan: ConversionPlan, crc: CRCMode = .auto, windowSize: Int = PlanExecutor.windowSize,
    stageSize: Int = PlanExecutor.stageSize, threads: Int = 1,
    progress: @escaping Progress = { _ in }
  ) {
    self.plan = plan
    self.crc = crc
    self.progress = progress
    openFiles = OpenFiles(plan)
    window = ByteBuffer(count: windowSize)
    stages = (0..<max(1, threads)).map { _ in
      (ByteBuffer(count: stageSize), ByteBuffer(count: stageSize))
    }
  }

  /// Makes the tensors at `positions`, all of them if it is `nil`.
  ///
  /// - Throws: ``ConversionError``, or what the sink throws; 130 and the like when a signal asked
  ///   for a stop.
  public func run(_ positions: [Int]? = nil, into sink: any TensorSink) throws {
    let positions = positions ?? Array(plan.tensors.indices)
    var streams: [Int: [ScheduledCopy]] = [:]
    var merges: [(tensor: Int, merge: ScheduledMerge)] = []
    var assemblies: [TensorAssembly] = []
    for position in positions {
      let (made, left) = TensorAssembly.assemblies(
        of: position, in: plan, window: window.count, stage: staged.count)
      assemblies += made
      for piece in left {
        switch piece {
        case .copy(let source, let destination, let addend):
          streams[source.storage, default: []].append(
            ScheduledCopy(
              tensor: position, source: source, destination: destination, addend: addend))
        case .merge(let replicas, let destination, let addend, let rule):
          merges.append(
            (
              position,
              ScheduledMerge(
                replicas: replicas, destination: destination, addend: addend, rule: rule)
            )
          )
        case .fill(let value, let count, let destination):
          try fill(value, count, destination, position, sink)
        }
      }
    }
    // In the order of the files and of the bytes in them, so that disks read forwards.
    func place(_ storage: Int) -> (Int, Int) {
      (plan.storages[storage].file, plan.storages[storage].entry.dataOffset)
    }
    assemblies.sort { place($0.parts[0].source.storage) < place($1.parts[0].source.storage) }
    for assembly in assemblies { try carryOut(assembly, sink) }
    for storage in streams.keys.sorted(by: { place($0) < place($1) }) {
      try stream(storage, streams[storage] ?? [], sink)
    }
    merges.sort { place($0.merge.replicas[0].storage) < place($1.merge.replicas[0].storage) }
    for (tensor, merge) in merges { try self.merge(tensor, merge, sink) }
    try openFiles.checkUnchanged()
  }

  // MARK: - One tensor

  private func carryOut(_ assembly: TensorAssembly, _ sink: any TensorSink) throws {
    try Stop.check()
    let files = try assembly.parts.map { part throws(ConversionError) in
      try openFiles.file(plan.storages[part.source.storage].file)
    }
    let bytes = assembly.parts.reduce(0) { $0 + $1.bytes.count }
    // What is small is done before a thread has begun.
    let threads = bytes < 1 << 19 ? 1 : stages.count
    let segments = try assembly.read(
      from: files, plan, into: window, checksums: crc != .none, threads: threads)
    for (storage, segment) in segments {
      ledgers[storage, default: ChecksumLedger()].absorb(segment)
    }
    for part in assembly.parts { try note(reader(part.source.storage), part.source.storage) }
    report.bytesRead += bytes
    progress(report.bytesRead)
    let counts = try assembly.write(
      plan, from: window, stages: Array(stages.prefix(threads)), to: sink)
    report.findings[assembly.tensor, default: TensorFindings()].floats += counts
    let size = plan.tensors[assembly.tensor].format.size
    (sink as? any ConcurrentSink)?.finished(
      assembly.start * size..<(assembly.start + assembly.rows * assembly.width) * size,
      tensor: assembly.tensor)
  }

  // MARK: - One storage

  private struct ScheduledCopy {
    let tensor: Int
    let source: StoredBox
    let destination: Piece.Destination
    let addend: Float
  }

  private struct Block {
    let copy: ScheduledCopy
    let part: CopyBlock
    let bytes: Range<Int>
  }

  private func stream(_ storage: Int, _ copies: [ScheduledCopy], _ sink: any TensorSink) throws {
    var blocks: [Block] = []
    for copy in copies {
      let size = copy.source.format.size
      let whole = CopyBlock(
        source: copy.source.offset, target: copy.destination.offset,
        sizes: copy.source.box.sizes, sourceStrides: copy.source.box.strides,
        targetStrides: copy.destination.strides)
      for part in whole.split(sourceExtent: window.count / size) {
        blocks.append(
          Block(
            copy: copy, part: part,
            bytes: part.source * size..<(part.source + part.sourceExtent) * size))
      }
    }
    blocks.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
    let reader = try reader(storage)
    var next = 0
    while next < blocks.count {
      // As many blocks as fit into the window, without the gaps between them: what lies there is
      // not needed, or is read when its replicas are.
      var range = blocks[next].bytes
      var last = next + 1
      while last < blocks.count, blocks[last].bytes.upperBound - range.lowerBound <= window.count,
        blocks[last].bytes.lowerBound <= range.upperBound
      {
        range = range.lowerBound..<max(range.upperBound, blocks[last].bytes.upperBound)
        last += 1
      }
      try read(range, with: reader)
      for block in blocks[next..<last] {
        try scatter(
          block.part, from: window,
          at: block.part.source * block.copy.source.format.size
            - range.lowerBound, block.copy.source, addend: block.copy.addend,
          tensor: block.copy.tensor, sink)
      }
      next = last
    }
    try note(reader, storage)
  }

  /// Keeps what a reader found out about the CRC of its storage; a CRC that is known by now to be
  /// wrong ends the conversion.
  func note(_ reader: EntryReader, _ storage: Int) throws {
    do {
      _ = try reader.verdict()
    } catch {
      throw ConversionError(reading: error, file: reader.path)
    }
    ledgers[storage] = reader.ledger
  }

  func read(_ range: Range<Int>, with reader: EntryReader) throws {
    try Stop.check()
    do {
      try reader.read(at: range.lowerBound, into: window, 0..<range.count)
    } catch {
      throw ConversionError(reading: error, file: reader.path)
    }
    report.bytesRead += range.count
    progress(report.bytesRead)
  }

  func reader(_ storage: Int) throws(ConversionError) -> EntryReader {
    let stored = plan.storages[storage]
    let file = try openFiles.file(stored.file)
    return EntryReader(
      stored.entry, in: file, checksums: crc != .none, ledger: ledgers[storage] ?? ChecksumLedger())
  }

  // MARK: - Into the sink

  /// Puts a block that lies in memory into the order of the output, strip by strip, and hands it on.
  private func scatter(
    _ block: CopyBlock, from buffer: ByteBuffer, at start: Int, _ source: StoredBox, addend: Float,
    tensor: Int, _ sink: any TensorSink
  ) throws {
    let format = plan.tensors[tensor].format
    let width = max(source.format.size, format.size)
    // The axes in the order of the output, so that what is written lies together.
    for strip in block.orderedByTarget.split(count: staged.count / width) {
      let count = strip.count
      let offset = start + (strip.source - block.source) * source.format.size
      staged.gather(
        ElementBox(sizes: strip.sizes, strides: strip.sourceStrides), from: buffer, at: offset,
        elementSize: source.format.size, to: 0)
      if source.isBigEndian { staged.swapBytes(count, wordSize: source.format.size, at: 0) }
      try emit(strip, count, as: source.format, addend: addend, tensor: tensor, sink)
    }
  }

  /// Converts `count` staged elements and hands them to the sink in runs.
  func emit(
    _ strip: CopyBlock, _ count: Int, as stored: FloatFormat, addend: Float, tensor: Int,
    _ sink: any TensorSink
  ) throws {
    let format = plan.tensors[tensor].format
    var counts = staged.countNonFinite(count, as: stored, at: 0)
    var ready = staged
    if format != stored || addend != 0 {
      counts.overflowed = converted.convert(
        count, from: staged, at: 0, as: stored, to: format, at: 0, adding: addend)
      ready = converted
    }
    report.findings[tensor, default: TensorFindings()].floats += counts
    let run = strip.targetRun
    var position = 0
    try strip.forEachTargetRun { target in
      try sink.accept(
        position * format.size..<(position + run) * format.size, of: ready, tensor: tensor,
        at: target * format.size)
      position += run
    }
  }

  private func fill(
    _ value: Float, _ count: Int, _ destination: Piece.Destination, _ tensor: Int,
    _ sink: any TensorSink
  ) throws {
    let format = plan.tensors[tensor].format
    let constant = ByteBuffer(
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) })
    var done = 0
    while done < count {
      let part = min(count - done, converted.count / 4)
      staged.gather(
        ElementBox(sizes: [part], strides: [0]), from: constant, at: 0, elementSize: 4, to: 0)
      _ = converted.convert(part, from: staged, at: 0, as: .float32, to: format, at: 0)
      try sink.accept(
        0..<part * format.size, of: converted, tensor: tensor,
        at: (destination.offset + done) * format.size)
      done += part
    }
  }
}
