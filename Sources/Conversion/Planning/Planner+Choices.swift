import Architectures
import ByteIO
import Diagnostics
import HuggingFace
import Megatron
import SystemPackage
import TorchArchive
import Transfer

/// What a plan settles before the pieces are made: type, rows of the vocabulary, leftovers.
extension Planner {
  /// The type that a tensor is stored in, where that is to be kept.
  func storedFormat(_ rule: RuleTable.Applied) -> FloatFormat? {
    guard keepsFormats, let tensor = index.tensor(rule.source) else { return nil }
    return FloatFormat(tensor.shards[0].dtype)
  }

  /// Every tensor must be named by a rule: one that is passed over would be a part of the function
  /// that was trained.
  func checkLeftovers(_ rules: [RuleTable.Applied]) throws(Failure) {
    let known = Set(rules.map(\.source) + [ParameterName.embeddingCopy])
    for tensor in index.tensors where !known.contains(tensor.name) {
      throw Failure(
        .checkpointUnknownTensor,
        "\(model.architecture.format.title) has no tensor of this name, and leaving it out could "
          + "change the model",
        file: index.files[tensor.shards[0].file].name, tensor: tensor.name)
    }
  }

  /// The stored format, or the one that was chosen. A mixture is widened, which loses nothing.
  mutating func outputFormat() throws(Failure) -> FloatFormat {
    var formats: Set<FloatFormat> = []
    for tensor in index.tensors {
      for shard in tensor.shards {
        guard let format = FloatFormat(shard.dtype) else {
          throw Failure(
            .tensorNotAWeight,
            "its elements are \(shard.dtype.rawValue); weights are float16, bfloat16 or "
              + "float32", file: index.files[shard.file].name, tensor: tensor.name)
        }
        formats.insert(format)
      }
    }
    if let dtype = options.dtype {
      guard let format = FloatFormat(dtype) else {
        throw Failure(
          .optionsDtype, "\(dtype.torchName) is not a type for weights")
      }
      decisions.append(Decision("dtype", .string(format.torchName), "given by --dtype"))
      return format
    }
    guard formats.count > 1 else {
      let format = formats.first ?? .float32
      decisions.append(Decision("dtype", .string(format.torchName), "as stored"))
      return format
    }
    decisions.append(Decision("dtype", "float32", "the weights are stored in several types"))
    warnings.append(
      Diagnostic(
        .dtypeMixed,
        "the weights are stored in several types "
          + "(\(formats.map(\.torchName).sorted().joined(separator: ", "))); "
          + "all are written as float32, which holds every value"))
    return .float32
  }

  /// Norms that are stored as their distance from 1: in 16 bits the sum is another number than the
  /// trainer computed with.
  ///
  /// - Throws: `Failure` 69 for a family that does not let that pass.
  mutating func checkNorms(
    _ configuration: ModelConfiguration, _ format: FloatFormat
  ) throws(Failure) {
    guard configuration.normAddend != 0, format != .float32, !keepsFormats else { return }
    let message =
      "the weights of the norms are stored minus 1, and in \(format.torchName) the sum is rounded"
    let hint = "--weights fp32-master or --dtype float32 keeps every digit"
    guard configuration.mayRoundNorms else {
      throw Failure(.model("norm-minus-one"), message, hint: hint)
    }
    warnings.append(Diagnostic(.normRounded, message, hint: hint))
  }

  /// The rows of the vocabulary that are written: all, those before the padding, or a number.
  mutating func vocabularyRows(_ tokenizer: ModelTokenizer?) throws(Failure) -> Int {
    let padded = sizes.vocabulary
    let recorded = try RecordedVocabulary(index)
    let rows: Int
    let reason: String
    switch options.vocabulary {
    case .keep:
      rows = padded
      if let recorded, recorded.rows < padded {
        reason =
          "keeping all \(padded) rows, \(padded - recorded.rows) of them padding "
          + "(\(recorded.reason)); "
          + "--vocab-size trim leaves them out"
      } else {
        reason = recorded == nil ? "all rows; how many are padding is not recorded" : "all rows"
      }
    case .trim:
      if let recorded, recorded.rows <= padded {
        warnIfImplausible(recorded, padded)
        (rows, reason) = (recorded.rows, "without padding: \(recorded.reason)")
      } else if let tokenizer, tokenizer.size > 0 {
        (rows, reason) = (
          try checked(tokenizer.size), "without padding: the tokenizer that was given has as many"
        )
      } else {
        let stock = 50257
        throw Failure(
          .vocabularyUnknown,
          "the checkpoint does not say how many of its \(padded) rows are not padding",
          hint: "give the tokenizer with --tokenizer DIR, or the number with --vocab-size N"
            + (stock <= padded ? " (GPT-2's own tokenizer has \(stock))" : ""))
      }
    case .rows(let number):
      rows = try checked(number)
      reason = "given by --vocab-size"
      if let recorded, recorded.rows > number {
        warn(
          .vocabularyOverridden,
          "--vocab-size \(number) is against the evidence: the vocabulary has \(recorded.rows) "
            + "tokens "
            + "(\(recorded.reason)), so \(recorded.rows - number) of them are cut off")
      }
    }
    if let tokenizer, let recorded, tokenizer.size != recorded.rows, tokenizer.size > 0 {
      warn(
        .tokenizerOtherSize,
        "the tokenizer that was given has \(tokenizer.size) tokens, but that of the run had "
          + "\(recorded.rows) (\(recorded.reason))")
    }
    if options.vocabulary == .trim, let extra = try index.arguments.int(.vocabExtraIds),
      extra > 0, recorded == nil || recorded.map({ $0.rows < padded }) == true
    {
      warn(
        .vocabularyExtraIds,
        "vocab_extra_ids is \(extra): if the run's tokenizer had added them, the vocabulary would "
          + "have that "
          + "many rows more than \(rows); --vocab-size N says how many there are")
    }
    decisions.append(Decision("vocab_size", .int(rows), reason))
    return rows
  }

