import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import JSON
import Megatron
import Safetensors
import SystemPackage
import TorchArchive
import Transfer

/// `meg2hf plan CHECKPOINT`
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a conversion would write.",
    discussion: """
      No tensor is read and nothing is written; only with --weights fp32-master both copies of the \
      weights are read and compared. With --json the document lists each output tensor \
      with its file, its place, and the stored runs of bytes that it is made of.

      EXAMPLES:
        meg2hf plan runs/gpt2
        meg2hf plan runs/gpt2 /scratch/hf/gpt2      and is there room for it?
        meg2hf plan runs/gpt2 --max-shard-size 500MB --verbose
      """)

  @Argument(help: "The folder of a run, or of a step of it.", completion: .directory)
  var checkpoint: String

  @Argument(
    help: "The folder that would be made: is there room for it?", completion: .directory)
  var output: String?

  // So that any line of `convert` can be made one of `plan`.
  @OptionGroup(visibility: .hidden) var execution: ExecutionOptions
  @OptionGroup(title: "What is written") var written: OutputOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func run() throws {
    Report.run("meg2hf.plan/1", shown) { report in
      let request = try ConversionRequest(source, written, execution)
      let index = try source.index(Process.path(argument: checkpoint))
      let converter = try request.converter(index)
      let plan = converter.plan
      report.warnings = plan.warnings + converter.recordWarnings
      if index.trained != nil {
        let progress = ProgressReporter(shown, verb: "comparing masters and weights")
        defer { progress.finish() }
        progress.start(total: plan.sourceBytes)
        if let comparison = try converter.compareMasters(
          crc: source.crc, threads: request.run.threads,
          progress: { progress.update($0) })
        {
          report.warnings += comparison.warnings
          report.payload["masters"] = [
            "compared": .int(comparison.compared),
            "differing": .array(comparison.differing.map { .string($0) }),
          ]
        }
      }
      report.payload["summary"] = PlanDescription(plan, index).json
      report.payload["decisions"] = .array(plan.decisions.map(\.json))
      let records = RecordDescription(plan.options.records, plan.recordCheck, converter.curves)
      report.payload["records"] = records?.json ?? .null
      let need = ResourceNeed(converter, threads: request.run.threads)
      report.payload["disk_bytes"] = .int(need.disk)
      report.payload["memory_bytes"] = .int(need.memory)
      report.payload["source_bytes"] = .int(plan.sourceBytes)
      report.payload["tensor_bytes"] = .int(plan.tensorBytes)
      report.payload["files"] = .array(
        plan.shards.map { shard in
          [
            "file": .string(shard.fileName),
            "size": .int(shard.header.serialized.count + shard.header.dataSize),
            "tensors": .array(tensors(of: shard, plan)),
          ]
        })
      report.text = text(plan, index, need, records)
      guard let output else { return }
      let path = Process.path(argument: output)
      let free = try need.requireRoom(for: path)
      report.payload["free_bytes"] = free.map { .int($0) } ?? .null
      if let free { report.text += "  room for it next to \(output): \(byteText(free))\n" }
      let (word, text) = state(converter, path, request.run)
      report.payload["output_state"] = .string(word)
      report.text += "  \(output): \(text)\n"

    }
  }

  /// How far OUTPUT is, as a word and as a text.
  private func state(
    _ converter: Conversion, _ path: FilePath, _ run: RunOptions
  ) -> (word: String, text: String) {
    switch converter.state(of: path, options: run) {
    case .done: ("done", "up to date (same checkpoint, same options)")
    case .begun(let finished, let count):
      ("begun", "\(finished) of \(count) files are finished; convert continues with them")
    case .absent: ("absent", "it would be made")
    case .other(let error): ("other", "\(error)" + (error.hint.map { " (\($0))" } ?? ""))
    }
  }

  private func tensors(of shard: FilePlan, _ plan: ConversionPlan) -> [JSONValue] {
    zip(shard.tensors, shard.header.tensors).map { position, declared in
      let tensor = plan.tensors[position]
      return [
        "name": .string(tensor.name),
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [
          .int(declared.dataOffsets.lowerBound), .int(declared.dataOffsets.upperBound),
        ],
        "source": .string(tensor.source),
        "partition": .string(tensor.partition),
        "arrangement": .string(tensor.arrangement),
        "pieces": .array(tensor.pieces.map { piece($0, plan) }),
      ]
    }
  }

  private func piece(_ piece: Piece, _ plan: ConversionPlan) -> JSONValue {
    func source(_ box: StoredBox) -> JSONValue {
      let storage = plan.storages[box.storage]
      return [
        "file": .string(plan.files[storage.file].name), "entry": .string(storage.entry.name),
        "offset": .int(box.offset), "sizes": .array(box.box.sizes.map { .int($0) }),
        "strides": .array(box.box.strides.map { .int($0) }),
        "dtype": .string(box.format.torchName),
      ]
    }
    func target(_ destination: Piece.Destination) -> JSONValue {
      [
        "offset": .int(destination.offset),
        "strides": .array(destination.strides.map { .int($0) }),
      ]
    }
    switch piece {
    case .copy(let box, let destination, _):
      return ["copy": source(box), "to": target(destination)]
    case .merge(let replicas, let destination, _, _):
      return ["merge": .array(replicas.map(source)), "to": target(destination)]
    case .fill(let value, let count, let destination):
      return [
        "fill": .double(Double(value)), "count": .int(count), "to": target(destination),
      ]
    }
  }

  private func text(
    _ plan: ConversionPlan, _ index: Checkpoint, _ need: ResourceNeed,
    _ records: RecordDescription?
  ) -> String {
    var table = TextTable()
    for row in PlanDescription(plan, index).rows { table.add(row.0, row.1) }
    for row in records?.rows ?? [] { table.add(row.0, row.1) }
    table.add("reads", "\(byteText(plan.sourceBytes)) from \(plan.files.count) files")
    table.add("needs", "\(byteText(need.disk)) of disk, \(byteText(need.memory)) of memory")
    var text =
      index.folder.path.string + "\n" + table.text() + "\nDECISIONS\n"
      + PlanDescription(plan, index).decisions + "\nFILES\n"
    for shard in plan.shards {
      text +=
        "  \(shard.fileName)  "
        + "\(byteText(shard.header.serialized.count + shard.header.dataSize)), "
        + "\(shard.tensors.count) tensors\n"
    }
    if shown.verbose {
      text += records?.table ?? ""
      var tensors = TextTable(["TENSOR", "DTYPE", "SHAPE", "FROM", "HOW"])
      for tensor in plan.tensors {
        tensors.add(
          tensor.name, tensor.dtype.rawValue, shapeText(tensor.shape), tensor.source,
          "\(tensor.partition), \(tensor.arrangement)")
      }
      text += "\n" + tensors.text()
    }
    return text
  }
}
