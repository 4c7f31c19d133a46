public import Diagnostics
public import JSON

/// GPT with rotary positions, LayerNorm and gelu: EleutherAI's GPT-NeoX, and what both forks of
/// Megatron-DeepSpeed trained of its kind (transformers `models/gpt_neox/modeling_gpt_neox.py`).
public struct GPTNeoX: Architecture {
  /// How attention and feed-forward layer are put together.
  public enum Residual: Hashable, Sendable, CaseIterable {
    /// One after the other.
    case serial
    /// Side by side, each after a norm of its own. The ranks each add a bias of their own.
    case parallel
    /// Side by side, after one norm.
    case parallelTied
  }

  /// How attention and feed-forward layer are put together.
  public let residual: Residual

  /// The kind of one residual.
  public init(_ residual: Residual) {
    self.residual = residual
  }

  public var format: ModelFormat { GPTNeoXConfig.format }
  public var table: RuleTable { GPTNeoXRules.table(residual) }
  public var argumentKeys: [String] { GPTNeoXFeatures.keys }

  public func claims(_ facts: any ModelFacts) -> Bool {
    GPTNeoXFeatures.isOfFamily(facts) && GPTNeoXFeatures.residual(facts) == residual
  }

  public func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try GPTNeoXFeatures.refusals(facts)
  }

  public func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    try DecoderSizes(facts, mergedRanks: mergedRanks).sizes
  }

  public func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    try GPTNeoXConfig(residual, facts, output).configuration
  }

  public func sizes(config: JSONObject) -> ModelSizes? { GPTNeoXConfig.sizes(config) }
}