  /// Padding is less than one multiple of `make_vocab_size_divisible_by` times the ranks (Megatron
  /// `tokenizer.py`, `_vocab_size_with_padding`).
  private mutating func warnIfImplausible(_ recorded: RecordedVocabulary, _ padded: Int) {
    let divisor = ((try? index.arguments.int(.makeVocabSizeDivisibleBy)) ?? nil) ?? 128
    let (multiple, overflow) = divisor.multipliedReportingOverflow(by: index.trainedTensorParallel)
    guard !overflow, multiple > 0, padded - recorded.rows >= multiple else { return }
    warn(
      .vocabularyImplausible,
      "a vocabulary of \(recorded.rows) tokens (\(recorded.reason)) is not padded to \(padded) "
        + "rows by "
        + "multiples of \(multiple): more than padding may be cut off")
  }

  /// Whether the checkpoint has an output head next to the embedding.
  var headDecision: Decision {
    Decision(
      "tie_word_embeddings", .bool(model.isTied),
      model.isTied
        ? "the checkpoint has no separate output head" : "the checkpoint has a separate output head"
    )
  }

  /// The kinds of biases that the model was trained without, and of which zeros are exact: all of
  /// those of linear layers, or those that are missing in every block where the arguments say so.
  mutating func lackedBiases() throws(Failure) -> Set<TensorRule> {
    let kinds = model.architecture.table.rules.filter { $0.presence == .zeros }
    let patterns = Set(
      index.tensors.map { tensor in
        tensor.name.hasPrefix("layers.")
          ? "layers.*" + tensor.name.dropFirst(7).drop { $0 != "." } : tensor.name
      })
    let lacking = kinds.filter { !patterns.contains($0.source) }
    guard !lacking.isEmpty else { return [] }
    let said = try index.arguments.bool(.addBiasLinear)
    let reason: String
    if said == false {
      reason = "add_bias_linear is False"
    } else if lacking.count == kinds.count, said == nil {
      reason = "no linear layer of any block has a bias"
    } else if lacking.count == kinds.count {
      throw Failure(
        .argumentsContradiction,
        "add_bias_linear is True, but no linear layer of any block has a bias",
        tensor: kinds[0].source.replacing("*", with: "0"),
        hint: "if the model was trained without: --set add_bias_linear=false")
    } else if lacking.count == kinds.count - 1, said != true,
      try index.arguments.bool(.addQkvBias) == true
    {
      reason = "add_qkv_bias is True, and no other linear layer has a bias"
    } else {
      return []
    }
    decisions.append(
      Decision(
        "linear_biases", .string("zeros"),
        lacking.count == kinds.count
          ? reason
          : "\(reason): "
            + lacking.map { String($0.source.dropFirst("layers.*.".count)) }
            .joined(separator: ", ")))
    return Set(lacking)
  }

  /// What is said where no tokenizer is given.
  static func withoutTokenizer(_ index: Checkpoint) -> Decision {
    let arguments = index.arguments
    // Megatron-core 0.20 keeps one beside the weights.
    let kept = index.folder.path.appending("tokenizer")
    if let names = try? FileSystem.list(kept), !names.isEmpty {
      return Decision(
        "tokenizer", .null, "the checkpoint has one: --tokenizer \(kept.string) adds it")
    }
    let type = arguments[.tokenizerType]?.text
    let name = (arguments[.tokenizerNameOrPath] ?? arguments[.tokenizerModel])?.text
    // No path of the run's machine: what comes last says enough.
    let last = name.flatMap { $0.split(separator: "/").last.map(String.init) }
    let used = [type, last].compactMap { $0 }.joined(separator: " ")
    return Decision(
      "tokenizer", .null,
      "--tokenizer DIR, or --vocab-file and --merge-file, add it"
        + (used.isEmpty ? "" : " (the run used \"\(used)\")"))
  }

  private func checked(_ rows: Int) throws(Failure) -> Int {
    guard rows > 0, rows <= sizes.vocabulary else {
      throw Failure(
        .vocabularyRange,
        "a vocabulary of \(rows) rows was asked for; the embedding has "
          + "\(sizes.vocabulary)", hint: "choose another --vocab-size")
    }
    return rows
  }
}
