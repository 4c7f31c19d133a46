/// Llama and its relatives in Megatron and in transformers, tensor by tensor (transformers
/// `models/llama/modeling_llama.py`, `models/qwen2`, `models/qwen3`; Megatron
/// `model/transformer.py`, Megatron-core `models/gpt`). Nothing is transposed; query, key and value
/// are tensors of their own, and so are gate and upward projection.
enum LlamaRules {
  // swift-format-ignore
  static let table = RuleTable(
    [words]
    + [norm("layers.*.input_layernorm",          "layers.*.input_layernorm", .hidden)]
    + [norm("layers.*.post_attention_layernorm", "layers.*.post_attention_layernorm", .hidden)]
    + projection("self_attention.query_key_value", [
        ("self_attn.q_proj", .part(.query)), ("self_attn.k_proj", .part(.key)),
        ("self_attn.v_proj", .part(.value)),
      ], .column, [.qkv, .hidden])
    // deepspeedai's Megatron-DeepSpeed of 2023-07 to 2023-11
    + projection("self_attention.query", [("self_attn.q_proj", .asStored)],
                 .column, [.query, .hidden], presence: .optional)
    + projection("self_attention.key_value", [
        ("self_attn.k_proj", .part(.keyOfTwo)), ("self_attn.v_proj", .part(.valueOfTwo)),
      ], .column, [.keyValue, .hidden], presence: .optional)
    + [norm("layers.*.self_attention.q_layernorm", "layers.*.self_attn.q_norm", .headSize,
            presence: .optional)]
    + [norm("layers.*.self_attention.k_layernorm", "layers.*.self_attn.k_norm", .headSize,
            presence: .optional)]
    + projection("self_attention.dense", [("self_attn.o_proj", .asStored)],
                 .row, [.hidden, .query])
    + projection("mlp.dense_h_to_4h", [
        ("mlp.gate_proj", .part(.firstHalf)), ("mlp.up_proj", .part(.secondHalf)),
      ], .column, [.twoFeedForward, .hidden])
    + projection("mlp.dense_4h_to_h", [("mlp.down_proj", .asStored)],
                 .row, [.hidden, .feedForward])
    + [norm("final_layernorm", "norm", .hidden), head]
  )

  private static func norm(
    _ source: String, _ target: String, _ size: TensorRule.Dimension,
    presence: TensorRule.Presence = .required
  ) -> TensorRule {
    TensorRule(
      "\(source).weight", .replicated, "\(target).weight", [size], presence: presence, role: .norm)
  }

  /// Weight and bias of a projection that is one or more layers in transformers. The bias goes with
  /// the rows: it is divided where they are.
  private static func projection(
    _ source: String, _ targets: [(name: String, rows: TensorRule.Rows)], _ partition: Partition,
    _ shape: [TensorRule.Dimension], presence: TensorRule.Presence = .required
  ) -> [TensorRule] {
    targets.flatMap { target, rows in
      [
        TensorRule(
          "layers.*.\(source).weight", partition, rows: rows, "layers.*.\(target).weight", shape,
          presence: presence),
        TensorRule(
          "layers.*.\(source).bias", partition == .column ? .column : .replicated, rows: rows,
          "layers.*.\(target).bias", Array(shape.prefix(1)), presence: .optional, role: .bias),
      ]
    }
  }

  static let words = TensorRule(
    "embedding.word_embeddings.weight", .vocabulary, "embed_tokens.weight", [.vocabulary, .hidden])
  static let head = TensorRule(
    "output_layer.weight", .vocabulary, "lm_head.weight", [.vocabulary, .hidden],
    presence: .tied(to: "embed_tokens.weight"))

  /// GPT-NeoX has the upward projection before the gate.
  static let tableOfNeoX = RuleTable(
    table.rules.map { rule in
      let rows: TensorRule.Rows =
        switch rule.rows {
        case .part(.firstHalf): .part(.secondHalf)
        case .part(.secondHalf): .part(.firstHalf)
        default: rule.rows
        }
      return TensorRule(
        rule.source, rule.partition, rows: rows, rule.target, rule.shape, presence: rule.presence,
        role: rule.role)
    })

  /// Qwen3 has a bias on the output of its attention wherever queries, keys and values have theirs.
  static let tableOfQwen3 = RuleTable(
    table.rules.map { rule in
      rule.source == "layers.*.self_attention.dense.bias"
        ? TensorRule(
          rule.source, rule.partition, rule.target, rule.shape,
          presence: .zerosBeside("layers.*.self_attention.query_key_value.bias"), role: .bias)
        : rule
    })
}
