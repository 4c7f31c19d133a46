public import Diagnostics
public import JSON

/// GPT-2, as Megatron trained it from 2019 on: learned positions, LayerNorm before attention and
/// feed-forward layer, as many keys as queries, and a head that may be tied to the embedding
/// (transformers `models/gpt2/modeling_gpt2.py`).
public struct GPT2: Architecture {
  public init() {}

  public var format: ModelFormat { GPT2Config.format }
  public var table: RuleTable { GPT2Rules.table }
  public var argumentKeys: [String] { FunctionArguments.keys + GPT2Activation.keysOfCore }

  /// GPT-2 is what a checkpoint holds that no other family claims.
  public func claims(_ facts: any ModelFacts) -> Bool { true }

  public func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try UnsupportedFeatures.all(of: facts)
  }

  public func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    try GPT2Sizes(facts, mergedRanks: mergedRanks).sizes
  }

  public func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    let settings = try GPT2Settings(facts, output)
    return ModelConfiguration(
      config: GPT2Config(settings, output).json,
      generation: settings.tokens.generation,
      normAddend: settings.normAddend, mayRoundNorms: true, decisions: settings.decisions)
  }

  public func sizes(config: JSONObject) -> ModelSizes? { GPT2Config.sizes(config) }

  public func review(_ config: JSONObject, hasTensor: (String) -> Bool) -> [ReviewFinding] {
    GPT2Config.review(config, hasTensor: hasTensor)
  }

  public func surplus(_ name: String, _ config: JSONObject) -> Surplus? {
    if name.contains(".crossattention.") || name.contains(".ln_cross_attn."),
      config["add_cross_attention"] == true
    {
      return .expected
    }
    return name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") ? .mask : nil
  }

  /// The size that the model cards of bigscience state: `l(12h² + 13h) + vh + sh + 2h` parameters,
  /// without a head of its own.
  public func statedParameters(_ sizes: ModelSizes) -> Int {
    let h = sizes.hidden
    return sizes.layers * (12 * h * h + 13 * h) + (sizes.vocabulary + sizes.positions) * h + 2 * h
  }
}
