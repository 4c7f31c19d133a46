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
    help: ArgumentHelp("Megatron's vocabulary file; needs --merge-file.", valueName: "file"),
    completion: .file())
  var vocabFile: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Megatron's merges file; needs --vocab-file.", valueName: "file"),
    completion: .file())
  var mergeFile: String?

  @Option(
    name: .long,
    help: ArgumentHelp("A folder with vocab.json and merges.txt.", valueName: "folder"),
    completion: .directory)
  var tokenizer: String?

  @Flag(name: .long, help: "Replace OUTPUT, once the new one is complete.")
  var overwrite = false

  @Option(
    name: .long,
    help: "What is read again before OUTPUT appears: headers and sizes, every byte, or nothing.")
  var check = OutputCheck.fast

  @Flag(name: .long, help: "Write SHA256SUMS, which reads the output once more.")
  var sha256 = false

  @Flag(name: .customLong("no-resume"), help: "Make files anew that an earlier run has finished.")
  var noResume = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Make only the files of part K of N; OUTPUT is made of all parts by --finish.",
      valueName: "K/N"))
  var part: Part?

  @Flag(name: .long, help: "Check that all parts are there, and make OUTPUT of them.")
  var finish = false

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
    guard (vocabFile == nil) == (mergeFile == nil) else {
      throw ValidationError("--vocab-file and --merge-file belong together.")
    }
    guard tokenizer == nil || vocabFile == nil else {
      throw ValidationError("--tokenizer stands for --vocab-file and --merge-file.")
    }
    guard part == nil || !finish else {
      throw ValidationError("--part makes files, and --finish takes them up: one or the other.")
    }
    _ = try paths()
  }

  private var options: RunOptions {
    RunOptions(
      crc: source.crc, overwrite: overwrite, check: check, sha256: sha256, resume: !noResume,
      work: finish ? .finish : part.map { .part($0) } ?? .all)
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
        index, options: plan.options(source), tokenizer: readTokenizer())
      if shown.verbose {
        Messages(shown.display).note("query, key and value: \(converter.plan.qkv.reason)")
      }
      let progress = ProgressReporter(shown, verb: "converting")
      let path = Process.path(argument: output)
      defer { progress.finish() }
      let result = try converter.run(to: path, options: options) { event in
        switch event {
        case .started(let bytes): progress.start(total: bytes)
        case .reading(let bytes): progress.update(bytes)
        case .finishedFile(let name, let bytes): progress.finishedFile(name, bytes)
        case .resumedFile(let name, let bytes): progress.resumedFile(name, bytes)
        }
      }
      progress.finish()
      let seconds = Process.monotonicSeconds - started
      report.warnings = result.warnings
      report.status = result.outcome.rawValue
      describe(converter, result, path, seconds, &report)
    }
  }

  private func readTokenizer() throws(ConversionError) -> GPT2Tokenizer? {
    if let tokenizer { return try GPT2Tokenizer(folder: Process.path(argument: tokenizer)) }
    guard let vocabFile, let mergeFile else { return nil }
    return try GPT2Tokenizer(
      vocabulary: Process.path(argument: vocabFile), merges: Process.path(argument: mergeFile))
  }

  private func describe(
    _ converter: Converter, _ result: Converter.Result, _ path: FilePath, _ seconds: Double,
    _ report: inout Report
  ) {
    let plan = converter.plan
    report.payload["output"] = .string(path.string)
    report.payload["fingerprint"] = .string(result.fingerprint)
    report.payload["summary"] = PlanDescription(plan, converter.index).json
    report.payload["outputs"] = .array(
      result.outputs.map { output in
        var object = JSONObject()
        object["file"] = .string(output.name)
        object["size"] = .int(output.size)
        if let sum = result.sha256.first(where: { $0.name == output.name }) {
          object["sha256"] = .string(sum.digest)
        }
        return .object(object)
      })
    report.payload["checksums"] = [
      "verified": .int(result.report.crcVerified),
      "not_recorded": .int(result.report.crcNotRecorded),
      "partly_read": .int(result.report.crcPartlyRead),
    ]
    report.payload["bytes_read"] = .int(result.report.bytesRead)
    report.payload["seconds"] = .double((seconds * 1000).rounded() / 1000)
    report.payload["peak_resident_bytes"] = .int(Process.peakResidentBytes)
    report.payload["host"] = .string(Process.hostName)

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
