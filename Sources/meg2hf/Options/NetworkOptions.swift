import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import SystemPackage

/// The model that a command runs.
struct NetworkOptions: ParsableArguments {
  @Argument(help: "The folder of the model.", completion: .directory)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A folder with the tokenizer, if the model's has none.", valueName: "folder"),
    completion: .directory)
  var tokenizer: String?

  @OptionGroup var threads: ThreadOptions

  /// Looks at the folder of the model, before anything else is asked of it.
  func directory() throws(Failure) -> ModelDirectory {
    try ModelDirectory(reading: Process.path(argument: model))
  }

  /// Reads a model into memory.
  func network(_ directory: ModelDirectory) throws(Failure) -> GPT2Network {
    try GPT2Network(directory, threads: RunOptions(jobs: threads.jobs).threads)
  }

  /// The tokenizer that was named, or the model's own.
  ///
  /// - Parameters:
  ///   - isNeeded: Whether there is a text. Ids need no tokenizer; one that cannot be used is then
  ///     a warning.
  ///   - warnings: What is worth knowing.
  /// - Returns: The tokenizer; `nil` where there is none and none is needed.
  /// - Throws: ``Failure`` for one that is needed, or was named, and cannot be read.
  func readTokenizer(
    isNeeded: Bool, _ warnings: inout [Diagnostic]
  ) throws(Failure) -> Tokenizer? {
    do {
      let result = try Tokenizer(folder: Process.path(argument: tokenizer ?? model))
      warnings += result.warnings
      return result
    } catch {
      var failure = error
      guard !isNeeded, tokenizer == nil else {
        failure.hint = failure.hint ?? "--tokenizer DIR names another; ids need none"
        throw failure
      }
      // Padding can then be told from tokens by a flag alone.
      if failure.code != .tokenizerMissing { warnings.append(failure.diagnostic) }
      return nil
    }
  }
}
