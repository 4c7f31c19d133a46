import Diagnostics

/// Arguments that change the function that a model computes and leave no trace in its tensors' names: one
/// that is in effect refuses the model (arguments of NVIDIA/Megatron-LM, deepspeedai and bigscience
/// Megatron-DeepSpeed, EleutherAI/gpt-neox, and forks of them).
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

  // swift-format-ignore
  private static let table: [(key: String, condition: Condition, code: String, reason: String)] = [
    ("window_size",                 .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("sliding_window",              .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("sliding_window_size",         .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("attention_window_size",       .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("local_attention",             .on,      "attention",    "attention is local, GPT-2 looks at all positions before"),
    ("sparse_attention",            .on,      "attention",    "attention is sparse, GPT-2 looks at all positions before"),
    ("attention_sparsity",          .on,      "attention",    "attention is sparse, GPT-2 looks at all positions before"),
    ("window_attn_skip_freq",       .given,   "attention",    "some layers attend to a window, GPT-2 to all positions before"),
    ("chunk_size_attention",        .given,   "attention",    "attention looks at chunks, GPT-2 at all positions before"),
    ("attention_chunk_size",        .given,   "attention",    "attention looks at chunks, GPT-2 at all positions before"),
    ("experimental_attention_variant", .given, "attention",   "GPT-2 has plain attention"),
    ("softmax_scale",               .otherScale(power: -0.5), "attention",    "GPT-2 scales by the root of the head size"),
    ("attention_scale",             .otherScale(power: -0.5), "attention",    "GPT-2 scales by the root of the head size"),
    ("attention_multiplier",        .otherScale(power: -0.5), "attention",    "GPT-2 scales by the root of the head size"),
    ("softmax_type",                .otherThan(["vanilla", "softmax"]), "attention", "GPT-2 has a plain softmax"),
    ("attn_logit_softcapping",      .on,      "attention",    "GPT-2 does not cap its scores"),
    ("attention_logit_softcapping", .on,      "attention",    "GPT-2 does not cap its scores"),
    ("attention_output_gate",       .on,      "attention",    "GPT-2 has no gate behind the attention"),
    ("multi_latent_attention",      .on,      "attention",    "GPT-2 has no latent attention"),
    ("multi_query_attention",       .on,      "grouped-query", "GPT-2 has as many keys as queries"),
    ("attention_head_type",         .otherThan(["multihead"]), "grouped-query", "GPT-2 has as many keys as queries"),
    ("no_rope_freq",                .given,   "positions",    "GPT-2 has learned absolute positions"),
    ("use_alibi",                   .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("alibi",                       .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("use_alibi_position_embeddings", .on,    "positions",    "GPT-2 has learned absolute positions"),
    ("relative_attention",          .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("use_rope",                    .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("qk_layernorm",                .on,      "query-norm",   "GPT-2 has no layernorm of queries and keys"),
    ("qk_norm",                     .on,      "query-norm",   "GPT-2 has no norm of queries and keys"),
    ("use_qk_norm",                 .on,      "query-norm",   "GPT-2 has no norm of queries and keys"),
    ("qk_l2_norm",                  .on,      "query-norm",   "GPT-2 has no norm of queries and keys"),
    ("parallel_attn",               .on,      "residual",     "attention and feed-forward stand side by side, in GPT-2 one behind the other"),
    ("parallel_attn_mlp",           .on,      "residual",     "attention and feed-forward stand side by side, in GPT-2 one behind the other"),
    ("parallel_attention",          .on,      "residual",     "attention and feed-forward stand side by side, in GPT-2 one behind the other"),
    ("parallel_layernorm",          .on,      "residual",     "two layernorms stand side by side, in GPT-2 one behind the other"),
    ("gpt_j_residual",              .on,      "residual",     "attention and feed-forward stand side by side, in GPT-2 one behind the other"),
    ("use_parallel_residual",       .on,      "residual",     "attention and feed-forward stand side by side, in GPT-2 one behind the other"),
    ("use_post_ln",                 .on,      "residual",     "GPT-2 has the layernorm before attention and feed-forward"),
    ("post_layer_norm",             .on,      "residual",     "GPT-2 has the layernorm before attention and feed-forward"),
    ("sandwich_norm",               .on,      "residual",     "GPT-2 has no layernorm behind attention and feed-forward"),
    ("deepnorm",                    .on,      "residual",     "GPT-2 does not scale its residual"),
    ("transformer_block_type",      .otherThan(["pre_ln"]), "residual", "GPT-2 has the layernorm before attention and feed-forward"),
    ("residual_multiplier",         .not(1),  "residual",     "GPT-2 does not scale its residual"),
    ("scale_residual",              .on,      "residual",     "GPT-2 does not scale its residual"),
    ("num_residual_streams",        .not(1),  "residual",     "GPT-2 has one residual stream"),
    ("enable_hyper_connections",    .on,      "residual",     "GPT-2 has one residual stream"),
    ("use_mup",                     .on,      "scale",        "muP scales logits and attention in another way"),
    ("mup",                         .on,      "scale",        "muP scales logits and attention in another way"),
    ("mup_width_scale",             .not(1),  "scale",        "muP scales logits in another way"),
    ("mup_width_multiplier",        .not(1),  "scale",        "muP scales logits in another way"),
    ("mup_embeddings_multiplier",   .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("embedding_multiplier",        .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("embedding_scale",             .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("scale_embeddings",            .on,      "scale",        "GPT-2 does not scale its embedding"),
    ("normalize_embeddings",        .on,      "scale",        "GPT-2 does not scale its embedding"),
    ("logits_scaling",              .not(1),  "scale",        "GPT-2 does not scale its logits"),
    ("logit_scale",                 .not(1),  "scale",        "GPT-2 does not scale its logits"),
    ("output_multiplier",           .not(1),  "scale",        "GPT-2 does not scale its logits"),
    ("final_logit_softcapping",     .on,      "scale",        "GPT-2 does not cap its logits"),
    ("output_logit_soft_cap",       .on,      "scale",        "GPT-2 does not cap its logits"),
    ("squared_relu",                .on,      "activation",   "GPT-2 has no squared ReLU"),
    ("quick_geglu",                 .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("quick_gelu",                  .on,      "activation",   "the quick form is another function than those of Megatron"),
    ("geglu",                       .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("reglu",                       .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("fast_swiglu",                 .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("gated_linear_unit",           .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("activation",                  .otherThan(["gelu"]), "activation", "the activation is not one of Megatron's own"),
    ("activation_func",             .otherThan(["gelu", "torch.nn.functional.gelu"]), "activation", "the activation is not one of Megatron's own"),
    ("activation_function",         .otherThan(["gelu"]), "activation", "the activation is not one of Megatron's own"),
    ("hidden_act",                  .otherThan(["gelu"]), "activation", "the activation is not one of Megatron's own"),
    ("activation_type",             .otherThan(["gelu"]), "activation", "the activation is not one of Megatron's own"),
    ("activation_func_clamp_value", .given,   "activation",   "GPT-2 does not clamp its activation"),
    ("glu_linear_offset",           .not(0),  "glu",          "GPT-2 has no gated feed-forward layer"),
    ("use_rmsnorm",                 .on,      "norm",         "GPT-2 has LayerNorm"),
    ("use_rms_norm",                .on,      "norm",         "GPT-2 has LayerNorm"),
    ("rms_norm",                    .on,      "norm",         "GPT-2 has LayerNorm"),
    ("rmsnorm",                     .on,      "norm",         "GPT-2 has LayerNorm"),
    ("norm_type",                   .otherThan(["layernorm", "layer_norm", "ln"]), "norm", "GPT-2 has LayerNorm"),
    ("layernorm_type",              .otherThan(["layernorm", "layer_norm", "ln", "default", "apex", "torch"]), "norm", "GPT-2 has LayerNorm"),
    ("num_moe_experts",             .not(1),  "experts",      "GPT-2 has no mixture of experts"),
    ("mtp_num_layers",              .on,      "layers",       "GPT-2 has no layers that predict further tokens"),
    ("hybrid_override_pattern",     .given,   "layers",       "some layers are no attention"),
    ("hybrid_layer_pattern",        .given,   "layers",       "some layers are no attention"),
    ("is_hybrid_model",             .on,      "layers",       "some layers are no attention"),
    ("heterogeneous_layers_config_path", .given, "layers",    "the layers are not all alike"),
    ("quantize_weights",            .on,      "quantization", "the weights were trained for a quantized function"),
    ("prefix_lm",                   .on,      "attention-mask", "attention sees the whole prefix, in GPT-2 only what comes before"),
    ("use_prefix_lm",               .on,      "attention-mask", "attention sees the whole prefix, in GPT-2 only what comes before"),
    ("bidirectional",               .on,      "attention-mask", "attention sees all positions, in GPT-2 only those before"),
    ("bidirectional_attention",     .on,      "attention-mask", "attention sees all positions, in GPT-2 only those before"),
    ("causal",                      .otherThan(["True"]), "attention-mask", "attention is not causal, as GPT-2's is"),
    ("attn_mask_type",              .otherThan(["causal", "AttnMaskType(2)", "AttnMaskType(causal)"]), "attention-mask", "attention is not causal, as GPT-2's is"),
    ("attention_window",              .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("local_window_size",             .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("interleave_sliding_window",     .given,   "attention",    "attention looks at a window, GPT-2 at all positions before"),
    ("window_attn",                   .on,      "attention",    "attention looks at a part, GPT-2 at all positions before"),
    ("chunked_attention",             .on,      "attention",    "attention looks at a part, GPT-2 at all positions before"),
    ("attention_config",              .given,   "attention",    "attention is not the same in all layers"),
    ("sparsity_config",               .given,   "attention",    "attention is not the same in all layers"),
    ("attention_type",                .otherThan(["global","causal","multihead","multihead_attention","self","flash","flash_attention","softmax","core"]), "attention",    "GPT-2 has plain attention to all positions before"),
    ("clip_qkv",                      .on,      "attention",    "GPT-2 does not clamp its queries, keys and values"),
    ("clamp_qkv",                     .on,      "attention",    "GPT-2 does not clamp its queries, keys and values"),
    ("qk_scale",                      .otherScale(power: -0.5), "attention",    "GPT-2 scales by the root of the head size"),
    ("query_scale",                   .otherScale(power: -0.5), "attention",    "GPT-2 scales by the root of the head size"),
    ("query_pre_attn_scalar",         .otherScale(power: 1), "attention",    "GPT-2 scales by the root of the head size"),
    ("attention_logit_cap",           .on,      "attention",    "GPT-2 does not cap its scores"),
    ("output_logit_softcap",          .on,      "scale",        "GPT-2 does not cap its logits"),
    ("attention_sink",                .on,      "attention",    "GPT-2 has a plain softmax"),
    ("attention_sinks",               .on,      "attention",    "GPT-2 has a plain softmax"),
    ("softmax_one",                   .on,      "attention",    "GPT-2 has a plain softmax"),
    ("linear_attention_freq",         .on,      "attention",    "some layers have linear attention"),
    ("linear_attention",              .on,      "attention",    "some layers have linear attention"),
    ("use_mla",                       .on,      "attention",    "GPT-2 has no latent attention"),
    ("scale_attn_by_inverse_layer_idx", .on,      "attention",    "Megatron's own models do not scale by the layer"),
    ("use_multiquery_attn",           .on,      "grouped-query", "GPT-2 has as many keys as queries"),
    ("query_key_layernorm",           .on,      "query-norm",   "GPT-2 has no layernorm of queries and keys"),
    ("alibi_bias",                    .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("no_position_embedding",         .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("use_rotary",                    .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("rotary",                        .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("rope",                          .on,      "positions",    "GPT-2 has learned absolute positions"),
    ("scale_emb",                     .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("input_embeddings_multiplier",   .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("embedding_multiplier_scale",    .not(1),  "scale",        "GPT-2 does not scale its embedding"),
    ("output_multiplier_scale",       .not(1),  "scale",        "GPT-2 does not scale its logits"),
    ("logits_scale",                  .not(1),  "scale",        "GPT-2 does not scale its logits"),
    ("scale_depth",                   .not(1),  "residual",     "GPT-2 does not scale its residual"),
    ("residual_scale",                .not(1),  "residual",     "GPT-2 does not scale its residual"),
    ("deepnorm_alpha",                .not(1),  "residual",     "GPT-2 does not scale its residual"),
    ("use_deepnorm",                  .on,      "residual",     "GPT-2 does not scale its residual"),
    ("dim_model_base",                .on,      "scale",        "muP scales logits in another way"),
    ("mup_base_hidden_size",          .on,      "scale",        "muP scales logits in another way"),
    ("mup_attn_temp",                 .not(1),  "scale",        "muP scales attention in another way"),
    ("unit_scaling",                  .on,      "scale",        "unit scaling changes what each layer computes"),
    ("input_embeds_norm",             .on,      "scale",        "GPT-2 has no norm of its embedding"),
    ("post_norm",                     .on,      "residual",     "GPT-2 has the layernorm before attention and feed-forward"),
    ("use_sandwich_norm",             .on,      "residual",     "GPT-2 has the layernorm before attention and feed-forward"),
    ("residual_post_layernorm",       .on,      "residual",     "GPT-2 has the layernorm before attention and feed-forward"),
    ("headscale",                     .on,      "attention",    "GPT-2 does not scale its heads"),
    ("moe",                           .on,      "experts",      "GPT-2 has no mixture of experts"),
    ("use_moe",                       .on,      "experts",      "GPT-2 has no mixture of experts"),
    ("moe_num_experts",               .on,      "experts",      "GPT-2 has no mixture of experts"),
    ("n_routed_experts",              .on,      "experts",      "GPT-2 has no mixture of experts"),
    ("num_experts_switch",            .on,      "experts",      "GPT-2 has no mixture of experts"),
    ("mlp_type",                      .otherThan(["mlp","dense","regular","standard","default"]), "glu",          "GPT-2 has a plain feed-forward layer"),
    ("use_gated_mlp",                 .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("gated_mlp",                     .on,      "glu",          "GPT-2 has no gated feed-forward layer"),
    ("gelu_tanh",                     .on,      "activation",   "the activation is not one of Megatron's own"),
    ("xielu",                         .on,      "activation",   "the activation is not one of Megatron's own"),
    ("retro_add_retriever",           .on,      "layers",       "GPT-2 retrieves nothing"),
    ("share_layers",                  .on,      "layers",       "each layer of GPT-2 has weights of its own and is used"),
    ("skip_layers",                   .on,      "layers",       "each layer of GPT-2 has weights of its own and is used"),
    ("is_causal",                     .otherThan(["True"]), "attention-mask", "attention is not causal, as GPT-2's is"),
  ]

  /// Every argument that is in effect.
  static func refusals(
    _ arguments: TrainingArguments
  ) throws(Failure) -> [(code: String, reason: String)] {
    let hidden = try arguments.double("hidden_size")
    let heads = try arguments.double("num_attention_heads")
    var result: [(code: String, reason: String)] = []
    for (key, condition, code, reason) in table {
      guard let value = arguments[key]?.literal, value != .none, value != .string(""),
        isInEffect(value, condition, headSize: (hidden ?? 0) / (heads ?? 0))
      else { continue }
      result.append((code, "\(key) is \(value.quoted): \(reason)"))
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
  static let keys = table.map(\.key)
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
