import ArgumentParser
import ByteIO
import Conversion
import Safetensors
import SystemPackage

/// `meg2hf convert CHECKPOINT OUTPUT`
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a checkpoint.",
    discussion: """
      OUTPUT appears in one step when everything in it is complete; until then its files gather \
      in a hidden folder beside it. If OUTPUT was made from the same checkpoint with the same \
      options, nothing is done.

      EXAMPLES:
        meg2hf convert runs/gpt2 hf/gpt2
        meg2hf convert runs/gpt2 hf/gpt2 --iteration 9000 --dtype bf16 --vocab-size trim
        meg2hf convert runs/gpt2 hf/gpt2 --vocab-file gpt2-vocab.json --merge-file gpt2-merges.txt
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
      valueName: "K/N"))
  var part: Part?

  @Flag(name: .long, help: "Check that all parts are there, and make OUTPUT of them.")
  var finish = false

  @OptionGroup(title: "How it is done") var manner: MannerOptions
  @OptionGroup(title: "What is written") var plan: PlanOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: OutputOptions

  // The words of other converters.
  @Option(name: [.customLong("input_folder"), .customLong("load-dir")], help: .hidden)
  var inputFolder: String?
  @Option(name: [.customLong("output_folder"), .customLong("save-dir")], help: .hidden)
  var outputFolder: String?
  @Option(name: .customLong("target_tp"), help: .hidden) var targetTP = 1
  @Option(name: .customLong("target_pp"), help: .hidden) var targetPP = 1

  func validate() throws {
    guard targetTP == 1, targetPP == 1 else {
      throw ValidationError("The output is one model: --target_tp and --target_pp can only be 1.")
    }
    guard part == nil || !finish else {
      throw ValidationError("--part makes files, and --finish takes them up: one or the other.")
    }
    _ = try paths()
  }

  private func paths() throws -> (checkpoint: String, output: String) {
    let given = [checkpoint, output].compactMap { $0 }
    let named = [inputFolder, outputFolder].compactMap { $0 }
    switch (given.count, named.count) {
    case (2, 0): return (given[0], given[1])
    case (0, 2): return (named[0], named[1])
    case (1, 1) where outputFolder != nil: return (given[0], named[0])
    default: throw ValidationError("A checkpoint and an output are needed.")
    }
  }

  func run() throws {
    let (checkpoint, output) = try paths()
    Process.catchStopSignals()
    Report.run("meg2hf.convert/1", shown) { report in
      let started = Process.monotonicSeconds
      let index = try source.index(Process.path(argument: checkpoint))
      let converter = try Converter(
        index, options: plan.options(source), tokenizer: manner.readTokenizer())
      if shown.verbose {
        Messages(shown.display).note("query, key and value: \(converter.plan.qkv.reason)")
      }
      let progress = ProgressReporter(shown, verb: "converting")
      let path = Process.path(argument: output)
      defer { progress.finish() }
      let result = try converter.run(
        to: path,
        options: manner.run(source, finish ? .finish : part.map { .part($0) } ?? .all)
      ) { progress.show($0) }
      progress.finish()
      let seconds = Process.monotonicSeconds - started
      report.warnings = result.warnings
      report.status = result.outcome.rawValue
      describe(converter, result, path, seconds, &report)
    }
  }

  private func describe(
    _ converter: Converter, _ result: Converter.Result, _ path: FilePath, _ seconds: Double,
    _ report: inout Report
  ) {
    let plan = converter.plan
    for member in result.payload(path, seconds).members {
      report.payload[member.key] = member.value
    }
    report.payload["summary"] = PlanDescription(plan, converter.index).json

    guard result.outcome != .unchanged else {
      report.text = "\(path.string) is there already, made from this checkpoint with these options"
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
    table.add(
      "read",
      "\(byteText(result.report.bytesRead)), \(result.report.crcVerified) checksums verified")
    table.add(
      "time", "\(decimal(seconds, places: 2)) s, \(byteText(Process.peakResidentBytes)) of memory")
    report.text = "\(path.string)\n" + table.text()
    for output in result.outputs { report.text += "  \(output.name)  \(byteText(output.size))\n" }
  }
}
