import ArgumentParser
import ByteIO

/// When something is shown.
enum Switch: String, ExpressibleByArgument, CaseIterable {
  case auto, always, never
}

/// How progress is shown.
enum ProgressStyle: String, ExpressibleByArgument, CaseIterable {
  case auto, bar, plain, none
}

/// What goes to the two streams: the options of every command.
struct DisplayOptions: ParsableArguments {
  @Flag(name: .long, help: "Print one JSON document instead of text.")
  var json = false

  @Flag(name: .shortAndLong, help: "Print nothing but the result, warnings and errors.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "Print more.")
  var verbose = false

  @Option(name: .long, help: "How progress is shown on the error stream.")
  var progress = ProgressStyle.auto

  @Option(name: .long, help: "Whether messages are coloured.")
  var color = Switch.auto

  /// The options as plain values.
  var display: Display {
    let isColored =
      switch color {
      case .always: true
      case .never: false
      case .auto:
        Process.Stream.errors.isTerminal && Process.environment("TERM") != "dumb"
          && (Process.environment("NO_COLOR") ?? "").isEmpty
      }
    return Display(json: json, quiet: quiet, isColored: isColored)
  }
}

/// How a result is printed.
struct Display {
  /// Whether it is one JSON document.
  var json = false
  /// Whether progress and notes are left out; warnings are shown all the same.
  var quiet = false
  var isColored = false
}
