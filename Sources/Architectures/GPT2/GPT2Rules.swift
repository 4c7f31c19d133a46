/// GPT-2 in Megatron and in transformers, tensor by tensor
/// (transformers `models/gpt2/modeling_gpt2.py`; Megatron `model/language_model.py`,
/// `model/transformer.py`).
public enum GPT2Rules {
  // swift-format-ignore
  public static let table = RuleTable([
    words, positions,
    // With sequence parallelism the positions are divided (deepspeedai cc3a94c6).
    dividedPositions,

    TensorRule("layers.*.input_layernorm.weight",                .replicated,                                            "h.*.ln_1.weight",        [.hidden], role: .norm),
    TensorRule("layers.*.input_layernorm.bias",                  .replicated,                                            "h.*.ln_1.bias",          [.hidden], role: .bias),
    TensorRule("layers.*.self_attention.query_key_value.weight", .column,     rows: .fused(as: .thirds), transposed: true, "h.*.attn.c_attn.weight", [.qkv, .hidden]),
    TensorRule("layers.*.self_attention.query_key_value.bias",   .column,     rows: .fused(as: .thirds),                 "h.*.attn.c_attn.bias",   [.qkv], presence: .zeros, role: .bias),
    TensorRule("layers.*.self_attention.dense.weight",           .row,        transposed: true,                          "h.*.attn.c_proj.weight", [.hidden, .hidden]),
    TensorRule("layers.*.self_attention.dense.bias",             .replicated,                                            "h.*.attn.c_proj.bias",   [.hidden], presence: .zeros, role: .bias),
    TensorRule("layers.*.post_attention_layernorm.weight",       .replicated,                                            "h.*.ln_2.weight",        [.hidden], role: .norm),
    TensorRule("layers.*.post_attention_layernorm.bias",         .replicated,                                            "h.*.ln_2.bias",          [.hidden], role: .bias),
    TensorRule("layers.*.mlp.dense_h_to_4h.weight",              .column,     transposed: true,                          "h.*.mlp.c_fc.weight",    [.feedForward, .hidden]),
    TensorRule("layers.*.mlp.dense_h_to_4h.bias",                .column,                                                "h.*.mlp.c_fc.bias",      [.feedForward], presence: .zeros, role: .bias),
    TensorRule("layers.*.mlp.dense_4h_to_h.weight",              .row,        transposed: true,                          "h.*.mlp.c_proj.weight",  [.hidden, .feedForward]),
    TensorRule("layers.*.mlp.dense_4h_to_h.bias",                .replicated,                                            "h.*.mlp.c_proj.bias",    [.hidden], presence: .zeros, role: .bias),

    TensorRule("final_layernorm.weight",                         .replicated,                                            "ln_f.weight",            [.hidden], role: .norm),
    TensorRule("final_layernorm.bias",                           .replicated,                                            "ln_f.bias",              [.hidden], role: .bias),
    head,
  ])

  // Those that are asked for by themselves.
  // swift-format-ignore
  package static let words =
    TensorRule("embedding.word_embeddings.weight",     .vocabulary, "wte.weight", [.vocabulary, .hidden])
  // swift-format-ignore
  package static let positions =
    TensorRule("embedding.position_embeddings.weight", .replicated, "wpe.weight", [.positions, .hidden])
  // swift-format-ignore
  package static let dividedPositions =
    TensorRule("embedding.position_embeddings.local_embeddings.weight", .column, "wpe.weight", [.positions, .hidden])
  // swift-format-ignore
  package static let head =
    TensorRule("output_layer.weight",                  .vocabulary, "lm_head.weight", [.vocabulary, .hidden], presence: .tied(to: "wte.weight"))
}
