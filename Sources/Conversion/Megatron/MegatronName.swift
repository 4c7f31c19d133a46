/// The names that tensors have in Megatron's own state dictionaries, brought to one form.
///
/// Over the years the dictionary was flat or nested, `transformer` became `encoder`, `attention`
/// became `self_attention`, and wrappers put `module.` in front (Megatron `language_model.py`,
/// `load_state_dict`, accepts the same).
enum MegatronName {
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
    ("final_layernorm.",               "final_layernorm."),
  ]

  /// The form that all layouts share, of a path in a state dictionary.
  static func local(_ path: String) -> Local {
    var name = path[...]
    while let prefix = ["module.", "model.", "language_model."].first(where: { name.hasPrefix($0) })
    {
      name = name.dropFirst(prefix.count)
    }
    for (prefix, form) in table where name.hasPrefix(prefix) {
      return Local(layer: nil, name: form + name.dropFirst(prefix.count))
    }
    for prefix in ["encoder.layers.", "transformer.layers.", "layers."] where name.hasPrefix(prefix)
    {
      let rest = name.dropFirst(prefix.count)
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      if let layer = Int(digits), digits.count < 8, rest.dropFirst(digits.count).hasPrefix(".") {
        return Local(layer: layer, name: normalized(String(rest.dropFirst(digits.count + 1))))
      }
    }
    return Local(layer: nil, name: String(name))
  }

  /// The name within a block, with `self_attention` for what was `attention` until 2020.
  static func normalized(_ name: String) -> String {
    name.hasPrefix("attention.") ? "self_\(name)" : name
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
