/// The names that tensors have in Megatron's own state dictionaries, brought to one form.
///
/// Over the years the dictionary was flat or nested, `transformer` became `encoder` and then
/// `decoder`, `attention` became `self_attention`, layernorms were called norms for a while,
/// Transformer Engine and Megatron-core brought names of their own, and wrappers put theirs in
/// front or in between (Megatron `language_model.py`, `load_state_dict`, accepts some of them).
package enum ParameterName {
  /// The embedding of the vocabulary.
  package static let wordEmbeddings = "embedding.word_embeddings.weight"
  /// The copy of it that the last pipeline stage has for the head.
  package static let embeddingCopy = "word_embeddings_for_head.weight"
  /// A head that is not tied to the embedding.
  static let head = "output_layer.weight"

  /// A tensor of a model-parallel rank.
  struct Local: Hashable {
    /// The number of the block on this rank; `nil` outside of blocks.
    let layer: Int?
    /// The name within the block, or the whole name.
    let name: String
  }

  // swift-format-ignore
  private static let table: [(prefix: String, name: String)] = [
    ("embedding.word_embeddings.",     "embedding.word_embeddings."),
    ("embedding.position_embeddings.", "embedding.position_embeddings."),
    ("word_embeddings_for_head.",      "word_embeddings_for_head."),
    ("word_embeddings.",               "embedding.word_embeddings."),
    ("position_embeddings.",           "embedding.position_embeddings."),
    ("output_layer.",                  "output_layer."),
    ("lm_head.",                       "output_layer."),
    ("encoder.final_layernorm.",       "final_layernorm."),
    ("transformer.final_layernorm.",   "final_layernorm."),
    ("decoder.final_layernorm.",       "final_layernorm."),
    ("final_layernorm.",               "final_layernorm."),
    // NVIDIA/Megatron-LM, autumn 2023
    ("encoder.final_norm.",            "final_layernorm."),
    ("transformer.final_norm.",        "final_layernorm."),
    ("final_norm.",                    "final_layernorm."),
  ]

  /// Names within a block: those of other ages and implementations, and the one that all layouts
  /// share.
  // swift-format-ignore
  private static let aliases: [(prefix: String, name: String)] = [
    // until 2020
    ("attention.",                                   "self_attention."),
    // NVIDIA/Megatron-LM, autumn 2023
    ("input_norm.",                                  "input_layernorm."),
    ("post_attention_norm.",                         "post_attention_layernorm."),
    // Transformer Engine's TransformerLayer
    ("self_attention.layernorm_qkv.layer_norm_",     "input_layernorm."),
    ("self_attention.layernorm_qkv.",                "self_attention.query_key_value."),
    ("self_attention.qkv.",                          "self_attention.query_key_value."),
    ("self_attention.proj.",                         "self_attention.dense."),
    ("layernorm_mlp.layer_norm_",                    "post_attention_layernorm."),
    ("layernorm_mlp.fc1_",                           "mlp.dense_h_to_4h."),
    ("layernorm_mlp.fc2_",                           "mlp.dense_4h_to_h."),
    // EleutherAI/gpt-neox, from September 2024 on
    ("mlp.linear1.",                                 "mlp.dense_h_to_4h."),
    ("mlp.linear2.",                                 "mlp.dense_4h_to_h."),
    // Megatron-core
    ("self_attention.linear_qkv.layer_norm_",        "input_layernorm."),
    ("self_attention.linear_qkv.",                   "self_attention.query_key_value."),
    ("self_attention.linear_proj.",                  "self_attention.dense."),
    ("pre_mlp_layernorm.",                           "post_attention_layernorm."),
    ("mlp.linear_fc1.layer_norm_",                   "post_attention_layernorm."),
    ("mlp.linear_fc1.",                              "mlp.dense_h_to_4h."),
    ("mlp.linear_fc2.",                              "mlp.dense_4h_to_h."),
  ]

  /// Parts of a name that wrappers and saved modules put there: DeepSpeed's inference engine,
  /// `torch.compile`, FSDP, activation checkpointing, `torch.nn.Module` itself, and the wrappers of
  /// data parallelism and of float16.
  private static let wrappers: Set<Substring> = [
    "module",
    "_forward_module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
    "_fpw_module", "_modules", "_parameters", "_buffers",
  ]

  /// Names that stand in front of those of the model.
  private static let fronts = ["model.", "language_model.", "state_dict."]

  /// A path without the parts that wrappers put there.
  static func unwrapped(_ path: String) -> String {
    var name = path[...]
    // PEFT; what its adapters add keeps other names.
    if name.hasPrefix("base_model.model.") { name = name.dropFirst("base_model.model.".count) }
    guard mayBeWrapped(name) else { return String(name) }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.contains(where: wrappers.contains) else { return String(name) }
    let kept = parts.filter { !wrappers.contains($0) }.joined(separator: ".")
    return kept.hasPrefix("base_model.model.") ? unwrapped(kept) : kept
  }

  /// Whether parts that wrappers add may be in a path: they begin with an underscore or with `mo`.
  static func mayBeWrapped(_ path: some StringProtocol) -> Bool {
    var before = UInt8(ascii: ".")
    var isAfterM = false
    return path.utf8.contains { byte in
      defer {
        isAfterM = byte == UInt8(ascii: "m") && before == UInt8(ascii: ".")
        before = byte
      }
      return byte == UInt8(ascii: "_") && before == UInt8(ascii: ".")
        || byte == UInt8(ascii: "o") && isAfterM
    }
  }

  private static func stripped(_ path: String) -> Substring {
    var name = unwrapped(path)[...]
    while let front = fronts.first(where: { name.begins(with: $0) }) {
      name = name.dropFirst(front.count)
      if name.hasPrefix("base_model.model.") { name = name.dropFirst("base_model.model.".count) }
    }
    return name
  }

  /// The form that all layouts share, of a path in a state dictionary.
  static func local(_ path: String) -> Local {
    let name = stripped(path)
    for (prefix, form) in table where name.begins(with: prefix) {
      return Local(layer: nil, name: form + name.dropFirst(prefix.count))
    }
    for prefix in ["encoder.layers.", "transformer.layers.", "decoder.layers.", "layers."]
    where name.begins(with: prefix) {
      let rest = name.dropFirst(prefix.count)
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      if let layer = Int(digits), digits.count < 8, rest.dropFirst(digits.count).hasPrefix(".") {
        return Local(layer: layer, name: aliased(rest.dropFirst(digits.count + 1)))
      }
    }
    return Local(layer: nil, name: String(name))
  }

  /// The name within a layer of a pipeline module.
  static func normalized(_ path: String) -> String { aliased(stripped(path)) }

  /// The name within a block that all layouts share.
  private static func aliased(_ name: Substring) -> String {
    // GPT-NeoX calls the weights of its RMSNorm scales.
    if name.utf8.last == UInt8(ascii: "e"), name.hasSuffix("layernorm.scale") {
      return aliased(name.dropLast("scale".count) + "weight")
    }
    for (prefix, form) in aliases where name.begins(with: prefix) {
      return form + name.dropFirst(prefix.count)
    }
    return String(name)
  }

  /// Whether a path is one of Megatron-core, in which query, key and value have one order only.
  static func isCore(_ path: String) -> Bool { path.contains("self_attention.linear_qkv.") }

  /// Whether a name is that of a tensor of a GPT, so that what holds it is a model.
  package static func isOfModel(_ path: String) -> Bool {
    let local = local(path)
    return local.name == "embedding.word_embeddings.weight"
      || local.layer != nil && local.name.hasPrefix("self_attention.")
  }

  /// Sorts names that all layouts share into the order of the model.
  static func precedes(_ a: String, _ b: String) -> Bool { order(a) < order(b) }

  private static func order(_ name: String) -> (Int, Int) {
    if name.hasPrefix("embedding.") { return (0, 0) }
    if name.hasPrefix("layers.") {
      return (1, Int(name.dropFirst(7).prefix { $0 != "." }) ?? 0)
    }
    return (name.hasPrefix("final_layernorm.") ? 2 : 3, 0)
  }
}

extension StringProtocol {
  /// Whether it begins with the bytes of a text, which is quicker to find out than the same by
  /// characters.
  fileprivate func begins(with text: String) -> Bool { utf8.starts(with: text.utf8) }
}
