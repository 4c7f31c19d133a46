import ByteIO
import Diagnostics
import JSON
import SystemPackage
import Transfer

/// One run of a conversion: files are made or taken up one by one, and OUTPUT of all of them.
final class ConversionRun {
  private let converter: Conversion
  private let folder: OutputTransaction
  private let options: RunOptions
  private let watcher: (Conversion.Event) -> Void
  private let executor: PlanExecutor
  /// What is known of the files that are finished, by their positions in the plan.
  private var records: [Int: ResumeRecord] = [:]
  /// Whether files are worth being recognised by another run. A single one is finished when all is.
  private let keepsRecords: Bool
  /// The hashes of the masters of a file.
  private let masters: TensorHashes?
  /// The hashes of the weights that the masters are compared with. The writing of files leaves a
  /// thread with little to do, so they are formed meanwhile.
  private let weights: WeightHashing?
  private lazy var buffer = ByteBuffer(count: ByteBuffer.passSize)

  private var plan: ConversionPlan { converter.plan }

  init(
    _ converter: Conversion, in folder: OutputTransaction, options: RunOptions,
    watcher: @escaping (Conversion.Event) -> Void
  ) {
    self.converter = converter
    self.folder = folder
    self.options = options
    self.watcher = watcher
    let masters = converter.trained.map {
      TensorHashes(converter.plan.transfer, in: $0.tensors.map(\.format))
    }
    self.masters = masters
    executor = PlanExecutor(
      converter.plan.transfer, crc: options.crc, threads: options.threads,
      observers: masters.map { [$0] } ?? []
    ) {
      watcher(.reading(bytes: $0))
    }
    weights = converter.trained.flatMap { trained in
      guard options.work == .all, options.threads > 1 else { return nil }
      return WeightHashing(trained.transfer, options.crc)
    }
    keepsRecords = options.work != .all || options.resume && converter.plan.shards.count > 1
  }

  /// Makes files, or takes up those that an earlier run has finished.
  ///
  /// - Parameters:
  ///   - shards: The positions of the files in the plan.
  ///   - part: The part that this is, if it is one.
  /// - Throws: `Failure`, `Interrupted`, or ``OutputTransaction/StagingTaken``.
  func write(_ shards: [Int], part: WorkShare? = nil) throws {
    for shard in shards {
      try Interrupted.check()
      let name = plan.shards[shard].fileName
      if keepsRecords, options.resume, try reuse(shard) {
        watcher(.resumedFile(name: name, bytes: plan.shards[shard].size))
      } else {
        try writeFile(shard, part)
        watcher(.finishedFile(name: name, bytes: plan.shards[shard].size))
      }
    }
  }

  /// Takes up the files that the parts have made.
  ///
  /// - Throws: `Failure` 75 when some are missing or damaged.
  func adoptParts() throws {
    let missing = try plan.shards.indices.filter { shard in
      guard try reuse(shard) else { return true }
      watcher(.resumedFile(name: plan.shards[shard].fileName, bytes: plan.shards[shard].size))
      return false
    }
    guard let first = missing.first else { return }
    // Each record says how many parts there are, and so which of them makes the missing files.
    let counts = Set(records.values.compactMap { $0.part?.count })
    var parts = ""
    if counts.count == 1, let count = counts.first {
      let numbers = plan.parts(count).enumerated()
        .filter { !Set($0.element).isDisjoint(with: missing) }.map { "\($0.offset + 1)/\(count)" }
      parts = " (run --part \(numbers.joined(separator: ", --part ")))"
    }
    let verb = missing.count == 1 ? "file is missing" : "files are missing, the first"
    throw Failure(
      .partsMissing,
      "\(missing.count) of \(plan.shards.count) \(verb): \(plan.shards[first].fileName)\(parts)",
      file: folder.staging.string)
  }

  // MARK: - One file

  private func writeFile(_ shard: Int, _ part: WorkShare?) throws {
    let output = plan.shards[shard]
    let temporary = folder.temporaryPath(output.fileName)
    let sink: FileSink
    do {
      sink = try FileSink(output, at: temporary, created: { folder.begun(temporary) })
    } catch {
      throw folder.failure(error)
    }
    try executor.run(output.tensors, into: sink)
    do {
      try sink.finish()
    } catch {
      throw folder.failure(error)
    }
    var record = ResumeRecord(shard: shard, findings: executor.takeFindings())
    record.masters = masters?.takeFound() ?? [:]
    record.tensors = sink.checksums
    record.part = part
    if keepsRecords {
      guard let crc = try checksum(temporary) else {
        throw Failure(
          .outputDamaged, "what was written cannot be read back",
          file: temporary.string)
      }
      record.crc = crc
      try folder.write(
        record.serialized(fingerprint: folder.fingerprint, fileName: output.fileName),
        as: ResumeRecord.name(of: output.fileName), belongsToOutput: false)
    }
    // The record comes first: a file that has none is not taken up.
    try folder.finish(temporary, as: output.fileName)
    records[shard] = record
  }

