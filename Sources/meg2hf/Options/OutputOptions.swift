import Architectures
import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Safetensors

/// An element type by the names of PyTorch, with the short ones.
struct DTypeArgument: ExpressibleByArgument {
  let dtype: DType?

  init?(argument: String) {
    switch argument.lowercased() {
    case "auto": dtype = nil
    case "float32", "fp32", "f32", "torch.float32": dtype = .f32
    case "float16", "fp16", "f16", "half", "torch.float16": dtype = .f16
    case "bfloat16", "bf16", "torch.bfloat16": dtype = .bf16
    default: return nil
    }
  }

  private init() {
    dtype = nil
  }

  static let auto = DTypeArgument()

  var defaultValueDescription: String { "auto" }

  static let allValueStrings = ["auto", "float32", "float16", "bfloat16", "fp32", "fp16", "bf16"]
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

/// `keep`, `trim`, or a number of rows.
struct VocabularyArgument: ExpressibleByArgument {
  let vocabulary: ConversionOptions.Vocabulary

  init?(argument: String) {
    switch argument {
    case "keep": vocabulary = .keep
    case "trim": vocabulary = .trim
    default:
      // Zero and less are refused later, with the number of rows that there are.
      guard let rows = Int(argument) else { return nil }
      vocabulary = .rows(rows)
    }
  }

  static let keep = VocabularyArgument()

  private init() {
    vocabulary = .keep
  }

  var defaultValueDescription: String { "keep" }

  static let allValueStrings = ["keep", "trim"]
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

/// A size such as `5GB`: powers of ten for KB, MB, GB and TB, powers of two for KiB to TiB.
struct SizeArgument: ExpressibleByArgument {
  /// The size in bytes; `nil` for `none`.
  let bytes: Int?
  private let text: String

  init?(argument: String) {
    text = argument
    if argument.lowercased() == "none" {
      bytes = nil
      return
    }
    let lower = argument.lowercased().filter { $0 != " " }
    let number = lower.prefix { $0.isNumber || $0 == "." || $0 == "e" || $0 == "+" }
    let unit = String(lower.dropFirst(number.count))
    // swift-format-ignore
    let units: [String: Double] = [
      "": 1, "b": 1,
      "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
      "kib": 1024, "mib": 1_048_576, "gib": 1_073_741_824, "tib": 1_099_511_627_776,
    ]
    guard let factor = units[unit], let value = Double(number), value >= 0,
      value * factor < 0x1p62
    else { return nil }
    bytes = Int(value * factor)
  }

  private init(_ bytes: Int, _ text: String) {
    self.bytes = bytes
    self.text = text
  }

  static let standard = SizeArgument(5_000_000_000, "5GB")

  /// Whether it was given without a unit.
  var isBare: Bool { Int(text) != nil }

  var defaultValueDescription: String { text }
}

/// What a conversion makes of a checkpoint.
struct OutputOptions: ParsableArguments {
  @Option(name: .long, help: "The element type of the output; auto keeps the stored one.")
  var dtype = DTypeArgument.auto

  @Option(name: .long, help: "What becomes of replicas that differ between ranks.")
  var replicas = ConversionOptions.Replicas.mean

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Rows of the vocabulary: all, without the padding, or a number.", valueName: "keep|trim|n"))
  var vocabSize = VocabularyArgument.keep

  @Option(name: .long, help: "Names with the prefix transformer., or bare ones for MLX and TGI.")
  var keyStyle = KeyStyle.transformer

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The largest size of a file of weights, such as 5GB, 500MiB or none.", valueName: "size"))
  var maxShardSize = SizeArgument.standard

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Lines of YAML for the head of the model card: licence, language, data sets.",
      valueName: "file"), completion: .file())
  var cardHeader: String?

  @Flag(
    name: .long,
    help: "Copy the files of --training-logs into the output, where the hub shows their curves.")
  var copyLogs = false

  @OptionGroup var tokenizer: TokenizerOptions

  func validate() throws {
    if let bytes = maxShardSize.bytes, bytes < 1 << 20, maxShardSize.isBare {
      throw ValidationError(
        "--max-shard-size \(bytes) is a number of bytes: a unit is missing, as in "
          + "\(max(bytes, 1))GB, or none for a single file.")
    }
  }

  /// The options of the library.
  func options(_ source: SourceOptions) throws(Failure) -> ConversionOptions {
    var options = ConversionOptions()
    options.dtype = dtype.dtype
    try source.apply(to: &options)
    options.replicas = replicas
    options.vocabulary = vocabSize.vocabulary
    options.keyStyle = keyStyle
    options.maximumShardSize = maxShardSize.bytes
    guard !copyLogs || source.records.trainingLogs != nil else {
      throw Failure(
        .usageArguments, "--copy-logs copies what --training-logs names, and that is missing")
    }
    options.copiesLogs = copyLogs
    options.cardHeader = try cardHeader.map { (path) throws(Failure) in
      try CardHeader(reading: Process.path(argument: path))
    }
    return options
  }
}
