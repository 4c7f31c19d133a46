import Diagnostics
import JSON

/// The configuration of a GPT-2 model (transformers `models/gpt2/configuration_gpt2.py`).
struct GPT2Config {
  private let settings: GPT2Settings
  private let output: ModelOutput

  init(_ settings: GPT2Settings, _ output: ModelOutput) {
    self.settings = settings
    self.output = output
  }

  /// `config.json`.
  var json: JSONObject {
    let bos: JSONValue = settings.tokens.bos.map { .int($0) } ?? nil
    let eos: JSONValue = settings.tokens.eos.map { .int($0) } ?? nil
    let dtype = JSONValue.string(output.dtype)
    let sizes = output.sizes
    // swift-format-ignore
    let fields: [(String, JSONValue)] = [
      ("activation_function",             .string(settings.activation.name)),
      ("architectures",                   ["GPT2LMHeadModel"]),
      ("attn_pdrop",                      .double(settings.attentionDropout)),
      ("bos_token_id",                    bos),
      ("dtype",                           dtype),
      ("embd_pdrop",                      .double(settings.hiddenDropout)),
      ("eos_token_id",                    eos),
      ("initializer_range",               .double(settings.initializerRange)),
      ("layer_norm_epsilon",              .double(settings.epsilon)),
      ("model_type",                      "gpt2"),
      // Not a field of transformers any more, but llama.cpp and MLX read it.
      ("n_ctx",                           .int(sizes.positions)),
      ("n_embd",                          .int(sizes.hidden)),
      ("n_head",                          .int(sizes.heads)),
      ("n_inner",                         .int(sizes.feedForward)),
      ("n_layer",                         .int(sizes.layers)),
      ("n_positions",                     .int(sizes.positions)),
      ("reorder_and_upcast_attn",         false),
      ("resid_pdrop",                     .double(settings.hiddenDropout)),
      // Megatron's query-key layer scaling cancels out; this one would not.
      ("scale_attn_by_inverse_layer_idx", false),
      ("scale_attn_weights",              true),
      ("summary_activation",              nil),
      ("summary_first_dropout",           0.1),
      ("summary_proj_to_labels",          true),
      ("summary_type",                    "cls_index"),
      ("summary_use_proj",                true),
      ("tie_word_embeddings",             .bool(output.isTied)),
      ("torch_dtype",                     dtype),
      ("use_cache",                       true),
      ("vocab_size",                      .int(sizes.vocabulary)),
    ]
    return JSONObject(fields.map { JSONObject.Member(key: $0.0, value: $0.1) })
  }
}

/// A configuration that is read.
extension GPT2Config {
  static let format = ModelFormat(
    title: "GPT-2", modelType: "gpt2", className: "GPT2LMHeadModel", prefix: "transformer.",
    blocks: "h.", embedding: "wte.weight", head: "lm_head.weight",
    fields: [
      .init("model_type", .text, needed: true),
      .init("n_embd", .size, needed: true),
      .init("n_layer", .size, needed: true),
      .init("n_head", .size, needed: true),
      .init("n_positions", .size, needed: true),
      .init("vocab_size", .size, needed: true),
      .init("activation_function", .activation),
      .init("layer_norm_epsilon", .real),
      .init("initializer_range", .real),
      .init("n_inner", .size),
      .init("scale_attn_weights", .truth),
      .init("scale_attn_by_inverse_layer_idx", .truth),
      .init("reorder_and_upcast_attn", .truth),
      .init("tie_word_embeddings", .truth),
      .init("use_cache", .truth),
      .init("bos_token_id", .token),
      .init("eos_token_id", .token),
    ],
    // `GPT2Config.attribute_map`
    aliases: [
      "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
      "max_position_embeddings": "n_positions",
    ],
    functionFields: [
      "n_embd", "n_head", "n_layer", "n_positions", "vocab_size", "activation_function",
      "layer_norm_epsilon", "scale_attn_by_inverse_layer_idx", "scale_attn_weights",
      "tie_word_embeddings",
    ],
    defaults: JSONObject([
      .init(key: "activation_function", value: "gelu_new"),
      .init(key: "layer_norm_epsilon", value: 1e-5),
      .init(key: "scale_attn_by_inverse_layer_idx", value: false),
      .init(key: "scale_attn_weights", value: true),
      .init(key: "tie_word_embeddings", value: true),
    ]))

  static func sizes(_ config: JSONObject) -> ModelSizes? {
    guard let layers = config["n_layer"]?.int, let hidden = config["n_embd"]?.int,
      let vocabulary = config["vocab_size"]?.int, let positions = config["n_positions"]?.int,
      layers > 0, (1...ModelBounds.size).contains(hidden)
    else { return nil }
    // Heads that do not divide the hidden size are a fault of their own.
    let heads = config["n_head"]?.int ?? 1
    return ModelSizes(
      layers: layers, hidden: hidden, heads: heads > 0 && hidden.isMultiple(of: heads) ? heads : 1,
      feedForward: config["n_inner"]?.int ?? 4 * hidden, positions: positions,
      vocabulary: vocabulary)
  }

  static func review(
    _ config: JSONObject, hasTensor: (String) -> Bool
  ) -> [ReviewFinding] {
    var findings: [ReviewFinding] = []
    func diagnostic(_ code: Diagnostic.Code, _ message: String) -> Diagnostic {
      Diagnostic(code, message, file: "config.json")
    }
    if let hidden = config["n_embd"]?.int, hidden > ModelBounds.size {
      findings.append(
        .fault(diagnostic(.configField, "no model has a hidden size of \(hidden)")))
    }
    if let width = config["n_embd"]?.int, let heads = config["n_head"]?.int, heads > 0,
      !width.isMultiple(of: heads)
    {
      findings.append(
        .fault(diagnostic(.configHeads, "\(width) cannot be divided into \(heads) heads")))
    }
    // Cross attention adds tensors.
    if config["add_cross_attention"] == true, (config["n_layer"]?.int ?? 0) > 0,
      !hasTensor("h.0.crossattention.c_attn.weight")
    {
      findings.append(
        .fault(
          Diagnostic(
            .outputMissingTensor,
            "add_cross_attention is true, but the tensors of cross attention are missing, and "
              + "transformers would fill them with random numbers",
            tensor: "h.0.crossattention.c_attn.weight")))
    }
    if config["n_ctx"] == nil {
      findings.append(
        .note(diagnostic(.configNCtx, "n_ctx is missing, which llama.cpp and MLX need")))
    } else if let size = config["n_ctx"], size != config["n_positions"] {
      findings.append(
        .note(
          diagnostic(
            .configNCtx,
            "n_ctx, which llama.cpp and MLX read, is \(JSONWriter.text(size, .compact)), but "
              + "n_positions is "
              + (config["n_positions"].map { JSONWriter.text($0, .compact) } ?? "missing"))))
    }
    return findings
  }
}
