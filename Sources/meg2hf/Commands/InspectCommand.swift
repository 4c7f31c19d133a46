import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import EventLog
import HuggingFace
import JSON
import Megatron
import Safetensors
import SystemPackage
import TorchArchive
import Transfer

/// `meg2hf inspect PATH`
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract:
      "Show what a checkpoint, a converted folder, a file of tensors, or a training log holds.",
    discussion: """
      Of a checkpoint, its layout, degrees of parallelism, decisions, arguments and tensors are \
      shown, and whether it can be converted. Of a converted folder, a safetensors file or a \
      PyTorch file, the tensors are listed. Directories and pickles are read, but no tensor, \
      unless --sha256 or --check asks for it. Of TensorBoard's event files, or a folder of them, \
      the curves are shown; of a launch script, the options that it passes to the trainer.

      EXAMPLES:
        meg2hf inspect runs/gpt2
        meg2hf inspect runs/gpt2 --tensors 'layers.17.*' --columns rank,file
        meg2hf inspect runs/gpt2 --check
        meg2hf inspect hf/gpt2 --sort size
        meg2hf inspect runs/gpt2/tensorboard --draw
        meg2hf inspect train.slurm --script-env WORK=/data
        meg2hf inspect layer_03-model_00-model_states.pt --sha256 --json
      """)

  @Argument(
    help:
      "A folder of a run or a step, a converted folder, a file of tensors, logs, or a script.",
    completion: .file())
  var path: String

  @Flag(name: .long, help: "Print the SHA-256 of the values of each tensor.")
  var sha256 = false

  @Flag(
    name: .long,
    help:
      "Read everything: compare checksums and replicas, and look for values that are not finite.")
  var check = false

  @Flag(name: .long, help: "Put all points of the curves of event files into the JSON.")
  var points = false

  @Flag(name: .long, help: "Draw the curve of the loss, as on a terminal.")
  var draw = false

  @OptionGroup var threads: ThreadOptions
  @OptionGroup(title: "What is listed") var list: ListOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.inspect/1", shown) { report in
      let path = Process.path(argument: self.path)
      guard !InspectCommand.isEventFile(path) else { return try inspectLogs(path, &report) }
      guard !InspectCommand.isScript(path) else { return try inspectScript(path, &report) }
      switch try ComparedModel.kind(of: path) {
      case .checkpoint:
        do {
          try inspectCheckpoint(path, &report)
        } catch let error as Failure where error.code == .checkpointNone {
          if EventLogs.isFound(below: path) { return try inspectLogs(path, &report) }
          guard ["pt", "pth", "bin", "ckpt"].contains(path.extension) else { throw error }
          throw Failure(
            .ioNotAFile, "this is a folder, and holds no checkpoint",
            file: path.string, hint: error.hint)
        }
      case .torchFile:
        report.payload["kind"] = "torch-file"
        try inspectFile(path, &report)
      case .directory, .safetensorsFile: try inspectModel(path, &report)
      }
      if let pattern = list.tensors, let all = report.payload["tensors"]?.array {
        report.payload["tensors"] = .array(
          all.filter { $0.object?["name"]?.string.map { Glob.matches($0, pattern) } == true })
      }
    }
  }

  private var listing: TensorListing {
    TensorListing(pattern: list.tensors, order: list.sort, isUnfolded: list.all || sha256)
  }

  /// The columns of a table of files, which have no ranks.
  private func columns(_ standard: [TensorColumn]) -> [TensorColumn] {
    (list.columns?.columns ?? standard) + (sha256 && list.columns == nil ? [.sha256] : [])
  }

  // MARK: - A PyTorch file

  private func inspectFile(_ path: FilePath, _ report: inout Report) throws {
    // The list is part of the document even when the file cannot be read.
    report.payload["tensors"] = []
    let inspection = try TorchFileInspection(
      path, sha256: sha256, crc: check ? .all : source.crc, limits: source.torchLimits())
    report.payload["tensors"] = .array(inspection.json)
    report.errors = inspection.errors
    report.warnings = inspection.warnings
    // A tensor that is damaged counts more than one of a kind that is not read.
    let worst = inspection.errors.first { $0.code.kind != .unsupported } ?? inspection.errors.first
    report.exitCode = worst?.status.rawValue ?? 0
    // Making a table of many rows takes longer than reading them.
    guard !shown.json else { return }
    let rows = inspection.tensors.map { entry in
      ListedTensor(
        name: entry.name.isEmpty ? "(root)" : entry.name,
        dtype: entry.tensor?.dtype.rawValue ?? "-", shape: entry.tensor?.sizes,
        byteCount: entry.tensor?.byteCount ?? 0,
        cells: ["sha256": entry.sha256 ?? entry.error.map { "refused: \($0.code)" } ?? ""])
    }
    report.text =
      "\(path.string): \(plural(inspection.tensors.count, "tensor"))\n"
      + table(rows, [.dtype, .shape])
    if check, inspection.errors.isEmpty {
      report.text += "  read to the end: all checksums that were recorded agree\n"
    }
  }

  private func table(_ tensors: [ListedTensor], _ standard: [TensorColumn]) -> String {
    let shown = columns(standard)
    let refused = tensors.contains { $0.cells["sha256"]?.hasPrefix("refused") == true }
    let columns = shown + (refused && !shown.contains(.sha256) ? [.sha256] : [])
    var table = TextTable(["TENSOR"] + columns.map(\.header))
    for row in listing.apply(tensors) {
      table.add([row.name] + columns.map(row.text))
    }
    return table.isEmpty ? "" : table.text()
  }

  // MARK: - A converted folder, or a file of it

  private func inspectModel(_ path: FilePath, _ report: inout Report) throws {
    guard !check else {
      throw Failure(
        .usageArguments,
        "--check reads checkpoints and PyTorch files, and this is neither",
        file: path.string, hint: "meg2hf verify checks a converted model")
    }
    let directory = try ModelDirectory(reading: path)
    report.payload["kind"] = .string(directory.isFolder ? "directory" : "safetensors-file")
    report.payload["faults"] = .array(directory.faults.map(\.json))
    var rows: [ListedTensor] = []
    var entries: [JSONValue] = []
    var elements = 0
    for name in directory.names {
      guard let tensor = directory[name] else { continue }
      let declared = tensor.declared
      elements += declared.elementCount
      let digest = sha256 ? try tensor.sha256() : nil
      // Of the two forms of a list of a million tensors one is enough.
      guard shown.json else {
        var cells = ["file": tensor.fileName]
        cells["sha256"] = digest
        rows.append(
          ListedTensor(
            name: name, dtype: declared.dtype.torchName, shape: declared.shape,
            byteCount: declared.dataOffsets.count, cells: cells))
        continue
      }
      var object = JSONObject()
      object["name"] = .string(name)
      object["dtype"] = .string(declared.dtype.torchName)
      object["shape"] = .array(declared.shape.map { .int($0) })
      object["bytes"] = .int(declared.dataOffsets.count)
      object["file"] = .string(tensor.fileName)
      if let digest { object["sha256"] = .string(digest) }
      entries.append(.object(object))
    }
    report.payload["tensors"] = .array(entries)
    report.payload["parameters"] = .int(elements)
    guard !shown.json else { return }
    var text =
      "\(path.string): \(plural(directory.count, "tensor")), \(thousands(elements)) parameters\n"
    var facts = TextTable()
    for fault in directory.faults {
      facts.add(
        "FAULT",
        [fault.file, fault.tensor, fault.message].compactMap { $0 }.joined(separator: ": "))
    }
    if directory.isFolder, let config = try? JSONFile.read(path.appending("config.json")).object {
      for key in [
        "model_type", "n_layer", "n_embd", "n_head", "n_positions", "vocab_size",
        "activation_function", "dtype",
      ] {
        if let value = config[key] { facts.add(key, JSONWriter.text(value, .compact)) }
      }
    }
    if !facts.isEmpty { text += facts.text() }
    report.text = text + table(rows, [.dtype, .shape])
  }

  // MARK: - A checkpoint

  private func inspectCheckpoint(_ path: FilePath, _ report: inout Report) throws {
    report.payload["kind"] = "checkpoint"
    let index = try source.index(path)
    var options = ConversionOptions()
    try source.apply(to: &options)
    let inspection = try CheckpointInspection(index, options: options)
    var digests: CheckpointDigests?
    if sha256 {
      let progress = ProgressReporter(shown, verb: "hashing")
      defer { progress.finish() }
      progress.start(total: inspection.plan?.sourceBytes ?? 0)
      digests = try CheckpointDigests(index, crc: source.crc, limits: source.torchLimits()) {
        progress.update($0)
      }
    }
    report.warnings = inspection.plan?.warnings ?? index.warnings
    let description = CheckpointDescription(inspection, digests)
    let records = RecordDescription(options.records, inspection.model.recordCheck)
    if shown.json {
      for member in description.payload.members { report.payload[member.key] = member.value }
      report.payload["records"] = records?.json ?? .null
    } else {
      report.text = description.text(
        verbose: shown.verbose, listing: listing, columns: list.columns?.columns)
      if let records {
        var table = TextTable()
        for row in records.rows { table.add(row.0, row.1) }
        report.text += "\nRECORDS OF THE RUN\n" + table.text() + records.table
      }
    }
    if check { try self.check(inspection, &report) }
  }

  private func check(_ inspection: CheckpointInspection, _ report: inout Report) throws {
    let progress = ProgressReporter(shown, verb: "checking")
    defer { progress.finish() }
    let found = try CheckpointCheck(
      inspection, threads: RunOptions(jobs: threads.jobs).threads, limits: source.torchLimits(),
      started: { progress.start(total: $0) }, progress: { progress.update($0) })
    progress.finish()
    report.errors += found.errors
    report.warnings += found.warnings.filter { !report.warnings.contains($0) }
    report.exitCode = found.errors.first?.status.rawValue ?? 0
    report.payload["check"] = [
      "files": .int(found.filesRead), "bytes_read": .int(found.bytesRead),
      "checksums_verified": .int(found.verified), "checksums_not_recorded": .int(found.notRecorded),
      "tensors_compared": found.comparedTensors.map { .int($0) } ?? .null,
      "damaged": .int(found.errors.count),
    ]
    var table = TextTable()
    table.add(
      "read", "\(byteText(found.bytesRead)) of \(plural(found.filesRead, "file")), to their ends")
    table.add(
      "checksums",
      "\(found.verified) verified, \(found.notRecorded) not recorded"
        + (found.errors.isEmpty ? "" : ", \(plural(found.errors.count, "fault"))"))
    let differing = found.warnings.count { $0.code == .replicasDiffer }
    let odd = found.warnings.count { $0.code == .valuesNotFinite }
    table.add(
      "replicas",
      found.comparedTensors == nil
        ? "not compared"
        : inspection.index.distributed != nil
          ? "not stored"
          : differing == 0 ? "equal on all ranks" : "\(plural(differing, "tensor")) differ")
    table.add(
      "values",
      found.comparedTensors == nil
        ? "not looked at"
        : odd == 0 ? "all finite" : "\(plural(odd, "tensor")) with NaN or infinity")
    report.text += "\nCHECK\n" + table.text()
  }
}
