import ByteIO
import Conversion
import Diagnostics
import JSON
import Safetensors

/// The result of a command: a text for people, a document for programs, and an exit status.
struct Report {
  /// The name and version of the document's form.
  let schema: String
  var errors: [Failure] = []
  var warnings: [Diagnostic] = []
  /// The exit status when there is no error.
  var exitCode: Int32 = 0
  /// One word about how it went; "ok" or "error" unless something says more.
  var status: String?
  /// What the document holds besides status, errors and warnings.
  var payload = JSONObject()
  /// The result for people.
  var text = ""
  /// Whether the result was printed on the way, line by line.
  var isStreamed = false

  init(schema: String, errors: [Failure] = []) {
    self.schema = schema
    self.errors = errors
  }

  /// Carries out a command and prints what it came to.
  static func run(
    _ schema: String, _ shown: DisplayOptions, stopNote: String = "stopped by a signal",
    _ body: (inout Report) throws -> Void
  ) -> Never {
    let display = shown.display
    var report = Report(schema: schema)
    do {
      try body(&report)
    } catch let stop as Interrupted {
      report.status = "stopped"
      // A warning that time runs out asks for another try; other signals are passed on to the
      // parent.
      if stop.signal == Process.warningSignal {
        report.errors.append(
          Failure(.stoppedWarning, "stopped by a signal before the end"))
        report.finish(display)
      }
      report.exitCode = 128 + stop.signal
      Messages(display).note(stopNote, always: true)
      report.print(display)
      Process.raise(stop.signal)
    } catch let error as Failure {
      report.errors.append(error)
    } catch {
      report.errors.append(Failure(.bugUnexpected, "\(error)"))
    }
    report.finish(display)
  }

  /// Prints the result and ends the process.
  func finish(_ display: Display) -> Never {
    print(display)
    Process.exit(code)
  }

  private var code: Int32 { exitCode != 0 ? exitCode : errors.first?.status.rawValue ?? 0 }

  private func print(_ display: Display) {
    let messages = Messages(display)
    messages.show(warnings)
    for error in errors { messages.show(error) }
    if isStreamed { return }
    let result =
      display.json
      ? JSONWriter.text(.object(document), .indented)
      : text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
    // A result that cannot be read is not a result.
    guard !Process.Stream.output.write(result), code == 0 else { return }
    messages.show(
      Failure(.ioError, "the result cannot be written", file: "stdout"))
    Process.exit(ExitStatus(.inputOutput).rawValue)
  }

  private var document: JSONObject {
    var document = JSONObject()
    document["schema"] = .string(schema)
    document["status"] = .string(status ?? (code == 0 ? "ok" : "error"))
    document["exit_code"] = .int(Int(code))
    for member in payload.members { document[member.key] = member.value }
    document["errors"] = .array(errors.map(\.json))
    document["warnings"] = .array(warnings.map(\.json))
    return document
  }
}

extension Failure {
  /// The error for machine-readable output.
  var json: JSONValue {
    let parts = diagnostic
    return [
      "code": .string(parts.code.name), "message": .string(parts.message),
      "file": parts.file.map { .string($0) } ?? nil,
      "tensor": parts.tensor.map { .string($0) } ?? nil,
      "offset": parts.offset.map { .int($0) } ?? nil,
      "hint": parts.hint.map { .string($0) } ?? nil,
    ]
  }
}

/// Lines on the error stream.
struct Messages {
  private let display: Display

  init(_ display: Display) {
    self.display = display
  }

  /// Shows an error with its hint.
  func show(_ error: Failure) {
    line("error", "31", "\(error) [\(error.code)]")
    if let hint = error.hint { Process.Stream.errors.write("  hint: \(clean(hint))\n") }
  }

  /// Shows a warning.
  func show(_ warning: Diagnostic) {
    line("warning", "33", (warning.tensor.map { "tensor \($0): " } ?? "") + warning.message)
  }

  /// Shows warnings: of five and more of one kind only the first three, and how many more there
  /// are.
  func show(_ warnings: [Diagnostic]) {
    let totals = Dictionary(grouping: warnings, by: \.code).mapValues(\.count)
    var numbers: [Diagnostic.Code: Int] = [:]
    for warning in warnings {
      let (number, total) = (numbers[warning.code, default: 0] + 1, totals[warning.code] ?? 1)
      numbers[warning.code] = number
      if total <= 4 || number <= 3 {
        show(warning)
      } else if number == 4 {
        line("warning", "33", "\(total - 3) more of this kind (\(warning.code)); --json lists all")
      }
    }
  }

  /// Shows a line that is neither.
  func note(_ text: String, always: Bool = false) {
    guard always || !display.quiet else { return }
    Process.Stream.errors.write("\(stamp)meg2hf: \(clean(text))\n")
  }

  /// In the log of a batch system each line says when, where, and in which task.
  private var stamp: String {
    BatchSystem.task == nil || Process.Stream.errors.isTerminal ? "" : BatchSystem.stamp
  }

  private func line(_ kind: String, _ color: String, _ text: String) {
    let word = display.isColored ? "\u{1B}[1;\(color)m\(kind):\u{1B}[0m" : "\(kind):"
    Process.Stream.errors.write("\(stamp)meg2hf: \(word) \(clean(text))\n")
  }

  /// Names come from files: they must not steer the terminal.
  private func clean(_ text: String) -> String {
    if text.isPlain { return text }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { scalar in
          scalar == "\n" ? " " : scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar
        }))
  }
}
