import Diagnostics
import HuggingFace
import Megatron

/// What a model computes besides its tensors, and what it is told of its tokens: each with the decision
/// that led to it.
public struct GPT2Settings: Hashable, Sendable {
  public let activation: GPT2Activation
  /// What layernorms add to the variance.
  public let epsilon: Double
  /// What is added to the weights of layernorms: 1 where they are stored as their distance from 1.
  let normAddend: Float
  let hiddenDropout: Double
  let attentionDropout: Double
  let initializerRange: Double
  /// The ids of the tokens that begin and end a text; `nil` where the tokenizer is not known.
  public let tokens: SpecialTokens
  /// In the order in which they are shown.
  let decisions: [Decision]

  /// Works out the settings.
  ///
  /// - Parameters:
  ///   - index: The checkpoint.
  ///   - vocabulary: The rows of the output's embedding.
  ///   - tokenizer: The tokenizer that was given.
  /// - Throws: ``Failure`` 78 for an argument of the wrong type.
  init(
    _ index: Checkpoint, vocabulary: Int, tokenizer: ModelTokenizer?
  ) throws(Failure) {
    let arguments = index.arguments
    var decisions = [AttentionMask.decision(index)]
    activation = try GPT2Activation(arguments)
    decisions.append(activation.decision)

    // The first of some arguments that is there, else a default.
    func number(
      _ name: String, _ keys: [String], default value: Double
    ) throws(Failure) -> (value: Double, decision: Decision) {
      for key in keys {
        guard let found = try arguments.double(key) else { continue }
        for other in keys where arguments.source(of: key) == .checkpoint {
          guard let second = try arguments.double(other), second != found else { continue }
          throw Failure(
            .argumentsContradiction, "\(key) is \(found), but \(other) is \(second)",
            hint: "say which with --set \(key)=N")
        }
        return (
          found,
          Decision(
            name, .double(found),
            arguments.source(of: key) == .user ? "given by --set \(key)" : "\(key)")
        )
      }
      return (
        value,
        Decision(
          name, .double(value), "there is no \(keys[0]); it is the default of all trainers", .guess,
          hint: "--set \(keys[0])=N settles it")
      )
    }
    let norm = try number(
      "layer_norm_epsilon", ["layernorm_epsilon", "norm_epsilon"], default: 1e-5)
    epsilon = norm.value
    decisions.append(norm.decision)
    guard epsilon > 0, epsilon < 1 else {
      throw Failure(
        .argumentsContradiction, "a layernorm epsilon of \(epsilon) makes no sense",
        hint: "correct it with --set layernorm_epsilon=1e-5")
    }
    var offset: (key: String, value: Bool)?
    for key in ["apply_layernorm_1p", "layernorm_zero_centered_gamma"] where offset?.value != true {
      if let value = try arguments.bool(key) { offset = (key, value) }
    }
    normAddend = offset?.value == true ? 1 : 0
    if offset?.value == true {
      decisions.append(
        Decision("layernorm_1p", true, "\(offset?.key ?? "") is True: 1 is added to the weights"))
    }
    // These matter to further training alone, so that a default is no guess about the function.
    hiddenDropout = try arguments.double("hidden_dropout") ?? 0.1
    attentionDropout = try arguments.double("attention_dropout") ?? 0.1
    initializerRange = try arguments.double("init_method_std") ?? 0.02
    let unset = ["hidden_dropout", "attention_dropout", "init_method_std"].filter {
      arguments[$0] == nil
    }
    if !unset.isEmpty {
      decisions.append(
        Decision(
          "dropout", .double(hiddenDropout),
          "\(unset.joined(separator: ", ")) not recorded, so GPT-2's defaults; they matter to training "
            + "alone"))
    }
    tokens = try SpecialTokens(index, vocabulary: vocabulary, tokenizer: tokenizer)
    decisions += tokens.decisions
    self.decisions = decisions
  }
}

/// The ids of the tokens that begin and end a text.
public struct SpecialTokens: Hashable, Sendable {
  public let bos: Int?
  public let eos: Int?
  let decisions: [Decision]

  /// The id of `<|endoftext|>` in GPT-2's own tokenizer, and its size.
  private static let stockEnd = 50256
  private static let stockSize = 50257
  private static let stockNames: Set<String> = [
    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2",
  ]

