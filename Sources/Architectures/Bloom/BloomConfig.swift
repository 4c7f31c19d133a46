import Diagnostics
import JSON

/// The configuration of a BLOOM (transformers `models/bloom/configuration_bloom.py`).
struct BloomConfig {
  let configuration: ModelConfiguration

  /// Works out the settings.
  ///
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  init(_ facts: any ModelFacts, _ output: ModelOutput) throws(Failure) {
    let arguments = facts.arguments
    let tokens = try SpecialTokens(
      facts, vocabulary: output.sizes.vocabulary, given: output.tokens)
    let activation = try GPT2Activation(arguments, isCore: facts.isNamedByCore)
    let sizes = output.sizes
    let isPost = try arguments.bool(.applyResidualConnectionPostLayernorm) == true
    let dtype = JSONValue.string(output.dtype)
    // swift-format-ignore
    let fields: [(String, JSONValue)] = [
      ("apply_residual_connection_post_layernorm", .bool(isPost)),
      ("architectures",       ["BloomForCausalLM"]),
      ("attention_dropout",   .double(try arguments.double(.attentionDropout) ?? 0)),
      // The class would take 1 and 2 for texts' ends.
      ("bos_token_id",        tokens.bos.map { .int($0) } ?? .null),
      ("dtype",               dtype),
      ("eos_token_id",        tokens.eos.map { .int($0) } ?? .null),
      ("hidden_dropout",      .double(try arguments.double(.hiddenDropout) ?? 0)),
      ("hidden_size",         .int(sizes.hidden)),
      ("initializer_range",   .double(try arguments.double(.initMethodStd) ?? 0.02)),
      ("layer_norm_epsilon",  1e-5),
      ("model_type",          .string(BloomConfig.format.modelType)),
      ("n_head",              .int(sizes.heads)),
      ("n_layer",             .int(sizes.layers)),
      ("pad_token_id",        .null),
      // With these two the class would split the products among ranks that are no more.
      ("pretraining_tp",      1),
      ("seq_length",          .int(sizes.positions)),
      ("slow_but_exact",      false),
      ("tie_word_embeddings", .bool(output.isTied)),
      ("torch_dtype",         dtype),
      ("use_cache",           true),
      ("vocab_size",          .int(sizes.vocabulary)),
    ]
    configuration = ModelConfiguration(
      config: JSONObject(fields.map { .init(key: $0.0, value: $0.1) }),
      generation: tokens.generation,
      decisions: [
        Decision("family", "BLOOM", "alibi, and a layernorm after the embedding"),
        AttentionMask.decision(facts), activation.decision,
        Decision("layer_norm_epsilon", .double(1e-5), "that of the norm after the embedding"),
      ] + tokens.decisions)
  }
}

/// A configuration that is read.
extension BloomConfig {
  static let format = ModelFormat(
    title: "BLOOM", modelType: "bloom", className: "BloomForCausalLM", prefix: "transformer.",
    blocks: "h.", embedding: "word_embeddings.weight", head: "lm_head.weight",
    fields: [
      .init("model_type", .text, needed: true), .init("hidden_size", .size, needed: true),
      .init("n_layer", .size, needed: true), .init("n_head", .size, needed: true),
      .init("vocab_size", .size, needed: true), .init("layer_norm_epsilon", .real),
      .init("initializer_range", .real),
      .init("apply_residual_connection_post_layernorm", .truth),
      .init("slow_but_exact", .truth), .init("tie_word_embeddings", .truth),
      .init("use_cache", .truth), .init("bos_token_id", .token), .init("eos_token_id", .token),
    ],
    // `BloomConfig.attribute_map`, and a name of its first releases
    aliases: [
      "num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "n_embed": "hidden_size",
    ],
    functionFields: [
      "hidden_size", "n_head", "n_layer", "vocab_size", "layer_norm_epsilon",
      "apply_residual_connection_post_layernorm", "slow_but_exact", "pretraining_tp",
      "tie_word_embeddings",
    ],
    defaults: JSONObject([
      .init(key: "layer_norm_epsilon", value: 1e-5),
      .init(key: "apply_residual_connection_post_layernorm", value: false),
      .init(key: "slow_but_exact", value: false), .init(key: "pretraining_tp", value: 1),
      .init(key: "tie_word_embeddings", value: true),
    ]))

  static func sizes(_ config: JSONObject) -> ModelSizes? {
    guard let layers = config["n_layer"]?.int, let hidden = config["hidden_size"]?.int,
      let rows = config["vocab_size"]?.int, layers > 0, (1...ModelBounds.size).contains(hidden)
    else { return nil }
    let heads = config["n_head"]?.int ?? 1
    return ModelSizes(
      layers: layers, hidden: hidden, heads: heads > 0 && hidden.isMultiple(of: heads) ? heads : 1,
      feedForward: 4 * hidden, positions: config["seq_length"]?.int ?? 2048, vocabulary: rows)
  }
}
