/// GPT-2 in Megatron and in transformers, tensor by tensor
/// (transformers `models/gpt2/modeling_gpt2.py`; Megatron `model/language_model.py`,
/// `model/transformer.py`).
public enum GPT2Rules {
  // swift-format-ignore
  public static let table = RuleTable(
    [words, positions,
     // With sequence parallelism the positions are divided (deepspeedai cc3a94c6).
     dividedPositions]
    + norm(  "layers.*.input_layernorm",                  "h.*.ln_1")
    + linear("layers.*.self_attention.query_key_value",   "h.*.attn.c_attn", .column,
             [.qkv, .hidden], rows: .fused(as: .thirds))
    + linear("layers.*.self_attention.dense",             "h.*.attn.c_proj", .row,
             [.hidden, .hidden])
    + norm(  "layers.*.post_attention_layernorm",         "h.*.ln_2")
    + linear("layers.*.mlp.dense_h_to_4h",                "h.*.mlp.c_fc",    .column,
             [.feedForward, .hidden])
    + linear("layers.*.mlp.dense_4h_to_h",                "h.*.mlp.c_proj",  .row,
             [.hidden, .feedForward])
    + norm(  "final_layernorm",                           "ln_f")
    + [head]
  )

  /// Weight and bias of a layernorm, of which every rank has all.
  private static func norm(_ source: String, _ target: String) -> [TensorRule] {
    [
      TensorRule("\(source).weight", .replicated, "\(target).weight", [.hidden], role: .norm),
      TensorRule("\(source).bias", .replicated, "\(target).bias", [.hidden], role: .bias),
    ]
  }

  /// Weight and bias of a linear layer, which transformers applies from the other side (`Conv1D`).
  /// The bias goes with the rows: it is divided where they are. A model may lack it.
  private static func linear(
    _ source: String, _ target: String, _ partition: Partition, _ shape: [TensorRule.Dimension],
    rows: TensorRule.Rows = .asStored
  ) -> [TensorRule] {
    [
      TensorRule(
        "\(source).weight", partition, rows: rows, transposed: true, "\(target).weight", shape),
      TensorRule(
        "\(source).bias", partition == .column ? .column : .replicated, rows: rows,
        "\(target).bias", Array(shape.prefix(1)), presence: .zeros, role: .bias),
    ]
  }

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
