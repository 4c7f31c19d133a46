import Diagnostics

/// What makes a model one of Llama's family, and what keeps one from being converted. Arguments and
/// names of tensors must agree.
enum LlamaFeatures {
  /// Whether arguments, or the user, say that a model is of the family: rotary positions, and one
  /// of its other two marks, so that a model that lacks one is refused by the right name.
  static func isOfFamily(_ facts: any ModelFacts) -> Bool {
    let arguments = facts.arguments
    return RotaryPositions.isRotary(arguments) && (isRMSNorm(arguments) || isGated(arguments))
  }

  /// Which of the family it is, by its tensors.
  static func kind(_ facts: any ModelFacts) -> Llama.Kind {
    if facts.has("layers.0.self_attention.q_layernorm.weight") { return .qwen3 }
    let isQKVBias = facts.has("layers.0.self_attention.query_key_value.bias")
    return isQKVBias && !facts.has("layers.0.self_attention.dense.bias") ? .qwen2 : .llama
  }

  private static func isRMSNorm(_ arguments: TrainingArguments) -> Bool {
    arguments[.normalization]?.text.lowercased() == "rmsnorm"
  }

  private static func isGated(_ arguments: TrainingArguments) -> Bool {
    ((try? arguments.bool(.swiglu)) ?? nil) == true
  }

  /// Arguments of other features than the common ones that are looked at.
  static let keys = [
    "rotary_percent", "rotary_pct", "rotary_interleaved", "rotary_seq_len_interpolation_factor",
    "rotary_base", "rope_theta", "use_rope_scaling", "rope_scaling_factor", "qk_layernorm",
    "force_ds_sequence_parallel", "rms_norm_epsilon",
  ]

  /// What the common list refuses and the family has.
  private static let expressible: Set<String> = [
    "qk_layernorm", "use_rmsnorm", "use_rms_norm", "rms_norm", "rmsnorm", "norm_type",
    "gated_linear_unit", "use_rope", "use_rotary", "rotary", "rope", "activation_func",
  ]

  static func refusals(
    _ facts: any ModelFacts, _ kind: Llama.Kind
  ) throws(Failure) -> [Diagnostic] {
    let arguments = facts.arguments
    let title = LlamaConfig.format(kind).title
    var result: [Diagnostic] = []
    func refuse(_ code: String, _ reason: String, tensor: String? = nil) {
      guard !result.contains(where: { $0.code == .model(code) && $0.message == reason }) else {
        return
      }
      result.append(Diagnostic(.model(code), reason, tensor: tensor))
    }
    if !isRMSNorm(arguments) {
      refuse(
        "norm",
        "normalization is \(arguments[.normalization]?.text ?? "LayerNorm"): \(title) has RMSNorm")
    }
    if !isGated(arguments) {
      refuse("glu", "swiglu is False: \(title) has a gated feed-forward layer")
    }
    if let activation = arguments[.gluActivation]?.text,
      !["", "swiglu", "None"].contains(activation)
    {
      refuse("glu", "glu_activation is \(activation): that of \(title) is swiglu")
    }
    if !facts.isNamedByCore, !facts.isWhole, try arguments.bool(.applyLayernorm1p) == true {
      refuse(
        "norm-minus-one",
        "apply_layernorm_1p is True, which changes LayerNorm alone outside of Megatron-core; if it "
          + "changed nothing: --set apply_layernorm_1p=false")
    }
    try RotaryPositions.review(facts, title) { refuse($0, $1) }
    if let reason = Experts.refusal(arguments, title) { refuse("experts", reason) }
    if facts.isNamedByNeoX, let heads = try arguments.int(.numAttentionHeads),
      let groups = try arguments.int(.numKeyValueHeads), groups != heads
    {
      refuse(
        "grouped-query", "num_kv_heads is \(groups): of GPT-NeoX only as many as queries are read")
    }
    for key in [ArgumentKey.applyResidualConnectionPostLayernorm, .embedLayernorm]
    where try arguments.bool(key) == true {
      refuse("residual", "\(key): \(title) has no such norm or residual")
    }
    for refusal in try FunctionArguments.refusals(
      arguments, title: title,
      besides: facts.isNamedByNeoX ? expressible.union(["attention_config"]) : expressible)
    {
      refuse(refusal.code, refusal.reason)
    }
    if facts.isNamedByNeoX {
      try GPTNeoXFeatures.reviewNeoX(arguments, title) { refuse($0, $1) }
    }
    if let reason = try AttentionMask.refusal(facts) { refuse("attention-mask", reason) }
    compare(facts, title, refuse)
    try compareNorms(facts, kind, title, refuse)
    for file in facts.expertFiles { refuse("experts", "\(file) belongs to a mixture of experts") }
    return result
  }