  /// Takes up a file that is finished, if its size and its contents are what its record says.
  private func reuse(_ shard: Int) throws -> Bool {
    let output = plan.shards[shard]
    let name = ResumeRecord.name(of: output.fileName)
    let path = folder.finishedPath(output.fileName)
    guard FileSystem.exists(path) else { return false }
    guard FileSystem.isRegularFile(path), FileSystem.isRegularFile(folder.finishedPath(name)),
      let bytes = try? JSONFile.bytes(folder.finishedPath(name)),
      let record = ResumeRecord(bytes, shard: shard, of: plan, fingerprint: folder.fingerprint),
      FileSystem.identity(of: path)?.size == output.size, try checksum(path) == record.crc
    else {
      folder.discard(output.fileName)
      folder.discard(name)
      return false
    }
    folder.keep(output.fileName)
    records[shard] = record
    return true
  }

  /// The CRC of a file; `nil` when it cannot be read, so that it is made again.
  private func checksum(_ path: FilePath) throws -> UInt32? {
    do {
      return try FileDigest.crc32(path, through: buffer)
    } catch let error as FileError {
      if error.code == .notFound { throw OutputTransaction.StagingTaken() }
      return nil
    }
  }

  // MARK: - OUTPUT

  /// Checks what was found, writes the small files, and makes OUTPUT.
  ///
  /// - Throws: `Failure`, `Interrupted`, or ``OutputTransaction/StagingTaken``.
  func finish() throws -> Conversion.Result {
    let report = try checkSources()
    var warnings = plan.warnings + plan.warnings(about: report)
    if options.check != .none {
      warnings += try converter.recheck(folder, options)
    }
    if let trained = converter.trained {
      let comparison = MasterComparison(
        plan, masters: records.values.reduce(into: [:]) { $0.merge($1.masters) { $1 } },
        weights: try weights?.found()
          ?? TensorHashes.ofAll(trained.transfer, options.crc, threads: options.threads))
      try comparison.check(converter.index)
      warnings += comparison.warnings
    }
    let checksums = records.values.reduce(into: [:]) { $0.merge($1.tensors) { $1 } }
    var made = plan.shards.map { shard in
      ConversionManifest.Output(
        name: shard.fileName, size: shard.size, crc: shard.checksum(of: checksums))
    }
    for (name, bytes) in converter.smallFiles() {
      try folder.write(bytes, as: name)
      made.append(.init(name: name, size: bytes.count, crc: CRC32.checksum(bytes)))
    }
    if plan.options.copiesLogs {
      for (number, log) in (plan.options.records?.logFiles ?? []).enumerated() {
        let name = log.copyName(number)
        let crc = try folder.copy(log.path, as: name)
        made.append(.init(name: name, size: log.size, crc: crc))
      }
    }
    let manifest = ConversionManifest(
      plan, converter.index, fingerprint: folder.fingerprint, report: report, outputs: made,
      checksums: checksums, warnings: warnings)
    var outputs = made.map { (name: $0.name, size: $0.size) }
    let text = Array(JSONWriter.text(manifest.json, .indented).utf8)
    try folder.write(text, as: OutputTransaction.manifestName)
    outputs.append((OutputTransaction.manifestName, text.count))
    var digests: [(name: String, digest: String)] = []
    if options.sha256 {
      for (name, _) in outputs { digests.append((name, try folder.sha256(of: name))) }
      let sums = digests.map { "\($0.digest)  \($0.name)\n" }.joined()
      try folder.write(Array(sums.utf8), as: "SHA256SUMS")
      outputs.append(("SHA256SUMS", sums.utf8.count))
    }
    try Interrupted.check()
    let outcome = try folder.commit()
    warnings += OutputTransaction.warnings(about: folder.kept)
    return Conversion.Result(
      outcome: outcome, fingerprint: folder.fingerprint, report: report, warnings: warnings,
      decisions: plan.decisions, outputs: outputs, sha256: digests)
  }

  /// Compares the CRCs of all storages, as far as they were read for any of the files.
  private func checkSources() throws -> ExecutionReport {
    for (_, record) in records.sorted(by: { $0.key < $1.key }) { executor.absorb(record.findings) }
    do {
      try executor.finish()
    } catch let error as Failure where error.code.kind == .malformed {
      // Only now does it show that a storage is damaged from which several files were made. The
      // next run must not reuse those files, as the storage may have been repaired by then.
      for record in records.values where record.isMadeOfParts(in: plan) {
        folder.discard(plan.shards[record.shard].fileName)
        folder.discard(ResumeRecord.name(of: plan.shards[record.shard].fileName))
      }
      throw error
    }
    return executor.report
  }
}
