import Diagnostics

/// Arguments that change the function that a model computes and leave no trace in its tensors'
/// names: one that is in effect refuses the model (arguments of NVIDIA/Megatron-LM, deepspeedai and
/// bigscience Megatron-DeepSpeed, EleutherAI/gpt-neox, and forks of them).
enum FunctionArguments {
  /// When an argument is in effect.
  private enum Condition {
    /// True, or anything but False, zero and nothing.
    case on
    /// Any value but nothing.
    case given
    /// Any number but this one.
    case not(Double)
    /// Any text but one of these.
    case otherThan([String])
    /// Any factor of the scores but the root of the head size, to this power.
    case otherScale(power: Double)
  }

  /// Arguments that refuse a model for one reason, while they are in effect.
  private struct Rule {
    let condition: Condition
    let code: String
    let reason: String
    let keys: [String]

    init(_ code: String, _ condition: Condition, _ reason: String, _ keys: String) {
      self.code = code
      self.condition = condition
      self.reason = reason
      self.keys = keys.split { $0 == " " || $0 == "\n" }.map(String.init)
    }
  }

  private static let rules: [Rule] = [
    Rule(
      "attention", .given, "attention looks at a window, GPT-2 at all positions before",
      """
      window_size sliding_window sliding_window_size attention_window_size attention_window
      local_window_size interleave_sliding_window
      """),
    Rule(
      "attention", .on, "attention is local, GPT-2 looks at all positions before",
      "local_attention"),
    Rule(
      "attention", .on, "attention is sparse, GPT-2 looks at all positions before",
      "sparse_attention attention_sparsity"),
    Rule(
      "attention", .given, "some layers attend to a window, GPT-2 to all positions before",
      "window_attn_skip_freq"),
    Rule(
      "attention", .given, "attention looks at chunks, GPT-2 at all positions before",
      "chunk_size_attention attention_chunk_size"),
    Rule(
      "attention", .given, "GPT-2 has plain attention",
      "experimental_attention_variant"),
    Rule(
      "attention", .otherScale(power: -0.5), "GPT-2 scales by the root of the head size",
      "softmax_scale attention_scale attention_multiplier qk_scale query_scale"),
    Rule(
      "attention", .otherThan(["vanilla", "softmax"]), "GPT-2 has a plain softmax",
      "softmax_type"),
    Rule(
      "attention", .on, "GPT-2 does not cap its scores",
      "attn_logit_softcapping attention_logit_softcapping attention_logit_cap"),
    Rule(
      "attention", .on, "GPT-2 has no gate after the attention",
      "attention_output_gate"),
    Rule(
      "attention", .on, "GPT-2 has no latent attention",
      "multi_latent_attention use_mla"),
    Rule(
      "attention", .on, "attention looks at a part, GPT-2 at all positions before",
      "window_attn chunked_attention"),
    Rule(
      "attention", .given, "attention is not the same in all layers",
      "attention_config sparsity_config"),
    Rule(
      "attention",
      .otherThan([
        "global", "causal", "multihead", "multihead_attention", "self", "flash", "flash_attention",
        "softmax", "core",
      ]),
      "GPT-2 has plain attention to all positions before",
      "attention_type"),
    Rule(
      "attention", .on, "GPT-2 does not clamp its queries, keys and values",
      "clip_qkv clamp_qkv"),
    Rule(
      "attention", .otherScale(power: 1), "GPT-2 scales by the root of the head size",
      "query_pre_attn_scalar"),
    Rule(
      "attention", .on, "GPT-2 has a plain softmax",
      "attention_sink attention_sinks softmax_one"),
    Rule(
      "attention", .on, "some layers have linear attention",
      "linear_attention_freq linear_attention"),
    Rule(
      "attention", .on, "Megatron's own models do not scale by the layer",
      "scale_attn_by_inverse_layer_idx"),
    Rule(
      "attention", .on, "GPT-2 does not scale its heads",
      "headscale"),
    Rule(
      "grouped-query", .on, "GPT-2 has as many keys as queries",
      "multi_query_attention use_multiquery_attn"),
    Rule(
      "grouped-query", .otherThan(["multihead"]), "GPT-2 has as many keys as queries",
      "attention_head_type"),
    Rule(
      "positions", .given, "GPT-2 has learned absolute positions",
      "no_rope_freq"),
    Rule(
      "positions", .on, "GPT-2 has learned absolute positions",
      """
      use_alibi alibi use_alibi_position_embeddings relative_attention use_rope alibi_bias
      no_position_embedding use_rotary rotary rope
      """),
    Rule(
      "query-norm", .on, "GPT-2 has no layernorm of queries and keys",
      "qk_layernorm query_key_layernorm"),
    Rule(
      "query-norm", .on, "GPT-2 has no norm of queries and keys",
      "qk_norm use_qk_norm qk_l2_norm"),
    Rule(
      "residual", .on,
      "attention and feed-forward are parallel, in GPT-2 one after the other",
      "parallel_attn parallel_attn_mlp parallel_attention gpt_j_residual use_parallel_residual"),
    Rule(
      "residual", .on, "two layernorms are parallel, in GPT-2 one after the other",
      "parallel_layernorm"),
    Rule(
      "residual", .on, "GPT-2 has the layernorm before attention and feed-forward",
      "use_post_ln post_layer_norm post_norm use_sandwich_norm residual_post_layernorm"),
    Rule(
      "residual", .on, "GPT-2 has no layernorm after attention and feed-forward",
      "sandwich_norm"),
    Rule(
      "residual", .on, "GPT-2 does not scale its residual",
      "deepnorm scale_residual use_deepnorm"),
    Rule(
      "residual", .otherThan(["pre_ln"]),
      "GPT-2 has the layernorm before attention and feed-forward",
      "transformer_block_type"),
    Rule(
      "residual", .not(1), "GPT-2 does not scale its residual",
      "residual_multiplier scale_depth residual_scale deepnorm_alpha"),
    Rule(
      "residual", .not(1), "GPT-2 has one residual stream",
      "num_residual_streams"),
    Rule(
      "residual", .on, "GPT-2 has one residual stream",
      "enable_hyper_connections enable_mhc_connections"),
    Rule(
      "scale", .on, "muP scales logits and attention in another way",
      "use_mup mup"),
    Rule(
      "scale", .not(1), "muP scales logits in another way",
      "mup_width_scale mup_width_multiplier"),
    Rule(
      "scale", .not(1), "GPT-2 does not scale its embedding",
      """
      mup_embeddings_multiplier embedding_multiplier embedding_scale scale_emb
      input_embeddings_multiplier embedding_multiplier_scale
      """),
    Rule(
      "scale", .on, "GPT-2 does not scale its embedding",
      "scale_embeddings normalize_embeddings"),
    Rule(
      "scale", .not(1), "GPT-2 does not scale its logits",
      "logits_scaling logit_scale output_multiplier output_multiplier_scale logits_scale"),
    Rule(
      "scale", .on, "GPT-2 does not cap its logits",
      "final_logit_softcapping output_logit_soft_cap output_logit_softcap"),
    Rule(
      "scale", .on, "muP scales logits in another way",
      "dim_model_base mup_base_hidden_size"),
    Rule(
      "scale", .not(1), "muP scales attention in another way",
      "mup_attn_temp"),
    Rule(
      "scale", .on, "unit scaling changes what each layer computes",
      "unit_scaling"),
    Rule(
      "scale", .on, "GPT-2 has no norm of its embedding",
      "input_embeds_norm"),
    Rule(
      "activation", .on, "GPT-2 has no squared ReLU",
      "squared_relu"),
    Rule(
      "activation", .on, "the quick form is another function than those of Megatron",
      "quick_gelu"),
    Rule(
      "activation", .otherThan(["gelu"]), "the activation is not one of Megatron's own",
      "activation activation_function hidden_act activation_type"),
    Rule(
      "activation", .otherThan(["gelu", "torch.nn.functional.gelu"]),
      "the activation is not one of Megatron's own",
      "activation_func"),
    Rule(
      "activation", .given, "GPT-2 does not clamp its activation",
      "activation_func_clamp_value"),
    Rule(
      "activation", .on, "the activation is not one of Megatron's own",
      "gelu_tanh xielu"),
    Rule(
      "glu", .on, "GPT-2 has no gated feed-forward layer",
      "quick_geglu geglu reglu fast_swiglu gated_linear_unit use_gated_mlp gated_mlp"),
    Rule(
      "glu", .not(0), "GPT-2 has no gated feed-forward layer",
      "glu_linear_offset"),
    Rule(
      "glu", .otherThan(["mlp", "dense", "regular", "standard", "default"]),
      "GPT-2 has a plain feed-forward layer",
      "mlp_type"),
    Rule(
      "norm", .on, "GPT-2 has LayerNorm",
      "use_rmsnorm use_rms_norm rms_norm rmsnorm"),
    Rule(
      "norm", .otherThan(["layernorm", "layer_norm", "ln"]), "GPT-2 has LayerNorm",
      "norm_type"),
    Rule(
      "norm", .otherThan(["layernorm", "layer_norm", "ln", "default", "apex", "torch"]),
      "GPT-2 has LayerNorm",
      "layernorm_type"),
    Rule(
      "experts", .not(1), "GPT-2 has no mixture of experts",
      "num_moe_experts"),
    Rule(
      "experts", .on, "GPT-2 has no mixture of experts",
      "moe use_moe moe_num_experts n_routed_experts num_experts_switch"),
    Rule(
      "layers", .on, "GPT-2 has no layers that predict further tokens",
      "mtp_num_layers"),
    Rule(
      "layers", .given, "some layers are not attention",
      "hybrid_override_pattern hybrid_layer_pattern"),
    Rule(
      "layers", .on, "some layers are not attention",
      "is_hybrid_model"),
    Rule(
      "layers", .given, "the layers are not all alike",
      "heterogeneous_layers_config_path heterogeneous_layers_config_encoded_json"),
    Rule(
      "layers", .given, "a program of the user's own built the layers",
      "spec"),
    Rule(
      "layers", .on, "GPT-2 takes text alone",
      "multi_modal"),
    Rule(
      "layers", .on, "GPT-2 retrieves nothing",
      "retro_add_retriever"),
    Rule(
      "layers", .on, "each layer of GPT-2 has weights of its own and is used",
      "share_layers skip_layers"),
    Rule(
      "quantization", .on, "the weights were trained for a quantized function",
      "quantize_weights"),
    Rule(
      "attention-mask", .on, "attention sees the whole prefix, in GPT-2 only what comes before",
      "prefix_lm use_prefix_lm"),
    Rule(
      "attention-mask", .on, "attention sees all positions, in GPT-2 only those before",
      "bidirectional bidirectional_attention"),
    Rule(
      "attention-mask", .otherThan(["True"]), "attention is not causal, as GPT-2's is",
      "causal is_causal"),
    Rule(
      "attention-mask", .otherThan(["causal", "AttnMaskType(2)", "AttnMaskType(causal)"]),
      "attention is not causal, as GPT-2's is",
      "attn_mask_type"),
  ]

