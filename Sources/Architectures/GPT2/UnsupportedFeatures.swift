import Diagnostics

/// The features that would load and give wrong logits. They are looked for in the arguments and in
/// the names of the tensors, since either may be missing.
enum UnsupportedFeatures {
  /// Every reason why a model cannot be converted; none for GPT-2.
  static func all(of facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    let arguments = facts.arguments
    var result: [Diagnostic] = []
    func refuse(_ code: String, _ reason: String, tensor: String? = nil) {
      guard !result.contains(where: { $0.code == .model(code) }) else { return }
      result.append(Diagnostic(.model(code), reason, tensor: tensor))
    }

    for (key, code, reason) in forbidden where try arguments.bool(ArgumentKey(key)) == true {
      refuse(code, "\(key): \(reason)")
    }
    if let position = arguments[.positionEmbeddingType], !isLearned(position) {
      refuse(
        "positions",
        "position_embedding_type is \(position.text): GPT-2 has learned absolute "
          + "positions only")
    }
    if try arguments.bool(.addPositionEmbedding) == false {
      refuse("positions", "add_position_embedding is False: GPT-2 has learned absolute positions")
    }
    if let activation = arguments[.gluActivation], activation != .string("") {
      refuse("glu", "glu_activation is \(activation.text): GPT-2 has no gated feed-forward layer")
    }
    if let normalization = arguments[.normalization],
      normalization.text.lowercased() != "layernorm"
    {
      refuse("norm", "normalization is \(normalization.text): GPT-2 has LayerNorm")
    }
    if let reason = Experts.refusal(arguments, "GPT-2") { refuse("experts", reason) }
    if let heads = try arguments.int(.numAttentionHeads) {
      for key in [ArgumentKey.numKeyValueHeads, .numQueryGroups] {
        // num_query_groups means something only together with group_query_attention.
        if key == .numQueryGroups, try arguments.bool(.groupQueryAttention) != true {
          continue
        }
        if let groups = try arguments.int(key), groups != heads {
          refuse(
            "grouped-query",
            "\(key) is \(groups) of \(heads) heads: GPT-2 has as many keys as "
              + "queries")
        }
      }
      // Heads that do not divide the hidden size at all are reported as such, unless the
      // checkpoint itself gives them another size.
      if let channels = try arguments.int(.kvChannels),
        let hidden = try arguments.int(.hiddenSize), heads > 0, channels != hidden / heads,
        hidden.isMultiple(of: heads) || arguments.source(of: .numAttentionHeads) == .checkpoint
      {
        refuse(
          "kv-channels",
          "kv_channels is \(channels): in GPT-2 the \(heads) heads share the hidden "
            + "size of \(hidden) evenly")
      }
    }
    for refusal in try FunctionArguments.refusals(arguments) {
      refuse(refusal.code, refusal.reason)
    }
    if let reason = try AttentionMask.refusal(facts) { refuse("attention-mask", reason) }
    // Blocks have the same names but for their number, and looking for parts of names takes its
    // time.
    var seen: Set<Substring> = []
    for full in facts.tensorNames {
      let name = full[...]
      let kind = name.hasPrefix("layers.") ? name.dropFirst(7).drop { $0 != "." } : name
      guard seen.insert(kind).inserted else { continue }
      // `word_embeddings.norm` is BLOOM's, `.norm` within a block GPT-NeoX's.
      let isEmbedding = full.hasPrefix("embedding.")
      for (parts, code, reason) in tensors
      where !(isEmbedding && code == "gpt-neox") && parts.contains(where: full.contains) {
        refuse(code, reason, tensor: full)
      }
    }
    // What the arguments may not say, the tensors show.
    let names = facts.tensorNames
    if facts.has("embedding.word_embeddings.weight"),
      !names.contains(where: { $0.contains("position_embeddings") })
    {
      refuse("positions", "there are no position embeddings: GPT-2 has learned absolute positions")
    }
    if facts.has("final_layernorm.weight"),
      !names.contains(where: { $0.hasSuffix("layernorm.bias") })
    {
      refuse("norm", "the norms have no biases, as those of RMSNorm: GPT-2 has LayerNorm")
    }
    if let up = facts.shape(of: "layers.0.mlp.dense_h_to_4h.weight"),
      let down = facts.shape(of: "layers.0.mlp.dense_4h_to_h.weight"),
      up.count == 2, down.count == 2, down[1] < ModelBounds.size, up[0] == 2 * down[1]
    {
      refuse(
        "glu",
        "the feed-forward layer widens to \(up[0]) and narrows from \(down[1]), as a gated "
          + "one does: GPT-2 has none", tensor: "layers.0.mlp.dense_h_to_4h.weight")
    }
    for file in facts.expertFiles { refuse("experts", "\(file) belongs to a mixture of experts") }
    return result
  }

  /// Learned positions: by name, or by the value that the enumeration had (bigscience
  /// `megatron/enums.py`: rotary 1, absolute 2, alibi 3).
  private static func isLearned(_ value: ArgumentValue) -> Bool {
    switch value {
    case .member(_, let value): ["2", "absolute", "learned_absolute"].contains(value)
    case .string(let name):
      ["absolute", "learned_absolute"].contains { name == $0 || name.hasSuffix(".\($0)") }
    default: false
    }
  }

  private static let forbidden: [(key: String, code: String, reason: String)] = [
    ("embed_layernorm", "embedding-layernorm", embeddingNorm),
    ("use_rotary_position_embeddings", "positions", learnedPositions),
    ("swiglu", "glu", "GPT-2 has no gated feed-forward layer"),
    (
      "apply_residual_connection_post_layernorm", "residual",
      "GPT-2 takes the residual before the layernorm"
    ),
    ("ds_sequence_parallel_fpdt", "fpdt", fpdt),
  ]

  /// Parts of the names of tensors.
  private static let tensors: [(parts: [String], code: String, reason: String)] = [
    (["word_embeddings.norm."], "embedding-layernorm", embeddingNorm),
    (["rotary_pos_emb", "inv_freq"], "positions", learnedPositions),
    (["deepspeed_moe", "local_experts"], "experts", "GPT-2 has no mixture of experts"),
    (
      ["self_attention.query.", "self_attention.key_value."], "grouped-query",
      "GPT-2 has one fused projection of as many keys as queries"
    ),
    (["qkv_linear_", "qkv_dense_"], "fpdt", fpdt),
    (
      ["lora_", "modules_to_save."], "adapter",
      "the weights of an adapter are next to those of the model; merge them first "
        + "(merge_and_unload of PEFT)"
    ),
    (
      ["final_linear.weight", ".norm.weight"], "gpt-neox",
      "the layers are those of GPT-NeoX, whose blocks compute something else"
    ),
    (
      ["q_layernorm", "k_layernorm"], "query-norm",
      "GPT-2 has no layernorm of queries and keys"
    ),
    (["tokentype_embeddings"], "bert", "GPT-2 has no token types"),
    (["pooler"], "bert", "GPT-2 has no pooler"),
    (["inter_attention"], "encoder-decoder", "GPT-2 has no cross attention"),
  ]

  private static let embeddingNorm = "GPT-2 has no layernorm after the embedding (BLOOM has)"
  private static let learnedPositions = "GPT-2 has learned absolute positions"
  private static let fpdt = "the tensors of FPDT runs have other names and another order"
}
