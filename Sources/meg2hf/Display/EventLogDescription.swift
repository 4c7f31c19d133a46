import Conversion
import Diagnostics
import EventLog
import JSON

/// What is shown of event files, as JSON and as text.
struct EventLogDescription {
  private let logs: EventLogs
  /// The runs, or the one that they are pieces of.
  private let shown: [EventRun]

  init(_ logs: EventLogs) {
    self.logs = logs
    shown = logs.joined.map { [$0] } ?? logs.runs
  }

  /// A warning for each stretch that was left out; the end that a job leaves that is killed is
  /// none.
  var warnings: [Diagnostic] {
    logs.runs.flatMap { run in
      run.damage.filter { !$0.isUsual }.map { damage in
        Diagnostic(
          .logsDamaged,
          "\(EventLogDescription.path(damage, run)), byte \(damage.offset): \(damage.message)")
      }
    }
  }

  private static func path(_ damage: EventDamage, _ run: EventRun) -> String {
    run.name == "." ? damage.file : "\(run.name)/\(damage.file)"
  }

  // MARK: - JSON

  /// The members of the document.
  ///
  /// - Parameter points: Whether all points are in it.
  /// - Returns: The members.
  func payload(points: Bool) -> JSONObject {
    var object = JSONObject()
    object["kind"] = "event-logs"
    object["logs"] = .array(logs.runs.map { .object(EventLogDescription.summary($0)) })
    object["joined"] =
      logs.joined.map { .object(EventLogDescription.summary($0)) } ?? .null
    if points {
      var runs = JSONObject()
      for run in logs.runs {
        runs[run.name] = EventLogDescription.points(run)
      }
      object["runs"] = .object(runs)
    }
    return object
  }

  private static func summary(_ run: EventRun) -> JSONObject {
    var object = JSONObject()
    object["name"] = .string(run.name)
    object["files"] = .array(run.files.map { .string($0) })
    object["bytes"] = .int(run.byteCount)
    object["records"] = .int(run.recordCount)
    object["jobs"] = .int(run.jobCount)
    object["writer"] = run.writer.map { .string($0) } ?? .null
    object["trainer"] =
      TrainingTags(among: run.curves.map(\.tag)).map { .string($0.trainer) } ?? .null
    object["tags"] = .array(
      run.curves.map { named in
        let (tag, curve) = (named.tag, named.curve)
        let recomputed = curve.recomputed
        return [
          "tag": .string(tag), "count": .int(curve.points.count), "read": .int(curve.readCount),
          "thinned": .bool(curve.isThinned), "first": value(curve.points.first),
          "last": value(curve.points.last), "starts": .array(curve.starts.map { .int($0) }),
          "computed_twice": .int(recomputed.count),
          "largest_difference": .double(recomputed.largestDifference),
        ]
      })
    object["texts"] = .array(
      run.texts.map { named in
        [
          "tag": .string(named.tag),
          "values": .array(named.texts.map { [.int($0.step), .string($0.text)] }),
        ]
      })
    object["other_values"] = .int(run.otherCount)
    object["damage"] = .array(run.damage.map(damage))
    return object
  }

  private static func points(_ run: EventRun) -> JSONValue {
    var scalars = JSONObject()
    for named in run.curves where !named.curve.points.isEmpty {
      scalars[named.tag] = .array(
        named.curve.points.map { [.int($0.step), number($0.value), number($0.time)] })
    }
    return ["scalars": .object(scalars), "damage": .array(run.damage.map(damage))]
  }

  private static func value(_ point: EventCurve.Point?) -> JSONValue {
    point.map { [.int($0.step), number($0.value), number($0.time)] } ?? .null
  }

  /// JSON has no word for what is not finite.
  private static func number(_ value: Double) -> JSONValue {
    value.isFinite ? .double(value) : .string(significant(value))
  }

  private static func damage(_ damage: EventDamage) -> JSONValue {
    [
      "file": .string(damage.file), "offset": .int(damage.offset), "bytes": .int(damage.count),
      "kind": .string(damage.kind.rawValue), "message": .string(damage.message),
    ]
  }

  // MARK: - Text

