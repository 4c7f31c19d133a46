import ArgumentParser
import ByteIO
import Diagnostics
import HuggingFace
import Inference
import SystemPackage

/// Whether a model and its checkpoint are run, and on what.
struct ForwardOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: "Run both the output and the checkpoint, and compare their logits; with --against.")
  var forward = false

  @Option(
    name: .long,
    help: ArgumentHelp("For --forward: how many tokens; by default 32.", valueName: "n"))
  var tokens: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("For --forward: a text, in place of arbitrary tokens.", valueName: "text"))
  var text: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "For --forward: token ids, in place of arbitrary ones.", valueName: "id,id,..."))
  var ids: String?

  func validate() throws {
    let given = [tokens != nil, text != nil, ids != nil].count { $0 }
    guard forward || given == 0 else {
      throw ValidationError("--tokens, --text and --ids say what --forward runs; it is missing.")
    }
    guard given < 2 else {
      throw ValidationError("--tokens, --text and --ids all say what is run; leave one of them.")
    }
    guard tokens ?? 1 > 0 else { throw ValidationError("--tokens counts from 1.") }
  }

  /// The seed of arbitrary tokens.
  static let seed: UInt64 = 1

  /// The tokens that are run.
  ///
  /// - Parameters:
  ///   - output: The folder of the model, with its tokenizer.
  ///   - vocabulary: Arbitrary tokens are below it.
  ///   - positions: At most so many arbitrary tokens are run.
  /// - Returns: Their ids.
  /// - Throws: `Failure` for a text without a tokenizer, or what are no ids.
  func tokens(_ output: FilePath, vocabulary: Int, positions: Int) throws(Failure) -> [Int] {
    if let ids { return try TextInput.ids(ids) }
    guard let text else {
      return ForwardCheck.tokens(
        tokens ?? min(32, positions), below: vocabulary, seed: ForwardOptions.seed)
    }
    do {
      return try Tokenizer(folder: output).encode(try TextInput.read(text, nil, named: "--text"))
    } catch {
      var failure = error
      if failure.code == .tokenizerMissing { failure.hint = "--ids needs none" }
      throw failure
    }
  }
}
