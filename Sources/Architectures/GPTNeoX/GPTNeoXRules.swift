/// Rotary GPT models of Megatron, which transformers calls GPT-NeoX, tensor by tensor (transformers
/// `models/gpt_neox/modeling_gpt_neox.py`). Nothing is transposed, and query, key and value stay
/// together, head by head.
enum GPTNeoXRules {
  /// The table of a kind: with a parallel residual, the biases of row-parallel layers are summands,
  /// and with one norm for both, that norm has two names.
  static func table(_ residual: GPTNeoX.Residual) -> RuleTable {
    guard residual != .serial else { return table }
    return RuleTable(
      table.rules.map { rule in
        let isRowBias =
          rule.source == "layers.*.self_attention.dense.bias"
          || rule.source == "layers.*.mlp.dense_4h_to_h.bias"
        let isSecondNorm = rule.source.hasPrefix("layers.*.post_attention_layernorm.")
        guard isRowBias || isSecondNorm && residual == .parallelTied else { return rule }
        return TensorRule(
          isRowBias ? rule.source : rule.source.replacing("post_attention", with: "input"),
          isRowBias ? .summed : rule.partition, rule.target, rule.shape, presence: rule.presence,
          role: rule.role)
      })
  }

  // swift-format-ignore
  private static let table = RuleTable(
    [words]
    + .norm(  "layers.*.input_layernorm",                "layers.*.input_layernorm")
    + .linear("layers.*.self_attention.query_key_value", "layers.*.attention.query_key_value",
              .column, [.qkv, .hidden], rows: .fused(as: .heads3HN))
    + .linear("layers.*.self_attention.dense",           "layers.*.attention.dense", .row,
              [.hidden, .hidden])
    + .norm(  "layers.*.post_attention_layernorm",       "layers.*.post_attention_layernorm")
    + .linear("layers.*.mlp.dense_h_to_4h",              "layers.*.mlp.dense_h_to_4h", .column,
              [.feedForward, .hidden])
    + .linear("layers.*.mlp.dense_4h_to_h",              "layers.*.mlp.dense_4h_to_h", .row,
              [.hidden, .feedForward])
    + .norm(  "final_layernorm",                         "final_layer_norm")
    + [head]
  )

  static let words = TensorRule(
    "embedding.word_embeddings.weight", .vocabulary, "embed_in.weight", [.vocabulary, .hidden])
  // The module has another name in transformers 5, and files keep this one.
  static let head = TensorRule(
    "output_layer.weight", .vocabulary, "embed_out.weight", [.vocabulary, .hidden],
    presence: .tied(to: "embed_in.weight"))
}
