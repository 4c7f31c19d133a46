import ArgumentParser
import ByteIO
import Diagnostics
import HuggingFace

/// The tokenizer of a model.
struct TokenizerOptions: ParsableArguments {
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
    help: ArgumentHelp("A folder with the files of a tokenizer.", valueName: "folder"),
    completion: .directory)
  var tokenizer: String?

  func validate() throws {
    guard (vocabFile == nil) == (mergeFile == nil) else {
      throw ValidationError("--vocab-file and --merge-file belong together.")
    }
    guard tokenizer == nil || vocabFile == nil else {
      throw ValidationError("--tokenizer stands for --vocab-file and --merge-file.")
    }
  }

  /// Whether one was given.
  var isGiven: Bool { tokenizer != nil || vocabFile != nil }

  /// The files of the tokenizer that was given, to be written next to a model; `nil` without one.
  func files() throws(Failure) -> ModelTokenizer? {
    if let tokenizer { return try ModelTokenizer(folder: Process.path(argument: tokenizer)) }
    guard let vocabFile, let mergeFile else { return nil }
    return try ModelTokenizer(
      vocabulary: Process.path(argument: vocabFile), merges: Process.path(argument: mergeFile))
  }

  /// The tokenizer that was given, to be used; `nil` without one.
  func reader() throws(Failure) -> Tokenizer? {
    if let tokenizer { return try Tokenizer(folder: Process.path(argument: tokenizer)) }
    guard let vocabFile, let mergeFile else { return nil }
    return try Tokenizer(
      vocabulary: Process.path(argument: vocabFile), merges: Process.path(argument: mergeFile))
  }
}
