/// GPT-2 in Megatron and in transformers, tensor by tensor
/// (transformers `models/gpt2/modeling_gpt2.py`; Megatron `model/language_model.py`,
/// `model/transformer.py`). transformers applies linear layers from the other side (`Conv1D`).
public enum GPT2Rules {
  // swift-format-ignore
  public static let table = RuleTable(
    [words, positions,
     // With sequence parallelism the positions are divided (deepspeedai cc3a94c6).
     dividedPositions]
    + .norm(  "layers.*.input_layernorm",                  "h.*.ln_1")
    + .linear("layers.*.self_attention.query_key_value",   "h.*.attn.c_attn", .column,
              [.qkv, .hidden], rows: .fused(as: .thirds), transposed: true)
    + .linear("layers.*.self_attention.dense",             "h.*.attn.c_proj", .row,
              [.hidden, .hidden], transposed: true)
    + .norm(  "layers.*.post_attention_layernorm",         "h.*.ln_2")
    + .linear("layers.*.mlp.dense_h_to_4h",                "h.*.mlp.c_fc",    .column,
              [.feedForward, .hidden], transposed: true)
    + .linear("layers.*.mlp.dense_4h_to_h",                "h.*.mlp.c_proj",  .row,
              [.hidden, .feedForward], transposed: true)
    + .norm(  "final_layernorm",                           "ln_f")
    + [head]
  )

  // Those that are asked for by themselves.
  static let words = TensorRule(
    "embedding.word_embeddings.weight", .vocabulary, "wte.weight", [.vocabulary, .hidden])
  static let positions = TensorRule(
    "embedding.position_embeddings.weight", .replicated, "wpe.weight", [.positions, .hidden])
  static let dividedPositions = TensorRule(
    "embedding.position_embeddings.local_embeddings.weight", .column, "wpe.weight",
    [.positions, .hidden])
  static let head = TensorRule(
    "output_layer.weight", .vocabulary, "lm_head.weight", [.vocabulary, .hidden],
    presence: .tied(to: "wte.weight"))
}
