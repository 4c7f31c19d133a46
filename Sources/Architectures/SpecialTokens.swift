import Diagnostics
import JSON

/// The ids of the tokens that begin and end a text.
public struct SpecialTokens: Hashable, Sendable {
  public let bos: Int?
  public let eos: Int?
  /// In the order in which they are shown.
  let decisions: [Decision]

  /// The tokens that a given tokenizer names.
  public struct Given: Hashable, Sendable {
    public let bos: Int?
    public let eos: Int?

    /// Tokens by their ids.
    public init(bos: Int?, eos: Int?) {
      self.bos = bos
      self.eos = eos
    }
  }

  /// `generation_config.json`.
  var generation: JSONObject {
    var object = JSONObject()
    if let bos { object["bos_token_id"] = .int(bos) }
    if let eos { object["eos_token_id"] = .int(eos) }
    return object
  }

  /// The id of `<|endoftext|>` in GPT-2's own tokenizer, and its size.
  private static let stockEnd = 50256
  private static let stockSize = 50257
  private static let stockNames: Set<String> = [
    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2",
  ]

  /// - Throws: `Failure` 78 for an argument of the wrong type.
  init(_ facts: any ModelFacts, vocabulary: Int, given: Given?) throws(Failure) {
    if let given {
      bos = given.bos
      eos = given.eos
      let reason = "the tokenizer that was given"
      decisions = [
        Decision("bos_token_id", bos.map { .int($0) } ?? .null, reason),
        Decision("eos_token_id", eos.map { .int($0) } ?? .null, reason),
      ]
      return
    }
    let (id, reason) = try SpecialTokens.recorded(facts, vocabulary)
    bos = id
    eos = id
    decisions = ["bos_token_id", "eos_token_id"].map {
      Decision($0, id.map { .int($0) } ?? .null, reason)
    }
  }

  /// GPT-2's own id where the run is known to have used its tokenizer.
  private static func recorded(
    _ facts: any ModelFacts, _ vocabulary: Int
  ) throws(Failure) -> (id: Int?, reason: String) {
    let arguments = facts.arguments
    guard let type = arguments[.tokenizerType]?.text else {
      return (nil, "the checkpoint does not say which tokenizer it was trained with")
    }
    guard vocabulary > stockEnd else {
      return (nil, "\(vocabulary) rows are fewer than GPT-2's own tokenizer has")
    }
    let name = (arguments[.tokenizerNameOrPath] ?? arguments[.tokenizerModel])?.text ?? ""
    let last = name.split(separator: "/").last.map(String.init) ?? ""
    switch type {
    case "GPT2BPETokenizer", "GPT2BPETokenizerFast":
      let recorded = try RecordedVocabulary(facts)?.rows
      if let recorded, recorded != stockSize {
        return (nil, "\(type) with \(recorded) tokens is not GPT-2's own")
      }
      let divisor = try arguments.int(.makeVocabSizeDivisibleBy) ?? 128
      guard recorded != nil || isPadding(of: stockSize, divisor, facts) else {
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
  private static func isPadding(of size: Int, _ divisor: Int, _ facts: any ModelFacts) -> Bool {
    guard divisor > 0, let rows = facts.shape(of: "embedding.word_embeddings.weight")?.first else {
      return false
    }
    let (padded, overflow) = rows.multipliedReportingOverflow(by: facts.tensorParallel)
    let (multiple, wide) = divisor.multipliedReportingOverflow(by: facts.trainedTensorParallel)
    guard !overflow, !wide, multiple < 1 << 32 else { return false }
    return padded == size || (size + multiple - 1) / multiple * multiple == padded
  }
}
