import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
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

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A text, or a file of token ids, that the model can predict: nothing is written if it speaks "
        + "for another order of query, key and value.", valueName: "file"),
    completion: .file())
  var prove: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A text that the model continues before it is converted; the model card shows the result.",
      valueName: "text"))
  var sample: String?

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
      let proof = try arbitrate(index, &report)
      request.options.sample = try speak(index, end: request.tokenizer?.eos)
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
      report.warnings += result.warnings
      report.status = result.outcome.rawValue
      describe(converter, result, path, seconds, reused: reused, proof, &report)
    }
  }

  /// The most tokens that a proof predicts.
  private static let proofLength = 1024

  /// Finds out whether a text speaks for the order of query, key and value that is to be written.
  ///
  /// - Throws: ``Failure`` 78 where it speaks for another one, 66 for a text without a tokenizer.
  private func arbitrate(
    _ checkpoint: Checkpoint, _ report: inout Report
  ) throws -> OrderArbitration? {
    guard let file = prove else { return nil }
    let path = Process.path(argument: file)
    let texts: [[Int]]
    if path.extension == "json" || path.extension == "bin" {
      texts = try TokenFile(path).texts
    } else {
      guard let tokenizer = try written.tokenizer.reader() else {
        throw Failure(
          .tokenizerMissing, "a text needs a tokenizer", file: file,
          hint: "--tokenizer, or --vocab-file and --merge-file; token ids in a .json or .bin file "
            + "need none")
      }
      texts = [try tokenizer.encode(try TextInput.read(nil, file, named: "--prove"))]
    }
    var options = ConversionOptions()
    try source.apply(to: &options)
    let found = try RunnableCheckpoint(checkpoint, options)
    let progress = ProgressReporter(shown, verb: "predicting")
    defer { progress.finish() }
    let result = try found.arbitrate(
      Network.Options(threads: execution.run(source).threads, memory: 0)
    ) { network in
      try TextLoss(of: texts, by: network, maximum: ConvertCommand.proofLength) {
        progress.update(tokens: $0)
      }
    }
    if let failure = result.failure(file: checkpoint.folder.path.string) { throw failure }
    if result.verdict == .doesNotTell {
      report.warnings.append(
        Diagnostic(.qkvNotProven, "\(result.headline): \(result.words)"))
    }
    return result
  }

  /// The most tokens of a sample.
  private static let sampleLength = 40

  /// Has the checkpoint continue the sample.
  ///
  /// - Throws: ``Failure`` 66 without a tokenizer.
  private func speak(
    _ checkpoint: Checkpoint, end: Int?
  ) throws -> ModelCard.Sample? {
    guard let sample else { return nil }
    guard let tokenizer = try written.tokenizer.reader() else {
      throw Failure(
        .tokenizerMissing, "--sample needs a tokenizer",
        hint: "--tokenizer, or --vocab-file and --merge-file")
    }
    var options = ConversionOptions()
    try source.apply(to: &options)
    let model = FoundModel.checkpoint(try RunnableCheckpoint(checkpoint, options))
    let network = try model.network(
      model.options(
        nil, passes: ConvertCommand.sampleLength, threads: execution.run(source).threads))
    var wanted = GreedyText.Options()
    wanted.maximum = ConvertCommand.sampleLength
    wanted.rows = tokenizer.size
    wanted.stop = Set([end].compactMap { $0 })
    let prompt = try TextInput.read(sample, nil, named: "--sample")
    let text = try GreedyText(after: tokenizer.encode(prompt), by: network, options: wanted)
    let ids = text.steps.map(\.id).filter { !wanted.stop.contains($0) }
    return ModelCard.Sample(
      prompt: prompt, text: tokenizer.decode(ids), tokens: text.steps.count)
  }

  private func describe(
    _ converter: Conversion, _ result: Conversion.Result, _ path: FilePath, _ seconds: Double,
    reused: Int,
    _ proof: OrderArbitration?, _ report: inout Report
  ) {
    let plan = converter.plan
    for member in result.payload(path, seconds).members {
      report.payload[member.key] = member.value
    }
    report.payload["summary"] = PlanDescription(plan, converter.index).json
    report.payload["decisions"] = .array(plan.decisions.map(\.json))
    report.payload["reused_files"] = .int(reused)
    report.payload["proof"] = proof.map { .object($0.json) } ?? .null

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
    if let proof { table.add("proof", "\(proof.verdict.rawValue): loss \(proof.words)") }
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
  }
}
