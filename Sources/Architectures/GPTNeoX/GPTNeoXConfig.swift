import Diagnostics
import JSON

/// The configuration of a rotary GPT (transformers `models/gpt_neox/configuration_gpt_neox.py`).
/// The class takes a parallel residual and a quarter of each head by default; everything is said.
struct GPTNeoXConfig {
  let configuration: ModelConfiguration

  /// Works out the settings.
  ///
  /// - Throws: `Failure` 78 for an argument of the wrong type, or one that contradicts another.
  init(
    _ residual: GPTNeoX.Residual, _ facts: any ModelFacts, _ output: ModelOutput
  ) throws(Failure) {
    let arguments = facts.arguments
    guard !facts.isNamedByNeoX || RotaryPositions.isRotary(arguments) else {
      throw Failure(
        .argumentsSettings,
        "GPT-NeoX keeps its settings in a file of YAML, and none is beside the checkpoint",
        file: facts.folderName, hint: "give the run's own with --config FILE")
    }
    let rotary = try RotaryPositions(facts)
    let tokens = try SpecialTokens(
      facts, vocabulary: output.sizes.vocabulary, given: output.tokens)
    let activation = try GPT2Activation(arguments, isCore: facts.isNamedByCore)
    let part = try GPTNeoXConfig.part(facts, headSize: output.sizes.headSize)
    let epsilon = try LlamaConfig.epsilon(arguments, "layer_norm_eps", isRMS: false)
    var offset: ArgumentKey?
    for key in [ArgumentKey.applyLayernorm1p, .layernormZeroCenteredGamma]
    where try arguments.bool(key) == true {
      offset = key
    }
    let sizes = output.sizes
    let dtype = JSONValue.string(output.dtype)
    // swift-format-ignore
    let fields: [(String, JSONValue)] = [
      ("architectures",           ["GPTNeoXForCausalLM"]),
      ("attention_bias",          true),
      ("attention_dropout",       .double(try arguments.double(.attentionDropout) ?? 0)),
      ("bos_token_id",            tokens.bos.map { .int($0) } ?? .null),
      ("classifier_dropout",      0.1),
      ("dtype",                   dtype),
      ("eos_token_id",            tokens.eos.map { .int($0) } ?? .null),
      ("hidden_act",              .string(activation.name)),
      ("hidden_dropout",          .double(try arguments.double(.hiddenDropout) ?? 0)),
      ("hidden_size",             .int(sizes.hidden)),
      ("initializer_range",       .double(try arguments.double(.initMethodStd) ?? 0.02)),
      ("intermediate_size",       .int(sizes.feedForward)),
      ("layer_norm_eps",          .double(epsilon.value)),
      ("max_position_embeddings", .int(sizes.positions)),
      ("model_type",              .string(GPTNeoXConfig.format.modelType)),
      ("num_attention_heads",     .int(sizes.heads)),
      ("num_hidden_layers",       .int(sizes.layers)),
      ("pad_token_id",            .null),
      // transformers 5 reads the first, 4 the other two.
      ("rope_parameters",         rotary.parameters(part: part.value)),
      ("rotary_emb_base",         .double(rotary.base)),
      ("rotary_pct",              .double(part.value)),
      ("tie_word_embeddings",     .bool(output.isTied)),
      ("torch_dtype",             dtype),
      ("use_cache",               true),
      ("use_parallel_residual",   .bool(residual != .serial)),
      ("vocab_size",              .int(sizes.vocabulary)),
    ]
    var decisions = [
      Decision(
        "family", .string(GPTNeoXConfig.format.title),
        residual == .serial
          ? "rotary positions, LayerNorm, gelu, and attention before the feed-forward layer"
          : "rotary positions, LayerNorm, gelu, and gpt_j_residual"),
      AttentionMask.decision(facts), activation.decision,
    ]
    decisions += rotary.decisions
    decisions += [Decision("rotary_pct", .double(part.value), part.reason), epsilon.decision]
    if let offset {
      decisions.append(
        Decision("layernorm_1p", true, "\(offset) is True: 1 is added to the weights"))
    }
    decisions += tokens.decisions
    configuration = ModelConfiguration(
      config: JSONObject(fields.map { .init(key: $0.0, value: $0.1) }),
      generation: tokens.generation, normAddend: offset == nil ? 0 : 1, decisions: decisions)
  }
}

