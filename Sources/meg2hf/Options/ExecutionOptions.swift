import ArgumentParser
import Conversion

/// How conversions are carried out, one or many.
struct ExecutionOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: "Replace OUTPUT, if it is a model and nothing else, once the new one is complete.")
  var overwrite = false

  @Option(
    name: .long,
    help:
      "What to re-read before OUTPUT appears: fast = headers and sizes, full = every byte, none.")
  var check = ReadBack.fast

  @Flag(name: .long, help: "Write SHA256SUMS, which reads the output once more.")
  var sha256 = false

  @Flag(
    name: .customLong("no-resume"),
    help: "Start from scratch instead of continuing with files that an earlier run has finished.")
  var noResume = false

  @OptionGroup var threads: ThreadOptions

  /// The options of the library.
  func run(_ source: SourceOptions, _ work: RunOptions.Work = .all) -> RunOptions {
    RunOptions(
      crc: source.crc, overwrite: overwrite, check: check, sha256: sha256, resume: !noResume,
      work: work, jobs: threads.jobs)
  }
}
