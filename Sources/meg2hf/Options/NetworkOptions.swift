import Architectures
import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import Megatron
import SystemPackage
import TorchArchive

/// The model that a command runs: a folder of transformers, or a checkpoint.
struct NetworkOptions: ParsableArguments {
  @Argument(help: "The folder of the model, or a checkpoint.", completion: .directory)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How much of the weights is held in memory, such as 2GB, none or all; the rest is read again "
        + "for each pass. By default all, if half of the memory that is free holds them and there "
        + "are more than four passes, else none.", valueName: "size"))
  var memory: MemoryArgument?

  @OptionGroup var threads: ThreadOptions
  @OptionGroup(title: "The tokenizer") var tokenizer: TokenizerOptions
  @OptionGroup(title: "What is read of a checkpoint") var source: SourceOptions

  /// Finds the model, before anything else is asked of it.
  ///
  /// - Parameters:
  ///   - allowingEach: Whether all orders of query, key and value may be asked for.
  ///   - shown: How progress is shown.
  ///   - warnings: What is worth knowing.
  /// - Returns: A model that can be run.
  /// - Throws: `Failure` for one that is damaged, or cannot be converted.
  func find(
    allowingEach: Bool = false, _ shown: DisplayOptions, _ warnings: inout [Diagnostic]
  ) throws -> FoundModel {
    let path = Process.path(argument: model)
    let kind = try ComparedModel.kind(of: path)
    if kind == .directory || kind == .safetensorsFile {
      let directory = try ModelDirectory(reading: path)
      if let flag = source.given.first {
        throw Failure(
          .usageArguments, "\(flag) is for a checkpoint, and this is a folder of transformers",
          file: model)
      }
      return .directory(directory)
    }
    var options = ConversionOptions()
    if allowingEach, source.qkvLayout == .each {
      try source.apply(to: &options, order: nil)
    } else {
      try source.apply(to: &options)
    }
    let found = FoundModel.checkpoint(
      try RunnableCheckpoint(source.index(path), options: options))
    warnings += found.warnings
    warnings += try found.check(
      source.crc, threads: RunOptions(jobs: threads.jobs).threads, shown)
    return found
  }

  /// How a model is run.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - passes: How many times all weights are needed.
  /// - Returns: Threads and memory.
  func options(_ model: FoundModel, passes: Int) -> Network.Options {
    model.options(memory, passes: passes, threads: RunOptions(jobs: threads.jobs).threads)
  }

  /// The tokenizer that was named, or the model's own.
  ///
  /// - Parameters:
  ///   - isNeeded: Whether there is a text. Ids need no tokenizer; one that cannot be used is then
  ///     a warning.
  ///   - warnings: What is worth knowing.
  /// - Returns: The tokenizer; `nil` where there is none and none is needed.
  /// - Throws: `Failure` for one that is needed, or was named, and cannot be read.
  func readTokenizer(
    isNeeded: Bool, _ warnings: inout [Diagnostic]
  ) throws(Failure) -> Tokenizer? {
    do throws(Failure) {
      let given = try tokenizer.reader()
      let result =
        if let given { given } else { try Tokenizer(folder: Process.path(argument: model)) }
      warnings += result.warnings
      return result
    } catch {
      var failure = error
      guard !isNeeded, !tokenizer.isGiven else {
        failure.hint = failure.hint ?? "--tokenizer DIR names another; ids need none"
        throw failure
      }
      // Padding can then be told from tokens by a flag alone.
      if failure.code != .tokenizerMissing { warnings.append(failure.diagnostic) }
      return nil
    }
  }
}

/// What `--memory` names.
enum MemoryArgument: ExpressibleByArgument, Hashable {
  case all
  case bytes(Int)

  init?(argument: String) {
    switch argument.lowercased() {
    case "all": self = .all
    case "none": self = .bytes(0)
    default:
      guard let bytes = SizeArgument(argument: argument)?.bytes else { return nil }
      self = .bytes(bytes)
    }
  }

  static let allValueStrings = ["all", "none"]
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}
