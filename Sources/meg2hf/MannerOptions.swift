import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace

/// How conversions are carried out, one or many.
struct MannerOptions: ParsableArguments {
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
    help: ArgumentHelp(
      "A folder with the files of a tokenizer, which are kept as they are.", valueName: "folder"),
    completion: .directory)
  var tokenizer: String?

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

  func validate() throws {
    guard (vocabFile == nil) == (mergeFile == nil) else {
      throw ValidationError("--vocab-file and --merge-file belong together.")
    }
    guard tokenizer == nil || vocabFile == nil else {
      throw ValidationError("--tokenizer stands for --vocab-file and --merge-file.")
    }
  }

  /// The options of the library.
  func run(_ source: SourceOptions, _ work: RunOptions.Work = .all) -> RunOptions {
    RunOptions(
      crc: source.crc, overwrite: overwrite, check: check, sha256: sha256, resume: !noResume,
      work: work, jobs: threads.jobs)
  }

  /// Reads the tokenizer that was given, if one was.
  func readTokenizer() throws(Failure) -> ModelTokenizer? {
    if let tokenizer { return try ModelTokenizer(folder: Process.path(argument: tokenizer)) }
    guard let vocabFile, let mergeFile else { return nil }
    return try ModelTokenizer(
      vocabulary: Process.path(argument: vocabFile), merges: Process.path(argument: mergeFile))
  }
}
