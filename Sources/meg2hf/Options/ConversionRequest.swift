import Conversion
import Diagnostics
import HuggingFace
import Megatron

/// What is to be converted into what, and how: the options of the command line as they are meant.
struct ConversionRequest {
  var options: ConversionOptions
  let run: RunOptions
  /// The tokenizer that was given.
  let tokenizer: ModelTokenizer?

  /// Reads what the options name.
  ///
  /// - Throws: `Failure` for a tokenizer that cannot be read.
  init(
    _ source: SourceOptions, _ output: OutputOptions, _ execution: ExecutionOptions,
    work: RunOptions.Work = .all
  ) throws(Failure) {
    options = try output.options(source)
    run = execution.run(source, work)
    tokenizer = try output.tokenizer.files()
  }

  /// Prepares the conversion of a checkpoint.
  ///
  /// - Throws: `Failure`.
  func converter(_ checkpoint: Checkpoint) throws(Failure) -> Conversion {
    try Conversion(of: checkpoint, options: options, tokenizer: tokenizer)
  }
}
