import Diagnostics
import JSON

/// The configuration of a Llama-type model (transformers `models/llama/configuration_llama.py`,
/// `models/qwen2`, `models/qwen3`). What those classes take by default is not what Megatron does,
/// so everything is said.
struct LlamaConfig {
  let configuration: ModelConfiguration

  /// Works out the settings.
  ///
  /// - Throws: `Failure` 78 for an argument of the wrong type, or one that contradicts another.
  init(_ kind: Llama.Kind, _ facts: any ModelFacts, _ output: ModelOutput) throws(Failure) {
    let arguments = facts.arguments
    let rotary = try RotaryPositions(facts)
    let tokens = try SpecialTokens(
      facts, vocabulary: output.sizes.vocabulary, given: output.tokens)
    let epsilon = try LlamaConfig.epsilon(arguments, "rms_norm_eps")
    if let channels = facts.rotaryTable?.channels, channels != output.sizes.headSize {
      throw Failure(
        .model("partial-rotary"),
        "the angles beside the weights are for \(channels) channels of a head, which has "
          + "\(output.sizes.headSize)", file: facts.folderName)
    }
    var offset: ArgumentKey?
    for key in [ArgumentKey.applyLayernorm1p, .layernormZeroCenteredGamma]
    where try arguments.bool(key) == true {
      offset = key
    }
    let dropout = try arguments.double(.attentionDropout) ?? 0
    let deviation = try arguments.double(.initMethodStd) ?? 0.02
    let sizes = output.sizes
    let bos: JSONValue = tokens.bos.map { .int($0) } ?? nil
    let eos: JSONValue = tokens.eos.map { .int($0) } ?? nil
    let dtype = JSONValue.string(output.dtype)
    let format = LlamaConfig.format(kind)
    let hasBias =
      facts.has("layers.0.self_attention.query_key_value.bias")
      || facts.has("layers.0.self_attention.query.bias")
    let hasInnerBias = facts.has("layers.0.mlp.dense_h_to_4h.bias")
    // swift-format-ignore
    var fields: [(String, JSONValue?)] = [
      ("architectures",           [.string(format.className)]),
      ("attention_bias",          kind == .qwen2 ? nil : .bool(hasBias)),
      ("attention_dropout",       .double(dropout)),
      ("bos_token_id",            bos),
      ("dtype",                   dtype),
      ("eos_token_id",            eos),
      // Qwen2's class has no such field, and its code takes it all the same.
      ("head_dim",                kind == .qwen2 && sizes.headSize * sizes.heads == sizes.hidden
                                    ? nil : .int(sizes.headSize)),
      ("hidden_act",              .string("silu")),
      ("hidden_size",             .int(sizes.hidden)),
      ("initializer_range",       .double(deviation)),
      ("intermediate_size",       .int(sizes.feedForward)),
      ("max_position_embeddings", .int(sizes.positions)),
      ("mlp_bias",                kind == .llama ? .bool(hasInnerBias) : nil),
      ("model_type",              .string(format.modelType)),
      ("num_attention_heads",     .int(sizes.heads)),
      ("num_hidden_layers",       .int(sizes.layers)),
      ("num_key_value_heads",     .int(sizes.keyValueHeads)),
      ("pad_token_id",            .null),
      // Releases from 4.31 on would split the products otherwise.
      ("pretraining_tp",          kind == .llama ? 1 : nil),
      ("rms_norm_eps",            .double(epsilon.value)),
      ("rope_parameters",         rotary.parameters),
      ("rope_scaling",            rotary.scalingParameters),
      ("rope_theta",              .double(rotary.base)),
      ("tie_word_embeddings",     .bool(output.isTied)),
      ("torch_dtype",             dtype),
      ("use_cache",               true),
      ("use_sliding_window",      kind == .llama ? nil : false),
      ("vocab_size",              .int(sizes.vocabulary)),
    ]
    fields.removeAll { $0.1 == nil }
    var decisions = [
      Decision("family", .string(format.title), LlamaConfig.evidence(kind)),
      AttentionMask.decision(facts), rotary.decisions[0],
    ]
    decisions += rotary.decisions.dropFirst()
    decisions += [epsilon.decision]
    if sizes.keyValueHeads != sizes.heads {
      decisions.append(
        Decision(
          "num_key_value_heads", .int(sizes.keyValueHeads),
          "\(sizes.queriesPerGroup) heads of queries share one of keys and values"))
    }
    if let offset {
      decisions.append(
        Decision("layernorm_1p", true, "\(offset) is True: 1 is added to the weights"))
    }
    decisions += tokens.decisions
    configuration = ModelConfiguration(
      config: JSONObject(
        fields.compactMap { key, value in value.map { .init(key: key, value: $0) } }),
      generation: tokens.generation, normAddend: offset == nil ? 0 : 1, decisions: decisions)
  }

