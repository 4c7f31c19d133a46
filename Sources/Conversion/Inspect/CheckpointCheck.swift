import ByteIO
public import Diagnostics
import Megatron
import SystemPackage
public import TorchArchive
public import Transfer

/// What reading a checkpoint to its end brings to light: damage wherever a checksum was recorded,
/// replicas that differ, partitions that occur twice, and values that are not finite.
public struct CheckpointCheck: Sendable {
  /// Entries whose checksum agrees.
  public private(set) var verified = 0
  /// Entries whose writer recorded no checksum; empty ones do not count.
  public private(set) var notRecorded = 0
  /// PyTorch files that could be opened, those of the optimizer included.
  public private(set) var filesRead = 0
  /// Bytes that were read, those of weights twice when their replicas were compared.
  public private(set) var bytesRead = 0
  /// Damage, and files that are there in the place of others.
  public private(set) var errors: [Failure] = []
  /// What is missing of the optimizer, replicas that differ, and values that are not finite.
  public private(set) var warnings: [Diagnostic] = []
  /// Tensors whose replicas were compared; `nil` where the model is not one that is converted.
  public private(set) var comparedTensors: Int?

  /// Reads everything, the files of the optimizer, too.
  ///
  /// - Parameters:
  ///   - inspection: The checkpoint.
  ///   - threads: How many threads share the comparison of replicas.
  ///   - limits: How much a file may make the reader do.
  ///   - started: Called with the number of bytes that will be read.
  ///   - progress: Called with the number of bytes that were read so far.
  /// - Throws: `Failure` when a file cannot be opened, or `Interrupted`.
  public init(
    _ inspection: CheckpointInspection, threads: Int = 1, limits: TorchLimits = TorchLimits(),
    started: (_ bytes: Int) -> Void = { _ in },
    progress: @escaping ExecutionReport.Progress = { _ in }
  ) throws {
    let index = inspection.index
    let optimizer = OptimizerFiles(index)
    var files = index.files.map { (name: $0.name, path: $0.path) }
    files += zip(optimizer.names, optimizer.paths).map { (name: $0, path: $1) }
      .filter { optimizer in !files.contains { $0.name == optimizer.name } }
    let sizes = files.map { FileSystem.identity(of: $0.path)?.size ?? 0 }
    let weights = inspection.plan?.sourceBytes ?? 0
    started(sizes.reduce(weights, +))
    let buffer = ByteBuffer(count: ByteBuffer.passSize)
    for file in files {
      do {
        try read(file.path, file.name, through: buffer, limits, progress)
      } catch let stop as Interrupted {
        throw stop
      } catch {
        errors.append(Failure(reading: error, file: file.path))
      }
    }
    for rank in optimizer.missing {
      warnings.append(
        Diagnostic(
          .checkpointOptimizer, "the optimizer state is not complete: \(rank) is missing"))
    }
    do {
      _ = try DuplicatedShards.check(inspection.model, accepted: false)
    } catch {
      errors.append(error)
    }
    // A file that is damaged is reported above.
    guard let plan = inspection.plan, errors.isEmpty else { return }
    let before = bytesRead
    let executor = PlanExecutor(plan.transfer, crc: .none, sizes: .reading(threads: threads)) {
      bytes in
      progress(before + bytes)
    }
    try executor.run(into: nil)
    try executor.finish()
    comparedTensors = plan.tensors.count
    bytesRead += executor.report.bytesRead
    warnings += plan.warnings(about: executor.report).filter { $0.code != .crcNotChecked }
  }

  private mutating func read(
    _ path: FilePath, _ name: String, through buffer: ByteBuffer, _ limits: TorchLimits,
    _ progress: ExecutionReport.Progress
  ) throws {
    let file = try TorchFile(opening: path, limits: limits)
    filesRead += 1
    for entry in file.entries {
      let reader = StoredBytesReader(entry, in: file.file)
      do {
        for start in stride(from: 0, to: entry.size, by: buffer.count) {
          try Interrupted.check()
          let count = min(buffer.count, entry.size - start)
          try reader.read(at: start, into: buffer, 0..<count)
          bytesRead += count
          progress(bytesRead)
        }
        switch try reader.verdict() {
        case .verified: verified += 1
        case .notRecorded: notRecorded += entry.size > 0 ? 1 : 0
        case .partlyRead, .notChecked: verified += entry.size == 0 ? 1 : 0
        }
      } catch let error as TorchFileError {
        errors.append(Failure(reading: error, file: path))
      }
    }
    try file.file.checkUnchanged()
  }
}
