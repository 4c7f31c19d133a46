import ByteIO
public import Diagnostics
import DistributedCheckpoint
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
    if let source = index.distributed {
      try read(source, through: buffer, limits, progress)
    } else {
      for file in files {
        do {
          filesRead += 1
          try read(TorchFile(opening: file.path, limits: limits), through: buffer, progress)
        } catch let stop as Interrupted {
          throw stop
        } catch {
          filesRead -= 1
          errors.append(Failure(reading: error, file: file.path))
        }
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

  /// Reads all chunks and values of a distributed checkpoint, each a file of its own with
  /// checksums; chunks without are only counted. Where the trainer recorded digests of the files,
  /// they are compared.
  private mutating func read(
    _ source: DistributedCheckpoint, through buffer: ByteBuffer, _ limits: TorchLimits,
    _ progress: ExecutionReport.Progress
  ) throws {
    var places: [Int: [Range<Int>]] = [:]
    for chunk in source.tensors.flatMap(\.chunks) {
      switch chunk.place.form {
      case .archive: places[chunk.place.file, default: []].append(chunk.place.bytes)
      case .elements: notRecorded += 1
      }
    }
    for object in source.objects { places[object.file, default: []].append(object.bytes) }
    for (position, ranges) in places.sorted(by: { $0.key < $1.key }) {
      do {
        let file = try source.open(position)
        filesRead += 1
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
          try Interrupted.check()
          do {
            let archive = try TorchFile(reading: file.slice(range), limits: limits)
            try read(archive, through: buffer, progress)
          } catch let stop as Interrupted {
            throw stop
          } catch {
            var failure = Failure(reading: error, file: file.path)
            failure.offset = range.lowerBound + (failure.offset ?? 0)
            errors.append(failure)
          }
        }
      } catch let stop as Interrupted {
        throw stop
      } catch {
        errors.append(Failure(reading: error, file: source.path(of: position)))
      }
    }
    for (name, digest) in try source.recordedDigests() {
      let path = source.folder.appending(FilePath(name).components)
      let found = try FileDigest.sha256(path)
      if found == digest {
        verified += 1
      } else {
        errors.append(
          Failure(
            .distributedIntegrity,
            "its SHA-256 is \(found), but integrity.json says \(digest)", file: path.string,
            hint: "the file is damaged: copy it again"))
      }
    }
  }

  /// Reads all entries of a file.
  private mutating func read(
    _ file: TorchFile, through buffer: ByteBuffer, _ progress: ExecutionReport.Progress
  ) throws {
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
        errors.append(Failure(reading: error, file: file.file.path))
      }
    }
    try file.file.checkUnchanged()
  }
}
