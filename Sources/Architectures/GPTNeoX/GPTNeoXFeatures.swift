import Diagnostics

/// What makes a model a rotary GPT, and what keeps one from being converted.
enum GPTNeoXFeatures {
  /// Rotary positions, and neither of the other marks of Llama's family.
  static func isOfFamily(_ facts: any ModelFacts) -> Bool {
    let arguments = facts.arguments
    let isGated = ((try? arguments.bool(.swiglu)) ?? nil) == true
    guard !isGated, arguments[.normalization]?.text.lowercased() != "rmsnorm" else { return false }
    return RotaryPositions.isRotary(arguments) || facts.isNamedByNeoX
  }

  /// How attention and feed-forward layer are put together; of GPT-NeoX's own checkpoints alone.
  static func residual(_ facts: any ModelFacts) -> GPTNeoX.Residual {
    func isTrue(_ key: String) -> Bool {
      ((try? facts.arguments.bool(ArgumentKey(key))) ?? nil) == true
    }
    guard facts.isNamedByNeoX, isTrue("gpt_j_residual") else { return .serial }
    return isTrue("gpt_j_tied") ? .parallelTied : .parallel
  }

  /// Settings of GPT-NeoX, and what both read.
  static let keys = [
    "rotary_percent", "rope_theta", "rotary_base", "pos_emb", "norm", "rotary_pct",
    "rotary_emb_base", "gpt_j_residual", "gpt_j_tied", "no_weight_tying", "activation",
    "rms_norm_epsilon", "use_bias_in_attn_linear", "use_bias_in_mlp", "num_kv_heads",
    "use_qk_layernorm", "attention_config", "use_mup", "sliding_window_width", "train_impl",
    "soft_prompt_tuning", "mlp_type",
  ]

  static func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    let arguments = facts.arguments
    let title = GPTNeoXConfig.format.title
    var result: [Diagnostic] = []
    func refuse(_ code: String, _ reason: String, tensor: String? = nil) {
      guard !result.contains(where: { $0.code == .model(code) && $0.message == reason }) else {
        return
      }
      result.append(Diagnostic(.model(code), reason, tensor: tensor))
    }
    if facts.isNamedByNeoX { try reviewNeoX(arguments, title) { refuse($0, $1) } }
    try RotaryPositions.review(facts, title, mayBePartial: true) { refuse($0, $1) }
    if try arguments.bool(ArgumentKey("use_rope_scaling")) == true {
      refuse("rotary-scaling", "use_rope_scaling: \(title) turns plainly")
    }
    if let normalization = arguments[.normalization]?.text.lowercased(),
      normalization != "layernorm"
    {
      refuse("norm", "normalization is \(normalization): \(title) has LayerNorm")
    }
    if let glu = arguments[.gluActivation], glu.literal != .none, glu != .string("") {
      refuse("glu", "glu_activation is \(glu.text): \(title) has no gated feed-forward layer")
    }
    for key in [ArgumentKey.applyResidualConnectionPostLayernorm, .embedLayernorm]
    where try arguments.bool(key) == true {
      refuse("residual", "\(key): \(title) has no such norm or residual")
    }
    if let heads = try arguments.int(.numAttentionHeads), heads > 0 {
      if let groups = try DecoderSizes.groups(arguments), groups != heads {
        refuse(
          "grouped-query",
          "\(groups) groups of \(heads) heads: \(title) has as many keys as queries")
      }
      if let channels = try arguments.int(.kvChannels), let hidden = try arguments.int(.hiddenSize),
        channels != hidden / heads
      {
        refuse("kv-channels", "kv_channels is \(channels): \(title)'s heads share the hidden size")
      }
    }
    if let reason = Experts.refusal(arguments, title) { refuse("experts", reason) }
    for refusal in try FunctionArguments.refusals(
      arguments, title: title,
      besides: expressible.union(facts.isNamedByNeoX ? ["gpt_j_residual", "attention_config"] : []))
    {
      refuse(refusal.code, refusal.reason)
    }
    if let reason = try AttentionMask.refusal(facts) { refuse("attention-mask", reason) }
    for name in facts.tensorNames {
      if name.contains("position_embeddings") {
        refuse(
          "positions", "the arguments say rotary positions, but there is a table of learned ones",
          tensor: name)
      }
      if name.contains("word_embeddings.norm.") {
        refuse("embedding-layernorm", "\(title) has no layernorm after the embedding", tensor: name)
      }
      if name.contains("q_layernorm") {
        refuse("query-norm", "\(title) has no layernorm of queries and keys", tensor: name)
      }
    }
    if facts.has("final_layernorm.weight"), !facts.has("final_layernorm.bias") {
      refuse("norm", "the norms have no biases, as those of RMSNorm: \(title) has LayerNorm")
    }
    if facts.has("layers.0.self_attention.key_value.weight") {
      refuse("grouped-query", "queries and keys are projected apart, as with grouped queries")
    }
    for file in facts.expertFiles { refuse("experts", "\(file) belongs to a mixture of experts") }
    return result
  }

  private static let expressible: Set<String> = ["use_rope", "use_rotary", "rotary", "rope"]

  /// What GPT-NeoX itself can do and transformers' class of its name cannot.
  static func reviewNeoX(
    _ arguments: TrainingArguments, _ title: String,
    _ refuse: (_ code: String, _ reason: String) -> Void
  ) throws(Failure) {
    if let type = arguments[ArgumentKey("pos_emb")]?.text, type != "rotary" {
      refuse("positions", "pos_emb is \(type): transformers' \(title) has rotary positions")
    }
    if let config = arguments[ArgumentKey("attention_config")], !isGlobal(config) {
      refuse("attention", "attention_config is \(config.text): \(title) looks at all positions")
    }
    for key in ["sliding_window_width", "soft_prompt_tuning"]
    where arguments[ArgumentKey(key)].map({ $0.literal != .none && $0 != .bool(false) }) == true {
      refuse("attention", "\(key) is set: transformers' \(title) has no such thing")
    }
    if let kind = arguments[ArgumentKey("train_impl")]?.text,
      !["normal", "dpo", "kto"].contains(kind)
    {
      refuse("layers", "train_impl is \(kind), which does not train a language model")
    }
  }

  /// Whether all layers attend to all positions: `[[["global"], 4]]`.
  private static func isGlobal(_ value: ArgumentValue) -> Bool {
    switch value {
    case .list(let items): items.allSatisfy { isGlobal($0) }
    case .int, .none: true
    case .string(let name): name == "global" || name == "flash"
    default: false
    }
  }
}
