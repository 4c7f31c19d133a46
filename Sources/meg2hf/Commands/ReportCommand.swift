import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import JSON
import SystemPackage

/// `meg2hf report OUTPUT`
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Show what a converted model looks like in numbers and pictures.",
    discussion: """
      For people who look rather than read. All tensors are read once: statistics by layer, head \
      and tensor-parallel share, equal tensors, rows of the embeddings, and at most ten findings \
      in words. With -o one HTML file is written, without a script or an outside address.

      EXAMPLES:
        meg2hf report hf/gpt2
        meg2hf report hf/gpt2 -o report.html --against runs/gpt2
        meg2hf report hf/gpt2 -o report.html --against runs/gpt2 --training-logs runs/gpt2/tb
      """)

  @Argument(help: "The converted folder.", completion: .directory)
  var output: String

  @Option(
    name: .long,
    help: ArgumentHelp("The checkpoint that it was made of.", valueName: "checkpoint"),
    completion: .directory)
  var against: String?

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The page to write.", valueName: "file.html"), completion: .file())
  var page: String?

  @Flag(name: .long, help: "End with status 1 if there is a fact among the findings.")
  var strict = false

  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.report/1", shown) { report in
      let path = Process.path(argument: output)
      let checkpoint = try against.map { try source.index(Process.path(argument: $0)) }
      let records = try source.records.read()
      let curves = records?.logs.flatMap { run in
        TrainingCurves(run) { $0.countsSamples ? nil : checkpoint?.iteration }
      }
      let progress = ProgressReporter(shown, verb: "reading")
      defer { progress.finish() }
      let model = try ModelReport(
        path, against: checkpoint, curves: curves, started: { progress.start(total: $0) },
        progress: { progress.update($0) })
      progress.finish()
      report.warnings = records?.warnings ?? []
      report.payload["findings"] = .array(
        model.findings.map {
          [
            "kind": $0.isFact ? "fact" : "look", "text": .string($0.text),
            "picture": .string($0.picture.rawValue),
          ]
        })
      report.payload["tensors"] = .array(model.tensors.map(\.json))
      report.payload["page"] = page.map { .string($0) } ?? .null
      report.exitCode = strict && model.hasFacts ? 1 : 0
      report.text = text(model, path)
      guard let page else { return }
      let bytes = Array(model.html.utf8)
      try write(bytes, to: Process.path(argument: page))
      report.text += "\n\(page): \(byteText(bytes.count))\n"
    }
  }

  /// Writes the page next to its place, and puts it there when it is whole. Only a page of this
  /// command is replaced.
  private func write(_ bytes: [UInt8], to path: FilePath) throws(Failure) {
    do {
      if FileSystem.exists(path) {
        let start = try? InputFile(opening: path).read(at: 0, count: ModelReport.mark.utf8.count)
        guard start == Array(ModelReport.mark.utf8) else {
          throw Failure(
            .outputForeignFile, "it is there, and no report of meg2hf", file: path.string,
            hint: "choose another name for -o")
        }
      }
      let name = path.lastComponent?.string ?? "report.html"
      let temporary = path.removingLastComponent().appending(".\(name).\(Process.identifier)")
      do {
        let file = try OutputFile(creating: temporary)
        try file.write(bytes, at: 0)
        try file.finish()
        try FileSystem.rename(temporary, to: path)
      } catch {
        try? FileSystem.removeFile(temporary)
        throw error
      }
    } catch let error as FileError {
      throw Failure(writing: error, creating: true)
    } catch {
      throw Failure(reading: error, file: path.string)
    }
  }

  private func text(_ model: ModelReport, _ path: FilePath) -> String {
    var text = "\(path.string): \(model.summary)\n\nFINDINGS\n"
    var table = TextTable()
    for finding in model.findings { table.add(finding.isFact ? "fact" : "look", finding.text) }
    text += model.findings.isEmpty ? "  nothing that stands out\n" : table.text()
    guard page == nil else { return text }
    var layers = TextTable(["TENSOR", "BY LAYER", "DEVIATION", "MEAN", ""], optional: [3])
    for group in model.layerGroups {
      layers.add(
        group.name, BraillePlot.line(group.deviations, columns: 24),
        span(group.deviations), span(group.means))
    }
    return text + "\n" + layers.text()
  }

  private func span(_ values: [Double]) -> String {
    guard let low = values.min(), let high = values.max() else { return "" }
    let (a, b) = (significant(low, digits: 3), significant(high, digits: 3))
    return a == b ? a : "\(a) to \(b)"
  }
}

extension TensorSummary {
  /// The numbers for programs.
  fileprivate var json: JSONValue {
    func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }
    return [
      "name": .string(name), "shape": .array(shape.map { .int($0) }), "mean": number(mean),
      "deviation": number(deviation), "smallest": number(Double(smallest)),
      "largest": number(Double(largest)), "zeros": .int(zeroCount),
      "not_finite": .int(nonFiniteCount),
    ]
  }
}
