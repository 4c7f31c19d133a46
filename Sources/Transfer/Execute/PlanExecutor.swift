import ByteIO
import Diagnostics
import TorchArchive

/// How much of the recorded CRCs is checked.
public enum CRCMode: String, Hashable, Sendable, CaseIterable {
  /// Where all bytes of an entry are read anyway.
  case auto
  /// Every entry that is touched, even if the rest of it must be read for that.
  case all
  case none
}

/// Carries out a plan: each stored byte is read once and goes into a sink, or, without one, is
/// looked at.
///
/// Runs that are stored as they are written are copied (``RangeCopy``), on several threads; what
/// has to be put into another order is put together in rows (``TensorAssembly``), likewise.
/// Replicas are compared side by side, and what neither fits, such as a deflated storage, is
/// scattered from front to back.
///
/// Memory is one window or two and the buffers of each thread, whatever the model's size; replicas
/// that are compared share a window.
package final class PlanExecutor {
  package let plan: TransferPlan
  package var report = ExecutionReport()
  let crc: CRCMode
  private let progress: ExecutionReport.Progress
  private let observers: [any ElementObserver]
  private let openFiles: OpenFiles
  private let sizes: WorkerBuffers.Sizes
  /// What is known of the CRCs of storages, by their positions in the plan.
  var ledgers: [Int: ChecksumLedger] = [:]
  private var heldBench: WorkerBuffers?
  /// How many finite values became infinite when tensors were written, by the positions of the
  /// tensors.
  private let overflowed = Locked<[Int: Int]>([:])

  /// The buffers of a conversion. Where the output was asked for in float32, or masters stand
  /// next to the weights, there is more to write than was trained with, and several threads get a
  /// second window, so that it is written while the next is read.
  package static func sizes(
    _ plan: TransferPlan, comparesMasters: Bool, threads: Int
  ) -> WorkerBuffers.Sizes {
    let isWidened = comparesMasters || plan.isWidening
    return WorkerBuffers.Sizes(windows: isWidened && threads > 1 ? 2 : 1, threads: threads)
  }

  /// An executor of `plan`.
  ///
  /// - Parameters:
  ///   - plan: The plan.
  ///   - crc: How much of the recorded CRCs is checked.
  ///   - threads: How many threads share the work.
  ///   - observers: Called with every element that is read.
  ///   - progress: Called after each step.
  package convenience init(
    _ plan: TransferPlan, crc: CRCMode = .auto, threads: Int = 1,
    observers: [any ElementObserver] = [],
    progress: @escaping ExecutionReport.Progress = { _ in }
  ) {
    self.init(
      plan, crc: crc,
      sizes: PlanExecutor.sizes(plan, comparesMasters: !observers.isEmpty, threads: threads),
      observers: observers, progress: progress)
  }

  /// An executor with buffers of any size.
  package init(
    _ plan: TransferPlan, crc: CRCMode = .auto, sizes: WorkerBuffers.Sizes,
    observers: [any ElementObserver] = [], progress: @escaping ExecutionReport.Progress = { _ in }
  ) {
    self.plan = plan
    self.crc = crc
    self.progress = progress
    self.observers = observers
    openFiles = OpenFiles(plan)
    self.sizes = sizes
  }

  /// Buffers and threads, from the first use to ``releaseMemory()``.
  var bench: WorkerBuffers {
    if let heldBench { return heldBench }
    let bench = WorkerBuffers(sizes, observers: observers)
    heldBench = bench
    return bench
  }

  /// Gives the buffers back.
  func releaseMemory() { heldBench = nil }

  /// Makes the tensors at `positions`, all of them if it is `nil`.
  ///
  /// - Parameters:
  ///   - positions: Which tensors.
  ///   - sink: Where they go; without one, they are read and checked and not made.
  /// - Throws: `Failure`, or what the sink throws; 130 and the like when a signal asked
  ///   for a stop.
  package func run(_ positions: [Int]? = nil, into sink: (any TensorSink)?) throws {
    let schedule = Schedule(
      positions ?? Array(plan.tensors.indices), of: plan, window: sizes.window, stage: sizes.stage)
    for fill in schedule.fills { try self.fill(fill, sink) }
    for step in schedule.steps {
      switch step {
      case .range(let range): try carryOut(range, sink)
      case .assembly(let assembly): try carryOut(assembly, sink)
      }
    }
    try bench.finishDeferred()
    for (tensor, count) in overflowed.withLock({ $0 }) {
      report.findings[tensor, default: TensorFindings()].floats.overflowed += count
    }
    overflowed.withLock { $0 = [:] }
    for (storage, copies) in schedule.streams { try stream(storage, copies, sink) }
    for merge in schedule.merges { try self.merge(merge, sink) }
    try openFiles.checkUnchanged()
  }

  /// Ends the work when its result is not wanted any more.
  ///
  /// - Throws: `Interrupted`, or ``TensorHashes/Cancelled``.
  func checkWanted() throws {
    try Interrupted.check()
    for observer in observers { try observer.checkWanted() }
  }

  // MARK: - One tensor

  private func carryOut(_ range: RangeCopy, _ sink: (any TensorSink)?) throws {
    try checkWanted()
    let storage = range.source.storage
    let found = try range.carryOut(
      from: openFiles.file(plan.storages[storage].file), plan, on: bench,
      checksums: isChecksumWanted(storage), to: sink)
    try note(range.bytes, crc: found.crc, of: storage)
    count(found.floats, in: range.tensor, bytesRead: range.bytes.count)
    let size = plan.tensors[range.tensor].format.size
    let written = range.start * size..<(range.start + range.count) * size
    if let sink {
      try bench.runLater(bytes: written.count) { _ in sink.finished(written, tensor: range.tensor) }
    }
  }

  private func carryOut(_ assembly: TensorAssembly, _ sink: (any TensorSink)?) throws {
    var files: [Int: InputFile] = [:]
    for part in assembly.parts {
      let file = plan.storages[part.storage].file
      if files[file] == nil { files[file] = try openFiles.file(file) }
    }
    var crcs = [UInt32](repeating: 0, count: assembly.parts.count)
    for strip in sink == nil ? [assembly.rows] : assembly.strips {
      try checkWanted()
      let window = sink == nil ? nil : bench.window
      let found = try assembly.read(
        strip, from: files, plan, on: bench, checksums: crc != .none, into: window)
      for index in crcs.indices { crcs[index] ^= found.crcs[index] }
      count(found.counts, in: assembly.tensor, bytesRead: found.bytesRead)
      if let sink, let window { try write(strip, of: assembly, from: window, sink) }
    }
    for (part, crc) in zip(assembly.parts, crcs) {
      try note(part.isDense ? part.bytes : 0..<0, crc: crc, of: part.storage)
    }
  }

  /// Writes a strip: during the reading of what comes next, if there is another window for it, and
  /// else now.
  private func write(
    _ strip: Range<Int>, of assembly: TensorAssembly, from window: ByteBuffer,
    _ sink: any TensorSink
  ) throws {
    let groups = assembly.groups(of: strip, in: window, on: bench)
    let size = assembly.width * plan.tensors[assembly.tensor].format.size
    let bytes = strip.lowerBound * size..<strip.upperBound * size
    let write = {
      @Sendable [plan, overflowed] (range: Range<Int>, stage: WorkerBuffers.ThreadBuffers) in
      let count = try assembly.write(groups[range], plan, on: stage, to: sink)
      if count > 0 { overflowed.withLock { $0[assembly.tensor, default: 0] += count } }
    }
    if bench.isOverlapping {
      return try bench.runLater(bytes: bytes.count) { stage in
        try write(groups.indices, stage)
        sink.finished(bytes, tensor: assembly.tensor)
      }
    }
    if sink.takesTurns, bench.stages.count > 1, !assembly.isComputed(in: plan) {
      // A file takes one thread at a time: one writes, and another one meanwhile sums up the same
      // bytes.
      let whole = assembly.rows(of: strip, in: window)
      try bench.share(2, bytes: bytes.count) { _, index in
        guard index == 0 else {
          return try sink.note(
            CRC32.checksum(whole), of: bytes.count, tensor: assembly.tensor, at: bytes.lowerBound)
        }
        for (first, rows) in groups {
          try Interrupted.check()
          try sink.take(rows, tensor: assembly.tensor, at: first * size)
        }
      }
    } else {
      try bench.share(groups.count, bytes: bytes.count) { stage, index in
        try write(index..<index + 1, stage)
      }
    }
    try bench.runLater(bytes: bytes.count) { _ in sink.finished(bytes, tensor: assembly.tensor) }
  }

  /// Whether the CRC of a storage is wanted and recorded.
  private func isChecksumWanted(_ storage: Int) -> Bool {
    crc != .none && plan.storages[storage].entry.crc != nil
  }

  /// Keeps the CRC of a range of a storage that was read; one that is known by now to be wrong ends
  /// the conversion.
  private func note(_ range: Range<Int>, crc: UInt32, of storage: Int) throws {
    if isChecksumWanted(storage) {
      ledgers[storage, default: ChecksumLedger()].absorb(
        ChecksumLedger.Segment(range: range, crc: crc))
    }
    try note(reader(storage), storage)
  }

  private func count(_ counts: FloatCounts, in tensor: Int, bytesRead: Int) {
    report.findings[tensor, default: TensorFindings()].floats += counts
    report.bytesRead += bytesRead
    progress(report.bytesRead)
  }

  // MARK: - Reading

  /// Keeps what a reader found out about the CRC of its storage; a CRC that is known by now to be
  /// wrong ends the conversion.
  func note(_ reader: StoredBytesReader, _ storage: Int) throws {
    do {
      _ = try reader.verdict()
    } catch {
      throw Failure(reading: error, file: reader.path)
    }
    ledgers[storage] = reader.ledger
  }

  /// Reads a range of a storage to the beginning of the window.
  func read(_ range: Range<Int>, with reader: StoredBytesReader) throws {
    try checkWanted()
    do {
      try reader.read(at: range.lowerBound, into: bench.window, 0..<range.count)
    } catch {
      throw Failure(reading: error, file: reader.path)
    }
    report.bytesRead += range.count
    progress(report.bytesRead)
  }

  func reader(_ storage: Int) throws(Failure) -> StoredBytesReader {
    let stored = plan.storages[storage]
    let file = try openFiles.file(stored.file)
    return StoredBytesReader(
      stored.entry, in: file, checksums: crc != .none, ledger: ledgers[storage] ?? ChecksumLedger())
  }
}