  init(
    _ index: Checkpoint, vocabulary: Int, tokenizer: ModelTokenizer?
  ) throws(Failure) {
    if let tokenizer {
      bos = tokenizer.bos
      eos = tokenizer.eos
      let reason = "the tokenizer that was given"
      decisions = [
        Decision("bos_token_id", bos.map { .int($0) } ?? .null, reason),
        Decision("eos_token_id", eos.map { .int($0) } ?? .null, reason),
      ]
      return
    }
    let (id, reason) = try SpecialTokens.recorded(index, vocabulary)
    bos = id
    eos = id
    decisions = ["bos_token_id", "eos_token_id"].map {
      Decision($0, id.map { .int($0) } ?? .null, reason)
    }
  }

  /// GPT-2's own id where the run is known to have used its tokenizer.
  private static func recorded(
    _ index: Checkpoint, _ vocabulary: Int
  ) throws(Failure) -> (id: Int?, reason: String) {
    let arguments = index.arguments
    guard let type = arguments["tokenizer_type"]?.text else {
      return (nil, "the checkpoint does not say which tokenizer it was trained with")
    }
    guard vocabulary > stockEnd else {
      return (nil, "\(vocabulary) rows are fewer than GPT-2's own tokenizer has")
    }
    let name = (arguments["tokenizer_name_or_path"] ?? arguments["tokenizer_model"])?.text ?? ""
    let last = name.split(separator: "/").last.map(String.init) ?? ""
    switch type {
    case "GPT2BPETokenizer", "GPT2BPETokenizerFast":
      let recorded = try RecordedVocabulary(index)?.rows
      if let recorded, recorded != stockSize {
        return (nil, "\(type) with \(recorded) tokens is not GPT-2's own")
      }
      let divisor = try arguments.int("make_vocab_size_divisible_by") ?? 128
      guard recorded != nil || isPadding(of: stockSize, divisor, index) else {
        return (nil, "\(type), but the number of rows is not that of GPT-2's own vocabulary")
      }
      return (stockEnd, "\(type), which ends texts with \(stockEnd)")
    case "PretrainedFromHF", "HFTokenizer", "HuggingFaceTokenizer":
      guard stockNames.contains(last) else {
        return (nil, "the tokenizer is \(type) \"\(last)\", whose ids are not known here")
      }
      return (stockEnd, "\(type) \"\(last)\", which ends texts with \(stockEnd)")
    default: return (nil, "the tokenizer is \(type), whose ids are not known here")
    }
  }

  /// Whether the rows of the embedding are those of `size` tokens, padded.
  private static func isPadding(of size: Int, _ divisor: Int, _ index: Checkpoint) -> Bool {
    guard divisor > 0, let words = index.tensor("embedding.word_embeddings.weight"),
      let rows = words.shards.first?.sizes.first
    else { return false }
    let (padded, overflow) = rows.multipliedReportingOverflow(by: index.tensorParallel)
    let (multiple, wide) = divisor.multipliedReportingOverflow(by: index.trainedTensorParallel)
    guard !overflow, !wide, multiple < 1 << 32 else { return false }
    return padded == size || (size + multiple - 1) / multiple * multiple == padded
  }
}

/// The number of rows of the vocabulary before padding, where it is recorded.
struct RecordedVocabulary {
  let rows: Int
  let reason: String

  /// - Returns: `nil` where nothing in the checkpoint says it.
  /// - Throws: ``Failure`` 78 for a value of the wrong type.
  init?(_ index: Checkpoint) throws(Failure) {
    let arguments = index.arguments
    func found(_ rows: Int?, _ reason: String) -> (Int, String)? {
      rows.flatMap { (1...1 << 40).contains($0) ? ($0, reason) : nil }
    }
    var candidates = [
      found(try arguments.int("original_vocab_size"), "original_vocab_size"),
      found(index.originalVocabularySize, "original_vocab_size"),
      found(try arguments.int("orig_vocab_size"), "orig_vocab_size"),
    ]
    // What the user types for this tokenizer does not count the token that it adds (Megatron
    // `tokenizer.py`, `_NullTokenizer`).
    if arguments["tokenizer_type"] == .string("NullTokenizer"),
      let typed = try arguments.int("vocab_size"), typed < 1 << 40
    {
      candidates.append(
        found(typed + 1, "NullTokenizer with a vocab_size of \(typed) and its end of text"))
    }
    guard let (rows, reason) = candidates.compactMap({ $0 }).first else { return nil }
    self.rows = rows
    self.reason = reason
  }
}