  /// Names and shapes that are not those of the family, though the arguments are.
  private static func compare(
    _ facts: any ModelFacts, _ title: String,
    _ refuse: (_ code: String, _ reason: String, _ tensor: String?) -> Void
  ) {
    for name in facts.tensorNames {
      if name.contains("position_embeddings") {
        refuse(
          "positions", "the arguments say rotary positions, but there is a table of learned ones",
          name)
      }
      if name.hasSuffix("layernorm.bias") {
        refuse("norm", "the arguments say RMSNorm, but a norm has a bias, as LayerNorm has", name)
      }
      if name.contains("router") || name.contains("experts.") || name.contains("deepspeed_moe") {
        refuse("experts", "\(title) has no mixture of experts", name)
      }
      if name.contains("lora_") {
        refuse("adapter", "the weights of an adapter are next to those of the model", name)
      }
    }
    if let up = facts.shape(of: "layers.0.mlp.dense_h_to_4h.weight"),
      let down = facts.shape(of: "layers.0.mlp.dense_4h_to_h.weight"),
      up.count == 2, down.count == 2, down[1] < ModelBounds.size, up[0] != 2 * down[1]
    {
      refuse(
        "glu",
        "the arguments say swiglu, but the feed-forward layer widens to \(up[0]) and narrows from "
          + "\(down[1])", "layers.0.mlp.dense_h_to_4h.weight")
    }
  }

  /// Norms of queries and keys, and biases: which of them a relative has.
  private static func compareNorms(
    _ facts: any ModelFacts, _ kind: Llama.Kind, _ title: String,
    _ refuse: (_ code: String, _ reason: String, _ tensor: String?) -> Void
  ) throws(Failure) {
    let said = try facts.arguments.bool(ArgumentKey("qk_layernorm")) == true
    if said != (kind == .qwen3) {
      refuse(
        "query-norm",
        said
          ? "qk_layernorm is True, but the checkpoint has no norms for queries and keys"
          : "there is a norm of queries and keys, but qk_layernorm is not True", nil)
    }
    let has = [
      "self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h",
      "mlp.dense_4h_to_h",
    ].map {
      facts.has("layers.0.\($0).bias")
    }
    let norms = ["q", "k"].map { facts.has("layers.0.self_attention.\($0)_layernorm.weight") }
    if norms[0] != norms[1] {
      refuse("query-norm", "there is a norm of queries or of keys, and not of both", nil)
    }
    if has[2] != has[3] || kind == .qwen2 && has[2] {
      refuse(
        "biases", "some linear layers have biases and others not, in no way that \(title) has",
        "layers.0.mlp.dense_h_to_4h.bias")
    }
    if let said = try facts.arguments.bool(.addQkvBias), said != has[0], said || !has[1] {
      refuse(
        "biases",
        "add_qkv_bias is \(said ? "True" : "False"), but queries, keys and values have "
          + (has[0] ? "biases" : "none"), "layers.0.self_attention.query_key_value.bias")
    }
    if kind == .qwen3, has[1] || has[2] {
      refuse(
        "biases", "with norms of queries and keys, \(title) has no biases of other linear layers",
        "layers.0.mlp.dense_h_to_4h.bias")
    }
    let isKV = facts.has("layers.0.self_attention.query.bias")
    if kind == .llama, !isKV, has[0] != has[1] {
      refuse(
        "biases", "some linear layers of the attention have biases and others not",
        "layers.0.self_attention.dense.bias")
    }
    if let said = try facts.arguments.bool(.addBiasLinear), said != has[2],
      facts.has("layers.0.mlp.dense_h_to_4h.weight")
    {
      refuse(
        "biases",
        "add_bias_linear is \(said ? "True" : "False"), but the feed-forward layer has "
          + (has[2] ? "biases" : "none"), "layers.0.mlp.dense_h_to_4h.bias")
    }
  }
}