  /// A block for each run.
  ///
  /// - Parameters:
  ///   - path: What was read.
  ///   - verbose: Whether the texts are shown, too.
  ///   - draws: Whether the curve of the loss is drawn.
  /// - Returns: The text.
  func text(_ path: String, verbose: Bool, draws: Bool) -> String {
    let files = logs.runs.reduce(0) { $0 + $1.files.count }
    let bytes = logs.runs.reduce(0) { $0 + $1.byteCount }
    var text =
      "\(path): \(plural(files, "event file")), \(byteText(bytes)), "
      + plural(logs.runs.count, "run")
    if logs.joined != nil { text += " that are pieces of one training" }
    text += "\n"
    for run in shown {
      text += "\n" + EventLogDescription.facts(run, isNamed: shown.count > 1)
      text += EventLogDescription.table(run, verbose)
      if verbose { text += EventLogDescription.texts(run) }
      if draws { text += EventLogDescription.plot(run) }
    }
    return text
  }

  private static func facts(_ run: EventRun, isNamed: Bool) -> String {
    var table = TextTable()
    if isNamed { table.add("run", run.name) }
    let tags = TrainingTags(among: run.curves.map(\.tag))
    table.add("trainer", tags?.trainer ?? "not known by the names of its curves")
    table.add(
      "jobs", "\(plural(run.jobCount, "job")), \(plural(run.recordCount, "record")) read")
    if let curve = tags.flatMap({ run[$0.loss] }), curve.starts.count > 1 {
      let starts = curve.starts.dropFirst().map { thousands($0) }
      table.add("begun again", "at \(starts.joined(separator: ", "))")
      let (count, difference) = curve.recomputed
      if count > 0 {
        table.add(
          "computed twice",
          "\(plural(count, "value")), "
            + (difference == 0 ? "all equal" : "\(significant(difference)) apart at most"))
      }
      let odd = curve.superseded.filter { !$0.value.isFinite }
      if let first = odd.first, let last = odd.last {
        table.add(
          "overwritten",
          "\(plural(odd.count, "value")) not finite, at \(thousands(first.step)) to "
            + thousands(last.step))
      }
    }
    if !run.texts.isEmpty {
      let changed = run.texts.filter { Set($0.texts.map(\.text)).count > 1 }.map(\.tag)
      table.add(
        "texts",
        "\(run.texts.count)"
          + (changed.isEmpty
            ? "" : "; they differ between jobs: \(changed.joined(separator: ", "))"))
    }
    for damage in run.damage.prefix(10) {
      table.add(
        damage.isUsual ? "note" : "damage",
        "\(damage.file), byte \(damage.offset): \(damage.message)")
    }
    return table.text()
  }

  /// The curves; those that show the same values over another axis, or as a perplexity, only where
  /// more is asked for.
  private static func table(_ run: EventRun, _ verbose: Bool) -> String {
    let shown = run.curves.filter {
      verbose || !$0.tag.contains(" vs ") && !$0.tag.hasSuffix(" ppl")
    }
    var table = TextTable(
      ["CURVE", "VALUES", "STEPS", "FIRST", "LAST", "LOWEST", "HIGHEST"], optional: [6, 5, 1])
    for named in shown {
      let (tag, curve) = (named.tag, named.curve)
      let finite = curve.points.map(\.value).filter(\.isFinite)
      let (first, last) = (curve.points.first, curve.points.last)
      func cell(_ value: Double?) -> String { value.map { significant($0, digits: 5) } ?? "" }
      table.add(
        tag, thousands(curve.points.count),
        first.flatMap { a in last.map { "\(thousands(a.step)) to \(thousands($0.step))" } } ?? "",
        cell(first?.value), cell(last?.value), cell(finite.min()), cell(finite.max()))
    }
    let rest = run.curves.count - shown.count
    return (table.isEmpty ? "" : "\n" + table.text())
      + (rest == 0 ? "" : "  \(plural(rest, "curve")) more of the same values (--verbose)\n")
  }

  private static func texts(_ run: EventRun) -> String {
    var table = TextTable(["TEXT", "FROM", "VALUE"])
    for named in run.texts {
      for text in named.texts { table.add(named.tag, thousands(text.step), text.text) }
    }
    return table.isEmpty ? "" : "\n" + table.text()
  }

  private static func plot(_ run: EventRun) -> String {
    let loss = TrainingTags(among: run.curves.map(\.tag))?.loss ?? run.curves.first?.tag
    guard let loss, let curve = run[loss] else { return "" }
    let lines = BraillePlot().lines(curve.points.map { ($0.step, $0.value) })
    return lines.isEmpty ? "" : "\n  \(printable(loss))\n" + lines.map { "  \($0)\n" }.joined()
  }
}
