public import Diagnostics
public import JSON

/// BLOOM, as bigscience's Megatron-DeepSpeed trained it from February 2022 on: alibi in place of
/// positions, and a LayerNorm after the embedding (transformers `models/bloom/modeling_bloom.py`).
public struct Bloom: Architecture {
  public init() {}

  public var format: ModelFormat { BloomConfig.format }
  public var table: RuleTable { BloomRules.table }
  public var argumentKeys: [String] { ["log_path", "kill_switch_path", "seq_length"] }

  public func claims(_ facts: any ModelFacts) -> Bool { BloomFeatures.isOfFamily(facts) }

  public func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try BloomFeatures.refusals(facts)
  }

  public func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    try BloomFeatures.sizes(facts, mergedRanks: mergedRanks)
  }

  public func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    try BloomConfig(facts, output).configuration
  }

  public func sizes(config: JSONObject) -> ModelSizes? { BloomConfig.sizes(config) }
}
