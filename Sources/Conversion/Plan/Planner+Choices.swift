import ByteIO
import Safetensors
import SystemPackage
import TorchArchive

/// What a plan settles before the pieces are made: type, rows of the vocabulary, leftovers.
extension Planner {
  /// The type that a tensor is stored in, where that is to be kept.
  func storedFormat(_ rule: AppliedRule) -> FloatFormat? {
    guard keepsFormats, let tensor = index.tensor(rule.source) else { return nil }
    return FloatFormat(tensor.shards[0].dtype)
  }

  /// Every tensor must be named by a rule: one that is passed over would be a part of the function
  /// that was trained.
  func checkLeftovers(_ rules: [AppliedRule]) throws(ConversionError) {
    let known = Set(rules.map(\.source) + [GPT2Rules.headCopy])
    for tensor in index.tensors where !known.contains(tensor.name) {
      throw ConversionError(
        .malformed, "checkpoint/unknown-tensor",
        "GPT-2 has no tensor of this name, and leaving it out could change the model",
        file: index.files[tensor.shards[0].file].name, tensor: tensor.name)
    }
  }

  /// The stored format, or the one that was chosen. A mixture is widened, which loses nothing.
  mutating func outputFormat() throws(ConversionError) -> FloatFormat {
    var formats: Set<FloatFormat> = []
    for tensor in index.tensors {
      for shard in tensor.shards {
        guard let format = FloatFormat(shard.dtype) else {
          throw ConversionError(
            .unsupported, "tensor/not-a-weight",
            "its elements are \(shard.dtype.rawValue); weights are float16, bfloat16 or "
              + "float32", file: index.files[shard.file].name, tensor: tensor.name)
        }
        formats.insert(format)
      }
    }
    if let dtype = options.dtype {
      guard let format = FloatFormat(dtype) else {
        throw ConversionError(
          .usage, "options/dtype", "\(dtype.rawValue) is no type for weights")
      }
      return format
    }
    guard formats.count > 1 else { return formats.first ?? .float32 }
    warnings.append(
      ConversionWarning(
        "dtype/mixed",
        "the weights are stored in several types "
          + "(\(formats.map(\.torchName).sorted().joined(separator: ", "))); "
          + "all are written as float32, which holds every value"))
    return .float32
  }

  mutating func vocabularyRows() throws(ConversionError) -> Int {
    let padded = geometry.paddedVocabulary
    switch options.vocabulary {
    case .keep:
      if let original = try originalVocabulary(), original < padded {
        warnings.append(
          ConversionWarning(
            "vocabulary/padding",
            "all \(padded) rows of the vocabulary are kept, of which \(padded - original) are "
              + "padding; --vocab-size trim leaves them out"))
      }
      return padded
    case .trim:
      guard let original = try originalVocabulary() else {
        throw ConversionError(
          .undecided, "vocabulary/unknown",
          "the checkpoint does not say how many rows the vocabulary had before padding",
          hint: "give the number: --vocab-size N")
      }
      return try checked(original)
    case .rows(let rows): return try checked(rows)
    }
  }

  private func checked(_ rows: Int) throws(ConversionError) -> Int {
    guard rows > 0, rows <= geometry.paddedVocabulary else {
      throw ConversionError(
        .undecided, "vocabulary/range",
        "a vocabulary of \(rows) rows was asked for; the embedding has "
          + "\(geometry.paddedVocabulary)", hint: "choose another --vocab-size")
    }
    return rows
  }

  /// Rows before padding: recorded, or what a tokenizer of GPT-2 has if the padding agrees.
  private func originalVocabulary() throws(ConversionError) -> Int? {
    let recorded = [
      try index.arguments.int("original_vocab_size"), index.originalVocabularySize,
      try index.arguments.int("orig_vocab_size"),
    ]
    if let size = recorded.compactMap({ $0 }).first(where: {
      (1...geometry.paddedVocabulary).contains($0)
    }) {
      return size
    }
    let stock: Int
    switch index.arguments["tokenizer_type"] {
    case .string("GPT2BPETokenizer"): stock = 50257
    case .string("NullTokenizer"):
      guard let size = try index.arguments.int("vocab_size"), (1...1 << 32).contains(size) else {
        return nil
      }
      stock = size
    default: return nil
    }
    guard let divisor = try index.arguments.int("make_vocab_size_divisible_by"), divisor > 0
    else { return nil }
    let (multiple, overflow) = divisor.multipliedReportingOverflow(
      by: geometry.tensorParallel * geometry.mergedRanks)
    guard !overflow, multiple < 1 << 32,
      (stock + multiple - 1) / multiple * multiple
        == geometry.paddedVocabulary
    else { return nil }
    return stock
  }
}
