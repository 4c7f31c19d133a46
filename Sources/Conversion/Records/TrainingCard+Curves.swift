import Diagnostics
import EventLog

extension TrainingCard {
  /// The losses and learning rates of the run at some of its steps, as a table of Markdown.
  func table(_ curves: TrainingCurves) -> String {
    func whole(_ name: String) -> Int? {
      for source in ["checkpoint", "logs", "script"] {
        if case .int(let value)? = get(name, from: source)?.value { return value }
      }
      return nil
    }
    let ramp = ["checkpoint", "logs", "script"].contains { source in
      get("rampup_batch_size", from: source).map { !$0.isKnown || !$0.text.isEmpty } ?? false
    }
    let rows = curves.rows(
      batch: ramp ? nil : whole("global_batch_size"), length: whole("seq_length"))
    guard !rows.isEmpty else { return "" }
    func cell(_ value: Double?, _ digits: Int = 4) -> String? {
      value.map { significant($0, digits: digits) }
    }
    let columns: [(String, [String?])] = [
      (curves.tags.countsSamples ? "sequences" : "iteration", rows.map { "\($0.step)" }),
      ("sequences", rows.map { $0.sequences.map { "\($0)" } }),
      ("tokens", rows.map { $0.tokens.map { "\($0)" } }),
      ("training loss", rows.map { cell($0.loss) }),
      ("validation loss", rows.map { cell($0.validation) }),
      ("learning rate", rows.map { cell($0.learningRate, 3) }),
    ].filter { $0.1.contains { $0 != nil } }
    var text = "\n| \(columns.map(\.0).joined(separator: " | ")) |\n"
    text += "|" + columns.map { _ in "---:|" }.joined() + "\n"
    for index in rows.indices {
      text += "| \(columns.map { $0.1[index] ?? "" }.joined(separator: " | ")) |\n"
    }
    return text
  }

  /// What a reader should know of the curves: where they go back, begin or end.
  func notes(_ curves: TrainingCurves) -> [String] {
    var notes: [String] = []
    let unit = curves.tags.countsSamples ? "sequence" : "iteration"
    if let mark = curves.mark, let last = curves.loss.last, last.step > mark {
      notes.append(
        "The logs go on to \(unit) \(last.step); what came after this checkpoint is drawn pale.")
    } else if curves.mark == nil, let last = curves.loss.last, checkpoint.iteration != nil {
      let first = curves.loss.first?.step ?? 0
      notes.append(
        first > (checkpoint.iteration ?? .max)
          ? "The logs begin at \(unit) \(first), after this checkpoint."
          : "The logs end at \(unit) \(last.step), before this checkpoint.")
    }
    if curves.wentBack {
      notes.append(
        "The run went back after this checkpoint; what led to it is shown.")
    }
    if !curves.restarts.isEmpty, !curves.wentBack {
      let steps = curves.restarts.map { "\($0)" }
      let times =
        steps.count == 1 ? "once, at \(unit) " : "\(steps.count) times, at \(unit)s "
      let list =
        steps.count < 3
        ? steps.joined(separator: " and ")
        : steps.dropLast().prefix(8).joined(separator: ", ")
          + (steps.count > 9 ? " ... " : " and ") + (steps.last ?? "")
      notes.append(
        "Training was begun again \(times)\(list); where two jobs logged an \(unit), the later one "
          + "counts.")
    }
    return notes
  }
}
