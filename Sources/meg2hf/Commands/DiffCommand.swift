import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import JSON

/// `meg2hf diff A B`
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare any two models tensor by tensor: folders, files, checkpoints.",
    discussion: """
      Each side is a transformers folder, a safetensors file, a PyTorch file, or a checkpoint, \
      whose tensors are merged as a conversion would merge them. A tensor is missing on one side, \
      has another shape or type, or has other values: then how many differ, and by how much at \
      most, is shown. Names count without the prefix "transformer.". A difference makes the exit \
      status 1.

      EXAMPLES:
        meg2hf diff hf/step-1000 hf/step-2000
        meg2hf diff ours/model.safetensors theirs/model.safetensors --json
        meg2hf diff runs/gpt2 runs/gpt2-copied      are they the same model?
      """)

  @Argument(help: "A folder, a file, or a checkpoint.", completion: .file())
  var a: String

  @Argument(help: "The other one.", completion: .file())
  var b: String

  @OptionGroup(title: "How checkpoints are read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.diff/1", shown) { report in
      var options = ConversionOptions()
      try source.apply(to: &options)
      let sides = try [a, b].map { side in
        try ComparedModel(
          Process.path(argument: side), options: options, limits: source.torchLimits()
        ) { try source.index($0) }
      }
      report.warnings = sides.flatMap(\.warnings)
      let progress = ProgressReporter(shown, verb: "comparing")
      defer { progress.finish() }
      let comparison = try ModelComparison(sides[0], sides[1]) { compared, total in
        progress.update(tensors: compared, of: total)
      }
      progress.finish()
      report.payload["a"] = .string(sides[0].kind.rawValue)
      report.payload["b"] = .string(sides[1].kind.rawValue)
      let differing = comparison.rows.filter { $0.status != .equal }
      report.status = comparison.isEqual ? "equal" : "different"
      report.exitCode = comparison.isEqual ? 0 : ExitStatus(.fault).rawValue
      report.payload["equal"] = .int(comparison.rows.count - differing.count)
      report.payload["different"] = .int(differing.count)
      report.payload["tensors"] = .array(
        comparison.rows.map { row in
          var object = JSONObject()
          object["name"] = .string(row.name)
          object["status"] = .string(row.status.rawValue)
          object["detail"] = .string(row.detail)
          if let count = row.differing { object["differing"] = .int(count) }
          if let largest = row.largest { object["largest_difference"] = .double(largest) }
          return .object(object)
        })
      var table = TextTable()
      for row in shown.verbose ? comparison.rows : differing {
        table.add(row.name, row.status.rawValue, row.detail)
      }
      let verdict =
        comparison.isEqual
        ? "all \(comparison.rows.count) tensors are equal"
        : "\(differing.count) of \(comparison.rows.count) tensors differ"
      report.text = "\(verdict)\n" + (differing.isEmpty && !shown.verbose ? "" : table.text())
    }
  }
}