extension GPTNeoXConfig {
  /// The part of each head that is turned: said, or told by the angles beside the weights.
  ///
  /// - Throws: `Failure` 78 where they contradict each other.
  private static func part(
    _ facts: any ModelFacts, headSize: Int
  ) throws(Failure) -> (value: Double, reason: String) {
    var said: (key: ArgumentKey, value: Double)?
    for key in ["rotary_percent", "rotary_pct"].map({ ArgumentKey($0) }) {
      guard let value = try facts.arguments.double(key) else { continue }
      if let other = said, other.value != value, !facts.isNamedByNeoX {
        throw Failure(
          .argumentsContradiction, "\(other.key) is \(other.value), but \(key) is \(value)",
          hint: "say which with --set \(other.key)=N")
      }
      said = said ?? (key, value)
    }
    if let said, said.value <= 0 || said.value > 1 {
      throw Failure(
        .argumentsContradiction, "\(said.key) is \(said.value)",
        hint: "correct it with --set \(said.key)=1")
    }
    if let channels = facts.rotaryTable?.channels {
      let told = Double(channels) / Double(headSize)
      guard told <= 1, said.map({ Int(Double(headSize) * $0.value) == channels }) ?? true else {
        let reason = said.map { "\($0.key) is \($0.value)" } ?? "no more can be turned"
        throw Failure(
          .argumentsContradiction,
          "the angles beside the weights are for \(channels) channels of a head, which has "
            + "\(headSize), but \(reason)",
          file: facts.folderName)
      }
      if said == nil { return (told, "the angles beside the weights") }
    }
    return said.map { ($0.value, $0.key.name) }
      ?? (1, "there is no rotary_percent: all channels of a head are turned")
  }
}

/// A configuration that is read.
extension GPTNeoXConfig {
  static let format = ModelFormat(
    title: "GPT-NeoX", modelType: "gpt_neox", className: "GPTNeoXForCausalLM",
    prefix: "gpt_neox.", blocks: "layers.", embedding: "embed_in.weight",
    head: "embed_out.weight",
    fields: [
      .init("model_type", .text, needed: true), .init("hidden_size", .size, needed: true),
      .init("num_hidden_layers", .size, needed: true),
      .init("num_attention_heads", .size, needed: true),
      .init("intermediate_size", .size, needed: true), .init("vocab_size", .size, needed: true),
      .init("max_position_embeddings", .size), .init("hidden_act", .activation),
      .init("layer_norm_eps", .real), .init("rotary_pct", .real),
      .init("rotary_emb_base", .real), .init("initializer_range", .real),
      .init("attention_bias", .truth), .init("use_parallel_residual", .truth),
      .init("tie_word_embeddings", .truth), .init("use_cache", .truth),
      .init("bos_token_id", .token), .init("eos_token_id", .token),
    ],
    functionFields: [
      "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
      "hidden_act", "layer_norm_eps", "rotary_pct", "rotary_emb_base", "rope_parameters",
      "attention_bias", "use_parallel_residual", "tie_word_embeddings",
    ],
    defaults: JSONObject([
      .init(key: "hidden_act", value: "gelu"), .init(key: "layer_norm_eps", value: 1e-5),
      .init(key: "rotary_pct", value: 0.25), .init(key: "rotary_emb_base", value: 10000),
      .init(key: "attention_bias", value: true), .init(key: "use_parallel_residual", value: true),
      .init(key: "tie_word_embeddings", value: false),
    ]))

  static func sizes(_ config: JSONObject) -> ModelSizes? {
    guard let layers = config["num_hidden_layers"]?.int, let hidden = config["hidden_size"]?.int,
      let rows = config["vocab_size"]?.int, let inner = config["intermediate_size"]?.int,
      layers > 0, (1...ModelBounds.size).contains(hidden), (1...ModelBounds.size).contains(inner)
    else { return nil }
    let heads = config["num_attention_heads"]?.int ?? 1
    return ModelSizes(
      layers: layers, hidden: hidden, heads: heads > 0 && hidden.isMultiple(of: heads) ? heads : 1,
      feedForward: inner, positions: config["max_position_embeddings"]?.int ?? 2048,
      vocabulary: rows)
  }
}