  private static func evidence(_ kind: Llama.Kind) -> String {
    let mark =
      switch kind {
      case .llama: "with all biases or none"
      case .qwen2: "with biases of queries, keys and values alone"
      case .qwen3: "with norms of queries and keys"
      }
    return "rotary positions, RMSNorm and swiglu, \(mark)"
  }

  /// The addend of the variance in norms, under the name that the family has for it.
  static func epsilon(
    _ arguments: TrainingArguments, _ name: String, isRMS: Bool = true
  ) throws(Failure) -> (value: Double, decision: Decision) {
    var found: (key: ArgumentKey, value: Double)?
    // The user's word before the checkpoint's, that before a record's.
    let keys =
      [ArgumentKey.layernormEpsilon, .normEpsilon]
      + (isRMS ? [ArgumentKey("rms_norm_epsilon")] : [])
    let sources: [TrainingArguments.Source] = [.user, .checkpoint, .record]
    for key in sources.flatMap({ source in keys.filter { arguments.source(of: $0) == source } }) {
      guard let value = try arguments.double(key) else { continue }
      if let other = found, other.value != value, arguments.source(of: other.key) != .user {
        throw Failure(
          .argumentsContradiction, "\(other.key) is \(other.value), but \(key) is \(value)",
          hint: "say which with --set \(other.key)=N")
      }
      found = found ?? (key, value)
    }
    guard let (key, value) = found else {
      return (
        1e-5,
        Decision(
          name, .double(1e-5),
          "there is no layernorm_epsilon; it is the default of all trainers",
          .guess, hint: "--set layernorm_epsilon=N settles it")
      )
    }
    guard value > 0, value < 1 else {
      throw Failure(
        .argumentsContradiction, "a norm epsilon of \(value) makes no sense",
        hint: "correct it with --set \(key)=1e-5")
    }
    let reason = arguments.source(of: key) == .user ? "given by --set \(key)" : "\(key)"
    return (value, Decision(name, .double(value), reason))
  }
}

/// A configuration that is read.
extension LlamaConfig {
  static func format(_ kind: Llama.Kind) -> ModelFormat {
    let (title, className) =
      switch kind {
      case .llama: ("Llama", "LlamaForCausalLM")
      case .qwen2: ("Qwen2", "Qwen2ForCausalLM")
      case .qwen3: ("Qwen3", "Qwen3ForCausalLM")
      }
    return ModelFormat(
      title: title, modelType: kind.rawValue, className: className, prefix: "model.",
      blocks: "layers.", embedding: "embed_tokens.weight", head: "lm_head.weight",
      fields: [
        .init("model_type", .text, needed: true),
        .init("hidden_size", .size, needed: true),
        .init("num_hidden_layers", .size, needed: true),
        .init("num_attention_heads", .size, needed: true),
        .init("intermediate_size", .size, needed: true),
        .init("vocab_size", .size, needed: true),
        .init("max_position_embeddings", .size),
        .init("num_key_value_heads", .size),
        .init("head_dim", .size),
        .init("hidden_act", .activation),
        .init("rms_norm_eps", .real),
        .init("rope_theta", .real),
        .init("initializer_range", .real),
        .init("attention_bias", .truth),
        .init("mlp_bias", .truth),
        .init("use_sliding_window", .truth),
        .init("tie_word_embeddings", .truth),
        .init("use_cache", .truth),
        .init("bos_token_id", .token),
        .init("eos_token_id", .token),
      ],
      functionFields: [
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "intermediate_size", "vocab_size", "hidden_act", "rms_norm_eps", "rope_theta",
        "rope_parameters", "rope_scaling", "attention_bias", "mlp_bias", "use_sliding_window",
        "tie_word_embeddings",
      ],
      defaults: JSONObject([
        .init(key: "hidden_act", value: "silu"), .init(key: "rms_norm_eps", value: 1e-6),
        .init(key: "tie_word_embeddings", value: false),
        .init(key: "attention_bias", value: false), .init(key: "mlp_bias", value: false),
        .init(key: "use_sliding_window", value: false),
      ]))
  }

  static func sizes(_ config: JSONObject) -> ModelSizes? {
    guard let layers = config["num_hidden_layers"]?.int, let hidden = config["hidden_size"]?.int,
      let heads = config["num_attention_heads"]?.int, let rows = config["vocab_size"]?.int,
      let inner = config["intermediate_size"]?.int, (1...ModelBounds.count).contains(layers),
      (1...ModelBounds.count).contains(heads),
      (1...ModelBounds.size).contains(hidden), (1...ModelBounds.size).contains(inner)
    else { return nil }
    let groups = config["num_key_value_heads"]?.int ?? heads
    guard (0...heads).contains(groups),
      (1...ModelBounds.count).contains(config["head_dim"]?.int ?? 1)
    else { return nil }
    return ModelSizes(
      layers: layers, hidden: hidden, heads: heads, keyValueHeads: groups > 0 ? groups : heads,
      headSize: config["head_dim"]?.int, feedForward: inner,
      positions: config["max_position_embeddings"]?.int ?? 2048, vocabulary: rows)
  }
}
