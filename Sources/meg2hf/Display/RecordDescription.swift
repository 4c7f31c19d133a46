import Conversion
import Diagnostics
import EventLog
import JSON
import LaunchScript

/// What is shown of the records of a run beside its checkpoint.
struct RecordDescription {
  private let records: RunRecords
  private let check: RecordCheck?
  private let curves: TrainingCurves?

  /// - Returns: `nil` without records.
  init?(_ records: RunRecords?, _ check: RecordCheck?, _ curves: TrainingCurves? = nil) {
    guard let records else { return nil }
    self.records = records
    self.check = check
    self.curves = curves
  }

  /// For programs.
  var json: JSONValue { records.json(check) }

  /// A line for each of the records, and one for what became of them.
  var rows: [(String, String)] {
    var rows: [(String, String)] = []
    if let script = records.script {
      let known = script.options.count { $0.values != nil && $0.assumptions.isEmpty }
      let assumed = script.options.count { $0.values != nil && !$0.assumptions.isEmpty }
      let open = script.options.count { $0.values == nil }
      rows.append(
        (
          "script",
          "\(script.name): \(plural(known, "option")) exact"
            + (assumed == 0 ? "" : ", \(assumed) assumed")
            + (open == 0 ? "" : ", \(open) not known")
        ))
    }
    if let run = records.logs {
      var text = "\(plural(records.logFiles.count, "event file")), \(plural(run.jobCount, "job"))"
      if let curves, let last = curves.loss.last {
        text += ", loss \(significant(last.value)) at \(thousands(last.step))"
        if let mark = curves.mark, let point = curves.loss.last(where: { $0.step <= mark }),
          mark < last.step
        {
          text += ", \(significant(point.value)) at the checkpoint's \(thousands(mark))"
        }
      }
      rows.append(("event files", text))
    }
    if let check, !check.rows.isEmpty {
      func count(_ verdict: RecordCheck.Verdict, _ words: String) -> String? {
        let number = check.rows.count { $0.verdict == verdict }
        return number == 0 ? nil : "\(number) \(words)"
      }
      let parts = [
        count(.same, "the same"), count(.filled, "filled in"),
        count(.mayChange, "differ, as they may from job to job"),
        count(.assumed, "differ if assumptions hold"), count(.contradicts, "contradict"),
      ]
      rows.append(("arguments", parts.compactMap { $0 }.joined(separator: ", ")))
    }
    return rows
  }

  /// Each argument with what each says of it.
  var table: String {
    var table = TextTable(["ARGUMENT", "CHECKPOINT", "LOGS", "SCRIPT", "VERDICT"])
    for row in check?.rows ?? [] {
      table.add(
        row.name, row.checkpoint?.text ?? "", row.logs?.text ?? "", row.script?.text ?? "",
        row.verdict.rawValue)
    }
    return table.isEmpty ? "" : "\nRECORDS\n" + table.text()
  }
}
