import ByteIO
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import Megatron
@testable import Transfer

/// Buffers of any size and any number of threads make the same of a plan.
@Suite struct WorkbenchTests {
  /// Tensors in one strip and in many, chunks of a few elements, work of one thread and of several,
  /// written at once and next to what is read next, all of it and in part.
  private static let sizes: [WorkerBuffers.Sizes] = [
    .init(window: 512, windows: 1, stage: 512, threads: 1, sharedFrom: 0),
    .init(window: 1000, windows: 1, stage: 4096, threads: 3, sharedFrom: 0),
    .init(window: 1000, windows: 2, stage: 4096, threads: 3, sharedFrom: 0),
    .init(window: 3072, windows: 1, stage: 256, threads: 2, sharedFrom: 400),
    .init(window: 3072, windows: 2, stage: 256, threads: 2, sharedFrom: 400),
    .init(window: 700, windows: 1, stage: 1024, threads: 1, sharedFrom: 0),
    .init(window: 700, windows: 2, stage: 1024, threads: 1, sharedFrom: 300),
    .init(window: 20_000, windows: 2, stage: 600, threads: 4, sharedFrom: 0),
    .init(window: 20_000, windows: 2, stage: 600, threads: 4, sharedFrom: 3000),
  ]

  private static let dtypes: [DType?] = [nil, .f32]

  /// A plan that writes one file.
  private func plan(_ index: Checkpoint, dtype: DType? = nil) throws -> TransferPlan {
    var options = ConversionOptions()
    options.dtype = dtype
    options.maximumShardSize = nil
    return try Planner.plan(index, options: options).transfer
  }

  @Test(arguments: GenuineDumpTests.dumps, dtypes)
  func windowsAndStagesOfAnySizeGiveTheSameBytes(dump: String, dtype: DType?) throws {
    let folder = try TemporaryFolder()
    let plan = try plan(index(fixture("dumps/\(dump)/ckpt")), dtype: dtype)
    func make(_ name: String, _ sizes: WorkerBuffers.Sizes) throws -> ([UInt8], ExecutionReport) {
      let path = folder.path.appending(name)
      let sink = try FileSink(plan.shards[0], at: path)
      let executor = PlanExecutor(plan, sizes: sizes)
      try executor.run(into: sink)
      try executor.finish()
      return (try bytes(of: path), executor.report)
    }
    let whole = try make("whole", WorkerBuffers.Sizes())
    for (number, sizes) in WorkbenchTests.sizes.enumerated() {
      let other = try make("\(number)", sizes)
      #expect(other == whole, "\(sizes)")
    }
  }

  /// Hashes come out alike whether something is written or not, and in what portions.
  @Test(arguments: GenuineDumpTests.dumps)
  func hashesDependOnTheElementsAlone(dump: String) throws {
    let plan = try plan(index(fixture("dumps/\(dump)/ckpt")))
    let whole = try TensorHashes.ofAll(plan, .auto, threads: 1)
    #expect(whole.count == plan.tensors.count)
    #expect(Set(whole.values.map(\.bits)).count > 26, "tensors that differ have different hashes")
    let folder = try TemporaryFolder()
    for (number, sizes) in WorkbenchTests.sizes.enumerated() {
      let hashes = TensorHashes(plan)
      let executor = PlanExecutor(plan, sizes: sizes, observers: [hashes])
      try executor.run(into: nil)
      try executor.finish()
      #expect(hashes.takeFound() == whole, "\(sizes)")
      let sink = try FileSink(plan.shards[0], at: folder.path.appending("\(number)"))
      try executor.run(into: sink)
      #expect(hashes.found == whole, "\(sizes)")
    }
  }

  /// Float32 values from 1 on, of which float16 holds those below 65520.
  @Test(arguments: sizes)
  func valuesThatBecomeInfiniteAreCountedWhereverTheyAreWritten(sizes: WorkerBuffers.Sizes) throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter(
      TestModel(layers: 3, hidden: 64, heads: 4, feedForward: 256, vocabulary: 128))
    writer.ranks = 2
    try writer.write(to: folder)
    let plan = try plan(index(folder.path), dtype: .f16)
    var expected = 0
    for tensor in writer.model.tensors.values {
      expected += tensor.values.count { !Float16($0).isFinite }
    }
    #expect(expected > 60_000)
    let sink = try FileSink(plan.shards[0], at: folder.path.appending("out"))
    let executor = PlanExecutor(plan, sizes: sizes)
    try executor.run(into: sink)
    let found = executor.report.findings.values.reduce(0) { $0 + $1.floats.overflowed }
    #expect(found == expected)
  }

  /// Takes a number of portions, and then fails.
  private final class FailingSink: TensorSink {
    struct Full: Error {}
    private let left: Locked<Int>

    init(after count: Int) { left = Locked(count) }

    func take(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
      try left.withLock { left in
        guard left > 0 else { throw Full() }
        left -= 1
      }
    }
  }

  @Test(arguments: sizes)
  func whatTheSinkThrowsIsThrown(sizes: WorkerBuffers.Sizes) throws {
    let plan = try plan(index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")))
    var portions = 0
    while portions < 100_000 {
      do {
        try PlanExecutor(plan, sizes: sizes).run(into: FailingSink(after: portions))
        break
      } catch is FailingSink.Full {
        portions += max(1, portions / 8)
      }
    }
    #expect((50..<100_000).contains(portions), "\(portions) portions")
  }

  @Test func hashingThatIsCancelledEndsAtOnce() throws {
    let plan = try plan(index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")))
    let hashes = TensorHashes(plan)
    hashes.cancel()
    #expect(throws: TensorHashes.Cancelled.self) {
      try hashes.addAll(of: plan, .all, threads: 2) { _ in
        Issue.record("something was read")
      }
    }
    #expect(hashes.found.isEmpty)
  }

  /// What is read for its CRC alone is not read when nobody wants it any more, and the reason is
  /// told as it is: once, it would have been taken for a fault of the file.
  @Test func theReadingOfTheRestIsCancelledToo() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    var options = ConversionOptions()
    options.vocabulary = .rows(10)
    let plan = try Planner.plan(index(folder.path), options: options).transfer
    for isCancelled in [false, true] {
      let hashes = TensorHashes(plan)
      let executor = PlanExecutor(plan, crc: .all, observers: [hashes])
      try executor.run(into: nil)
      guard isCancelled else {
        try executor.finish()
        #expect(executor.report.crcPartlyRead == 0, "the other 6 rows are read")
        continue
      }
      hashes.cancel()
      #expect(throws: TensorHashes.Cancelled.self) { try executor.finish() }
    }
  }

  @Test func hashingMayBeDroppedAtAnyTime() throws {
    let plan = try plan(index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")))
    for _ in 0..<50 { _ = WeightHashing(plan, .all) }
    let asked = WeightHashing(plan, .all)
    #expect(try asked.found() == TensorHashes.ofAll(plan, .none, threads: 3))
  }
}
