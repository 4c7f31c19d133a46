import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import SystemPackage

/// What a checkpoint is asked before it is converted.
struct ProofOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "A text, or token ids in a .json or .bin file, that the model can predict: nothing is "
        + "written if it speaks for another order of query, key and value.", valueName: "file"),
    completion: .file())
  var prove: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A text that the model continues; the model card shows the result.", valueName: "text"))
  var sample: String?

  /// The most tokens that a proof predicts, and that a sample has.
  private static let (proofLength, sampleLength) = (1024, 40)

  /// Whether anything is.
  var isAsked: Bool { prove != nil || sample != nil }

  /// Finds out whether a text speaks for the order of query, key and value that is to be written.
  ///
  /// - Returns: `nil` where no text was given.
  /// - Throws: `Failure` 78 where it speaks for another one, 66 for a text without a tokenizer.
  func arbitrate(
    _ model: RunnableCheckpoint, _ tokenizer: TokenizerOptions, threads: Int,
    _ shown: DisplayOptions, _ warnings: inout [Diagnostic]
  ) throws -> OrderArbitration? {
    guard let prove else { return nil }
    let path = Process.path(argument: prove)
    let texts =
      path.extension == "json" || path.extension == "bin"
      ? try TokenFile(path).texts
      : [try reader(tokenizer, "--prove").encode(TextInput.read(nil, prove, named: "--prove"))]
    let progress = ProgressReporter(shown, verb: "predicting")
    defer { progress.finish() }
    let result = try model.arbitrate(Network.Options(threads: threads, memory: 0)) { network in
      try TextLoss(of: texts, by: network, maximum: ProofOptions.proofLength) {
        progress.update(tokens: $0)
      }
    }
    if let failure = result.failure(file: model.checkpoint.folder.path.string) { throw failure }
    if result.verdict == .doesNotTell {
      warnings.append(Diagnostic(.qkvNotProven, "\(result.headline): \(result.words)"))
    }
    return result
  }

  /// Has the checkpoint continue the sample.
  ///
  /// - Returns: `nil` where none was given.
  /// - Throws: `Failure` 66 without a tokenizer.
  func speak(
    _ model: RunnableCheckpoint, _ tokenizer: TokenizerOptions, end: Int?, threads: Int
  ) throws -> ModelCard.Sample? {
    guard let sample else { return nil }
    let tokenizer = try reader(tokenizer, "--sample")
    let found = FoundModel.checkpoint(model)
    let network = try found.network(
      found.options(nil, passes: ProofOptions.sampleLength, threads: threads))
    var options = GreedyText.Options()
    options.maximum = ProofOptions.sampleLength
    options.rows = tokenizer.size
    options.stop = Set([end].compactMap { $0 })
    let prompt = try TextInput.read(sample, nil, named: "--sample")
    let text = try GreedyText(after: tokenizer.encode(prompt), by: network, options: options)
    let ids = text.steps.map(\.id).filter { !options.stop.contains($0) }
    return ModelCard.Sample(
      prompt: prompt, text: tokenizer.decode(ids), tokens: text.steps.count)
  }

  private func reader(
    _ options: TokenizerOptions, _ flag: String
  ) throws(Failure) -> Tokenizer {
    if let tokenizer = try options.reader() { return tokenizer }
    throw Failure(
      .tokenizerMissing, "the text of \(flag) needs a tokenizer",
      hint: "--tokenizer, or --vocab-file and --merge-file"
        + (flag == "--prove" ? "; token ids in a .json or .bin file need none" : ""))
  }
}