  /// Every argument that is in effect.
  ///
  /// - Parameters:
  ///   - arguments: The arguments.
  ///   - title: What people call the family.
  ///   - expressible: Arguments that the family's configuration can express.
  /// - Returns: Codes and reasons.
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  static func refusals(
    _ arguments: TrainingArguments, title: String = "GPT-2", besides expressible: Set<String> = []
  ) throws(Failure) -> [(code: String, reason: String)] {
    let hidden = try arguments.double(.hiddenSize)
    let heads = try arguments.double(.numAttentionHeads)
    var result: [(code: String, reason: String)] = []
    for rule in rules {
      for key in rule.keys where !expressible.contains(key) {
        guard let value = arguments[ArgumentKey(key)]?.literal, value != .none,
          value != .string(""),
          isInEffect(value, rule.condition, headSize: (hidden ?? 0) / (heads ?? 0))
        else { continue }
        // Families of rotary positions have them in all layers.
        let reason =
          title == "GPT-2"
          ? rule.reason
          : rule.reason.replacing("GPT-2", with: title).replacing(
            "learned absolute positions", with: "rotary positions in all layers")
        result.append((rule.code, "\(key) is \(value.quoted): \(reason)"))
      }
    }
    return result
  }

  private static func isInEffect(
    _ value: ArgumentValue, _ condition: Condition, headSize: Double
  ) -> Bool {
    switch condition {
    case .on: ![.bool(false), .int(0), .double(0), .list([])].contains(value)
    case .given:
      // Megatron writes no window as -1 or (-1, -1).
      ![
        .bool(false), .list([]), .int(-1), .list([.int(-1), .int(-1)]),
        .list([.int(-1), .int(0)]),
      ].contains(value.numbers ?? value)
    case .not(let neutral):
      value.number.map { $0 != neutral && $0 != 0 } ?? (value != .bool(false))
    case .otherScale(let power):
      value.number.map { !($0 > 0 && isNear($0, headSize, power)) } ?? (value != .bool(false))
    case .otherThan(let names):
      !names.contains { $0.lowercased() == value.text.lowercased() }
    }
  }

  /// Whether a value is a power of another, 1 or a square root, up to the digits that people write.
  private static func isNear(_ value: Double, _ base: Double, _ power: Double) -> Bool {
    let ratio = power == 1 ? value / base : value * base.squareRoot()
    return abs(ratio - 1) < 1e-3
  }

  /// The names of the arguments that are looked at.
  static let keys = rules.flatMap(\.keys)
}

extension ArgumentValue {
  /// A text of several numbers, such as `(-1, -1)`, as a list; `nil` for anything else.
  fileprivate var numbers: ArgumentValue? {
    guard case .string(let text) = self else { return nil }
    let parts = text.split { " ,()[]".contains($0) }.map { Int($0) }
    guard parts.count > 1, !parts.contains(nil) else { return nil }
    return .list(parts.compactMap { $0 }.map { .int($0) })
  }
}
