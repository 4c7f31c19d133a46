import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import Inference
import JSON
import Megatron
import SystemPackage
import Transfer

/// `meg2hf convert CHECKPOINT OUTPUT`
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a checkpoint.",
    discussion: """
      OUTPUT appears in one step when everything in it is complete; until then its files gather \
      in a hidden folder next to it. If OUTPUT was made from the same checkpoint with the same \
      options, nothing is done.

      EXAMPLES:
        meg2hf convert runs/gpt2 hf/gpt2
        meg2hf convert runs/gpt2 hf/gpt2 --iteration 9000 --dtype bf16
        meg2hf convert runs/gpt2 hf/gpt2 --tokenizer gpt2 --vocab-size trim
        meg2hf convert runs/gpt2 hf/gpt2 --tokenizer gpt2 --prove held-out.txt
      """)

  @Argument(
    help: "The folder of a run, or of a step of it.", completion: .directory)
  var checkpoint: String?

  @Argument(help: "The folder to make.", completion: .directory)
  var output: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Make only the files of part K of N; OUTPUT is made of all parts by --finish.",
      valueName: "K/N"),
    transform: { text in
      if let part = WorkShare(text) { return part }
      throw ValidationError(
        "\"\(text)\" is not one of N parts: K/N counts from 1, as in 1/4 to 4/4.")
    })
  var part: WorkShare?

  @Flag(name: .long, help: "Check that all parts are there, and make OUTPUT of them.")
  var finish = false

  @OptionGroup(title: "What is run before") var proof: ProofOptions
  @OptionGroup(title: "How it is done") var execution: ExecutionOptions
  @OptionGroup(title: "What is written") var written: OutputOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  @Argument(help: .hidden, completion: .directory) var more: [String] = []

  func validate() throws {
    if let extra = more.first {
      let folders = Set(
        ([checkpoint, output].compactMap { $0 } + more).map { FilePath($0).removingLastComponent() }
      )
      if folders.count == 1, more.count > 2, let folder = folders.first {
        throw ValidationError(
          "\(more.count + 2) paths were given; to convert the checkpoint that they are files of, "
            + "give "
            + "their folder: meg2hf convert \(folder.isEmpty ? "." : folder.string) OUTPUT")
      }
      throw ValidationError(
        "A checkpoint and an output are needed, and \"\(extra)\" is one more; meg2hf batch "
          + "converts many."
      )
    }
    guard part == nil || !finish else {
      throw ValidationError("--part makes files, and --finish takes them up: one or the other.")
    }
    _ = try paths()
  }

  private func paths() throws -> (checkpoint: String, output: String) {
    guard let checkpoint else {
      throw ValidationError("A checkpoint and an output are needed.")
    }
    guard let output else {
      throw ValidationError(
        "OUTPUT is missing: meg2hf convert \(checkpoint) OUTPUT (plan shows what would be written)")
    }
    return (checkpoint, output)
  }

  func run() throws {
    let (checkpoint, output) = try paths()
    Process.catchStopSignals()
    let note = "stopped; finished files are kept, and the same command continues with them"
    Report.run("meg2hf.convert/1", shown, stopNote: note) { report in
      let started = Process.monotonicSeconds
      var request = try ConversionRequest(
        source, written, execution, work: finish ? .finish : part.map { .part($0) } ?? .all)
      let index = try source.index(Process.path(argument: checkpoint))
      var arbitration: OrderArbitration?
      if proof.isAsked {
        let model = try RunnableCheckpoint(index, options: request.options)
        let threads = request.run.threads
        arbitration = try proof.arbitrate(
          model, written.tokenizer, threads: threads, shown, &report.warnings)
        request.options.sample = try proof.speak(
          model, written.tokenizer, end: request.tokenizer?.eos, threads: threads)
      }
      let converter = try request.converter(index)
      if shown.verbose {
        for (name, reason) in index.passedOver.sorted(by: { $0.key < $1.key }) {
          Messages(shown.display).note("passed over \(name): \(reason)")
        }
      }
      let progress = ProgressReporter(shown, verb: "converting")
      let path = Process.path(argument: output)
      var reused = 0
      defer { progress.finish() }
      let result = try converter.run(to: path, options: request.run) { event in
        if case .resumedFile = event { reused += 1 }
        progress.show(event)
      }
      progress.finish()
      let seconds = Process.monotonicSeconds - started
      report.warnings += result.warnings + converter.recordWarnings
      report.status = result.outcome.rawValue
      describe(converter, result, path, seconds, reused: reused, arbitration, &report)
    }
  }

  private func describe(
    _ converter: Conversion, _ result: Conversion.Result, _ path: FilePath, _ seconds: Double,
    reused: Int,
    _ arbitration: OrderArbitration?, _ report: inout Report
  ) {
    let plan = converter.plan
    for member in result.payload(path, seconds).members {
      report.payload[member.key] = member.value
    }
    report.payload["summary"] = PlanDescription(plan, converter.index).json
    report.payload["decisions"] = .array(plan.decisions.map(\.json))
    report.payload["reused_files"] = .int(reused)
    let records = RecordDescription(plan.options.records, plan.recordCheck, converter.curves)
    report.payload["records"] = records?.json ?? .null
    report.payload["proof"] = arbitration.map { .object($0.json) } ?? .null

    guard result.outcome != .unchanged else {
      report.text = "\(path.string) is up to date (same checkpoint, same options)"
      return
    }
    if let part, result.outcome == .part {
      report.text = "part \(part) of \(path.string) is finished"
      if result.outputs.isEmpty {
        report.text +=
          ": there is nothing to do for it, as there are only \(plan.shards.count) files"
      }
      report.text += "\n"
      for output in result.outputs { report.text += "  \(output.name)  \(byteText(output.size))\n" }
      return
    }
    var table = TextTable()
    for row in PlanDescription(plan, converter.index).rows { table.add(row.0, row.1) }
    for row in records?.rows ?? [] { table.add(row.0, row.1) }
    if let arbitration {
      table.add("proof", "\(arbitration.verdict.rawValue): loss \(arbitration.words)")
    }
    table.add(
      "read",
      "\(byteText(result.report.bytesRead)), \(result.report.crcVerified) checksums verified")
    table.add(
      "time", "\(decimal(seconds, places: 2)) s, \(byteText(Process.peakResidentBytes)) of memory")
    if reused > 0 {
      table.add(
        "reused", "\(reused) of \(plan.shards.count) files that an earlier run had finished")
    }
    if !result.warnings.isEmpty {
      table.add("warnings", "\(result.warnings.count), shown above and in the manifest")
    }
    report.text =
      "\(path.string)\n" + table.text() + "\nDECISIONS\n"
      + PlanDescription(plan, converter.index).decisions + "\nFILES\n"
    var files = TextTable()
    for output in result.outputs { files.add(output.name, byteText(output.size)) }
    report.text += files.text()
    if shown.verbose { report.text += records?.table ?? "" }
  }
}
