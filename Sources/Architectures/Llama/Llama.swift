public import Diagnostics
public import JSON

/// Llama and the two relatives that Megatron trains, which differ in biases and norms of the
/// attention: rotary positions, RMSNorm, a gated feed-forward layer, and heads of keys that several
/// queries may share (transformers `models/llama`, `models/qwen2`, `models/qwen3`).
public struct Llama: Architecture {
  /// Which of them it is.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// No biases, or all of them.
    case llama
    /// Biases of queries, keys and values alone.
    case qwen2
    /// Norms of queries and keys.
    case qwen3
  }

  /// Which of them it is.
  public let kind: Kind
  /// Whether the upward projection is stored before the gate, as GPT-NeoX has it.
  public let isGateLast: Bool

  /// One of the three.
  public init(_ kind: Kind, isGateLast: Bool = false) {
    self.kind = kind
    self.isGateLast = isGateLast
  }

  public var format: ModelFormat { LlamaConfig.format(kind) }
  public var table: RuleTable {
    isGateLast
      ? LlamaRules.tableOfNeoX : kind == .qwen3 ? LlamaRules.tableOfQwen3 : LlamaRules.table
  }
  public var argumentKeys: [String] { LlamaFeatures.keys }

  public func claims(_ facts: any ModelFacts) -> Bool {
    LlamaFeatures.isOfFamily(facts) && LlamaFeatures.kind(facts) == kind
      && facts.isNamedByNeoX == isGateLast
  }

  public func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try LlamaFeatures.refusals(facts, kind)
  }

  public func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    try DecoderSizes(facts, mergedRanks: mergedRanks).sizes
  }

  public func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    try LlamaConfig(kind, facts, output).configuration
  }

  public func sizes(config: JSONObject) -> ModelSizes? { LlamaConfig.sizes(config) }

  public func asks(for target: String, _ config: JSONObject) -> Bool {
    if target.hasSuffix("_norm.weight") { return kind == .qwen3 }
    guard target.hasSuffix(".bias") else { return false }
    if target.contains(".mlp.") { return kind == .llama && config["mlp_bias"] == true }
    // Qwen2 has those of queries, keys and values, and no other.
    return kind == .qwen2 ? !target.contains("o_proj") : config["attention_bias"] == true
  }
}
