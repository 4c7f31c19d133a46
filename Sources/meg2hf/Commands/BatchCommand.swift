import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import JSON
import Megatron
import SystemPackage

/// `meg2hf batch LIST`
struct BatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batch",
    abstract: "Convert many checkpoints, or a share of them as one task of an array.",
    discussion: """
      LIST is a text file with a checkpoint on each line, and after a tab its output if it has \
      one of its own; or a folder, whose steps are all converted. In a pipe, or with --json, each \
      conversion prints one line of JSON; on a terminal, a line for people. What is done already \
      is passed over, so that a task can simply be run again. Of several failures, the exit status \
      is 75 if another try helps with one of them, else that of the first.

      EXAMPLES:
        meg2hf batch runs/gpt2 --output 'hf/{name}-{iteration}'
        meg2hf batch list.txt --output 'hf/{name}-{tag}' --index 3 --of 8
        meg2hf batch list.txt --output 'hf/{name}-{tag}' --status
      """)

  @Argument(help: "A list of checkpoints, or a folder with many steps.", completion: .file())
  var list: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The path of each output, in which {name}, {tag} and {iteration} are filled in.",
      valueName: "template"))
  var output: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Which task this is, from 0 on; by default what the batch system says. Without one, all are "
        + "converted.", valueName: "n"))
  var index: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Into how many tasks the list is divided; by default one for each checkpoint.",
      valueName: "m"))
  var of: Int?

  @Flag(name: .long, help: "Convert nothing; say which outputs are done, by what is there.")
  var status = false

  @OptionGroup(title: "How it is done") var execution: ExecutionOptions
  @OptionGroup(title: "What is written") var written: OutputOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    guard source.tag == nil, source.iteration == nil else {
      throw ValidationError("A batch takes each step by itself: name steps in the list instead.")
    }
    guard (of ?? 1) > 0, (index ?? 0) >= 0 else {
      throw ValidationError("--index counts from 0, and --of from 1.")
    }
  }

  func run() throws {
    Process.catchStopSignals()
    Report.run(status ? "meg2hf.batch-status/1" : "meg2hf.batch/1", shown) { report in
      let batch = try BatchList(
        reading: Process.path(argument: list), template: output, layout: source.layout.value)
      if status { return try describeStatus(batch, &report) }
      try convert(batch, positions(batch), &report)
    }
  }

  /// The positions of what this task converts.
  private func positions(_ batch: BatchList) throws(Failure) -> [Int] {
    var index = index
    if index == nil, let text = BatchSystem.index {
      guard let number = Int(text), number >= 0 else {
        throw Failure(
          .batchIndex, "\"\(text)\" is not the number of a task, which count from 0",
          hint: "--index names it")
      }
      index = number
    }
    guard let index else {
      guard of == nil else {
        throw Failure(.batchIndex, "--of needs --index: which task is this?")
      }
      return Array(batch.items.indices)
    }
    let count = of ?? batch.items.count
    guard index < count else {
      throw Failure(
        .batchIndex, "task \(index) is not among the \(count) tasks, which count from 0",
        hint: "sbatch --array=0-\(count - 1)")
    }
    return batch.positions(task: index, of: count)
  }

  // MARK: - Conversion

  private func convert(
    _ batch: BatchList, _ positions: [Int], _ report: inout Report
  ) throws {
    let request = try ConversionRequest(source, written, execution)
    report.isStreamed = true
    var done = 0
    var failures: [Diagnostic.Kind] = []
    for position in positions {
      try Interrupted.check()
      let item = batch.items[position]
      var line = JSONObject()
      line["schema"] = .string(report.schema)
      line["index"] = .int(position)
      line["checkpoint"] = .string(item.checkpoint.string)
      line["output"] = item.output.map { .string($0.string) } ?? .null
      do {
        try convert(item, request, &line)
        done += 1
      } catch let error as Failure {
        failures.append(error.code.kind)
        Messages(shown.display).show(error)
        line["status"] = "error"
        line["exit_code"] = .int(Int(error.status.rawValue))
        line["errors"] = [error.json]
      } catch let stop as Interrupted {
        line["status"] = "stopped"
        let code = stop.signal == Process.warningSignal ? 75 : 128 + stop.signal
        line["exit_code"] = .int(Int(code))
        write(line)
        throw stop
      }
      write(line)
    }
    if !writesJSON {
      write("\(done) of \(plural(positions.count, "checkpoint")) done\n")
    }
    // Whatever can be mended by another try comes first: a wrapper then runs the task again, which
    // passes over what is done.
    let worst = failures.first { $0 == .tryAgain } ?? failures.first
    report.exitCode = worst.map { ExitStatus($0).rawValue } ?? 0
  }

  private func convert(
    _ item: BatchList.Item, _ request: ConversionRequest, _ line: inout JSONObject
  ) throws {
    let started = Process.monotonicSeconds
    let folder = try item.folder.get()
    guard let path = item.output else {
      throw Failure(.bugUnexpected, "an output without a name")
    }
    let converter = try self.request(request, for: folder).converter(source.index(folder))
    let progress = ProgressReporter(shown, verb: "converting \(folder.path.string)")
    defer { progress.finish() }
    let result = try converter.run(to: path, options: request.run) { progress.show($0) }
    line["status"] = .string(result.outcome.rawValue)
    line["exit_code"] = 0
    line["errors"] = []
    for member in result.payload(path, Process.monotonicSeconds - started).members {
      line[member.key] = member.value
    }
    line["decisions"] = .array(converter.plan.decisions.map(\.json))
    line["warnings"] = .array(result.warnings.map(\.json))
    // Which of many checkpoints a line on the error stream is about would not be clear.
    for warning in result.warnings.prefix(3) where !shown.json {
      Messages(shown.display).show(
        Diagnostic(
          warning.code, "\(path.string): \(warning.message)", tensor: warning.tensor))
    }
  }

  /// The request for one of the checkpoints, whose records may have its name in their paths.
  private func request(
    _ request: ConversionRequest, for folder: CheckpointFolder
  ) throws(Failure) -> ConversionRequest {
    guard source.records.isTemplate else { return request }
    var request = request
    request.options.records = try source.records.read(for: folder)
    return request
  }

  /// Whether results are for programs: always but on a terminal.
  private var writesJSON: Bool { shown.json || !Process.Stream.output.isTerminal }

  private func write(_ line: JSONObject) {
    guard !writesJSON else { return write(JSONWriter.text(.object(line), .compact) + "\n") }
    let warnings = line["warnings"]?.array?.count ?? 0
    let detail =
      line["errors"]?.array?.first?.object?["code"]?.string.map { "[\($0)]" }
      ?? (line["seconds"]?.number.map { "\(decimal($0, places: 1)) s" } ?? "")
    var table = TextTable()
    table.add(
      line["status"]?.string ?? "", line["output"]?.string ?? line["checkpoint"]?.string ?? "",
      detail + (warnings > 0 ? ", \(plural(warnings, "warning"))" : ""))
    write(table.text(indent: ""))
  }

  private func write(_ text: String) {
    guard Process.Stream.output.write(text) else {
      Process.exit(ExitStatus(.inputOutput).rawValue)
    }
  }

  // MARK: - Status

  private func describeStatus(_ batch: BatchList, _ report: inout Report) throws {
    let request = try ConversionRequest(source, written, execution)
    var table = TextTable()
    var done = 0
    var entries: [JSONValue] = []
    var worst: Diagnostic.Kind?
    for (position, item) in batch.items.enumerated() {
      try Interrupted.check()
      let (word, detail, kind) = state(item, request)
      if let kind {
        worst = worst == .tryAgain ? worst : kind == .tryAgain ? kind : worst ?? kind
        table.add("\(position)", item.checkpoint.string, item.output?.string ?? "-", detail)
      } else {
        done += 1
      }
      entries.append([
        "index": .int(position), "checkpoint": .string(item.checkpoint.string),
        "output": item.output.map { .string($0.string) } ?? .null, "state": .string(word),
        "detail": .string(detail),
      ])
    }
    report.payload["done"] = .int(done)
    report.payload["total"] = .int(batch.items.count)
    report.payload["items"] = .array(entries)
    report.exitCode = worst.map { ExitStatus($0).rawValue } ?? 0
    report.status = worst == nil ? "done" : "incomplete"
    report.text = "\(done) of \(batch.items.count) are done\n" + (worst == nil ? "" : table.text())
  }

  /// How far an item is: a word, the same for people, and what follows unless it is done.
  private func state(
    _ item: BatchList.Item, _ request: ConversionRequest
  ) -> (word: String, detail: String, kind: Diagnostic.Kind?) {
    do {
      let folder = try item.folder.get()
      let converter = try self.request(request, for: folder).converter(source.index(folder))
      guard let output = item.output else { return ("error", "no output", .bug) }
      switch converter.state(of: output, options: request.run) {
      case .done: return ("done", "done", nil)
      case .begun(let finished, let count):
        return ("begun", "\(finished) of \(count) files are finished", .tryAgain)
      case .absent: return ("absent", "not begun", .tryAgain)
      case .other(let error): return ("other", "\(error)", .cannotCreate)
      }
    } catch {
      return ("error", "\(error) [\(error.code)]", error.code.kind)
    }
  }
}
