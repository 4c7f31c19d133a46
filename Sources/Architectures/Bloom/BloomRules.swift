/// BLOOM in Megatron and in transformers, tensor by tensor. Nothing is transposed, and query, key
/// and value stay together, head by head.
enum BloomRules {
  // swift-format-ignore
  static let table = RuleTable(
    [words]
    + .norm(  "embedding.word_embeddings.norm",          "word_embeddings_layernorm")
    + .norm(  "layers.*.input_layernorm",                "h.*.input_layernorm")
    + .linear("layers.*.self_attention.query_key_value", "h.*.self_attention.query_key_value",
              .column, [.qkv, .hidden], rows: .fused(as: .heads3HN))
    + .linear("layers.*.self_attention.dense",           "h.*.self_attention.dense", .row,
              [.hidden, .hidden])
    + .norm(  "layers.*.post_attention_layernorm",       "h.*.post_attention_layernorm")
    + .linear("layers.*.mlp.dense_h_to_4h",              "h.*.mlp.dense_h_to_4h", .column,
              [.feedForward, .hidden])
    + .linear("layers.*.mlp.dense_4h_to_h",              "h.*.mlp.dense_4h_to_h", .row,
              [.hidden, .feedForward])
    + .norm(  "final_layernorm",                         "ln_f")
    + [head]
  )

  static let words = TensorRule(
    "embedding.word_embeddings.weight", .vocabulary, "word_embeddings.weight",
    [.vocabulary, .hidden])
  static let norm = "embedding.word_embeddings.norm.weight"
  static let head = TensorRule(
    "output_layer.weight", .vocabulary, "lm_head.weight", [.vocabulary, .hidden],
    presence: .tied(to: "word_embeddings.weight"))
}
