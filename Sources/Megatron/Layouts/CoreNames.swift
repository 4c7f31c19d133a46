/// Whose names the tensors of a checkpoint have.
enum NamingConvention: Hashable, Sendable {
  /// Those of Megatron-LM and Megatron-DeepSpeed, or of programs that follow them.
  case megatron
  /// Those of Megatron-core.
  case core
  /// Those of EleutherAI's GPT-NeoX.
  case neox
  /// Those of transformers' GPT-2, whose linear layers are stored from the other side.
  case transformers
}

/// What the keys of a distributed checkpoint are called in the form that all layouts share.
struct CoreNames {
  let convention: NamingConvention

  init(_ keys: [String]) {
    let isCore = keys.contains { ParameterName.isOfModel(CoreNames.numbered($0, 0)) }
    convention =
      isCore || !keys.contains { CoreNames.transformersName($0) != nil } ? .core : .transformers
  }

  /// Whether a tensor is none of the model: the optimizer's, or the state of a generator.
  static func isBeside(_ key: String) -> Bool {
    beside.contains { key.hasPrefix($0) } || key.contains("._extra_state")
      || counters.contains(key)
  }

  private static let beside = [
    "optimizer.", "optimizers.", "optimizer_state_dict.", "optim.", "opt.", "rng_state", "chained_",
    "__shadow_", "opt_",
  ]
  private static let counters: Set<String> = ["iteration", "step", "epoch"]

  /// Whether the tensors of all blocks are stacked under one key: no number follows
  /// `decoder.layers.`.
  static func isStacked(_ key: String) -> Bool {
    guard let rest = afterLayers(key) else { return false }
    return !(rest.first?.isNumber ?? true)
  }

  private static func afterLayers(_ key: String) -> Substring? {
    let marker = "decoder.layers."
    guard let start = key.firstRange(of: marker) else { return nil }
    return key[start.upperBound...]
  }

  /// The key of one block of a stacked tensor; any other key as it is.
  static func numbered(_ key: String, _ layer: Int) -> String {
    guard isStacked(key), let rest = afterLayers(key) else { return key }
    return "\(key.dropLast(rest.count))\(layer).\(rest)"
  }

  /// The name that all layouts share, and whether its rows and columns are exchanged.
  ///
  /// - Parameters:
  ///   - key: The key.
  ///   - layer: The number of the block, for a stacked tensor.
  /// - Returns: Both; a key of no known name as it is.
  func shared(_ key: String, layer: Int?) -> (name: String, isTransposed: Bool) {
    if convention == .transformers {
      return CoreNames.transformersName(key) ?? (key, false)
    }
    let local = ParameterName.local(layer.map { CoreNames.numbered(key, $0) } ?? key)
    return (local.layer.map { "layers.\($0).\(local.name)" } ?? local.name, false)
  }

  // MARK: - transformers' GPT-2

  /// transformers `models/gpt2/modeling_gpt2.py`: `Conv1D` holds [in, out].
  // swift-format-ignore
  private static let ofBlock: [(theirs: String, ours: String, isTransposed: Bool)] = [
    ("ln_1.",        "input_layernorm.",                 false),
    ("attn.c_attn.", "self_attention.query_key_value.",  true),
    ("attn.c_proj.", "self_attention.dense.",            true),
    ("ln_2.",        "post_attention_layernorm.",        false),
    ("mlp.c_fc.",    "mlp.dense_h_to_4h.",               true),
    ("mlp.c_proj.",  "mlp.dense_4h_to_h.",               true),
  ]
  // swift-format-ignore
  private static let others: [String: String] = [
    "wte.weight":     "embedding.word_embeddings.weight",
    "wpe.weight":     "embedding.position_embeddings.weight",
    "ln_f.weight":    "final_layernorm.weight",
    "ln_f.bias":      "final_layernorm.bias",
    "lm_head.weight": "output_layer.weight",
  ]

  /// Our name for one of transformers' GPT-2; `nil` for any other.
  private static func transformersName(_ key: String) -> (name: String, isTransposed: Bool)? {
    guard !isBeside(key) else { return nil }
    // Programs nest a model as they like: `model.`, `app.model.transformer.`
    var name = ParameterName.unwrapped(key)[...]
    while !name.hasPrefix("h."), others[String(name)] == nil {
      guard let dot = name.firstIndex(of: ".") else { return nil }
      name = name[name.index(after: dot)...]
    }
    if let other = others[String(name)] { return (other, false) }
    let rest = name.dropFirst(2)
    let digits = rest.prefix { $0.isASCII && $0.isNumber }
    guard let layer = Int(digits), digits.count < 8 else { return nil }
    let inner = rest.dropFirst(digits.count + 1)
    for (theirs, ours, isTransposed) in ofBlock where inner.hasPrefix(theirs) {
      return ("layers.\(layer).\(ours)\(inner.dropFirst(theirs.count))", isTransposed)
    }
    return nil
  }

  // MARK: - Order

  /// Names within a block in the order of the model.
  private static let order = [
    "input_layernorm.", "self_attention.query_key_value.", "self_attention.dense.",
    "post_attention_layernorm.", "mlp.dense_h_to_4h.", "mlp.dense_4h_to_h.",
  ]

  /// The order of the model, as keys have none.
  static func precedes(_ a: String, _ b: String) -> Bool {
    if ParameterName.precedes(a, b) { return true }
    if ParameterName.precedes(b, a) { return false }
    let (one, two) = (rank(a), rank(b))
    return one == two ? a < b : one < two
  }

  private static func rank(_ name: String) -> Int {
    let last = name.contains("word_") ? -1 : order.count
    let place = order.firstIndex { name.contains($0) } ?? last
    return 2 * place + (name.hasSuffix(".weight") ? 0 : 1)
  }
}
