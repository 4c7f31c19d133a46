public import Diagnostics
public import JSON

/// GPT with rotary positions, as both forks of Megatron-DeepSpeed trained it: LayerNorm, gelu, and
/// attention before the feed-forward layer, which transformers' GPT-NeoX can express (transformers
/// `models/gpt_neox/modeling_gpt_neox.py`).
public struct GPTNeoX: Architecture {
  public init() {}

  public var format: ModelFormat { GPTNeoXConfig.format }
  public var table: RuleTable { GPTNeoXRules.table }
  public var argumentKeys: [String] { ["rotary_percent", "rope_theta", "rotary_base"] }

  public func claims(_ facts: any ModelFacts) -> Bool { GPTNeoXFeatures.isOfFamily(facts) }

  public func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try GPTNeoXFeatures.refusals(facts)
  }

  public func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    try DecoderSizes(facts, mergedRanks: mergedRanks).sizes
  }

  public func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    try GPTNeoXConfig(facts, output).configuration
  }

  public func sizes(config: JSONObject) -> ModelSizes? { GPTNeoXConfig.sizes(config) }
}
