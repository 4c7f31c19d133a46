public import Architectures
public import JSON

/// The configuration of a GPT-2 model (transformers `models/gpt2/configuration_gpt2.py`).
public struct GPT2Config: Hashable, Sendable {
  public var sizes: ModelSizes
  /// Whether the head is the embedding.
  public var isTied: Bool
  /// The function of the feed-forward layers, by its name in transformers.
  public var activation: String
  /// What layernorms add to the variance.
  public var epsilon: Double
  public var hiddenDropout: Double
  public var attentionDropout: Double
  public var initializerRange: Double
  /// The ids of the tokens that begin and end a text; `nil` where the tokenizer is not known.
  public var bos: Int?
  public var eos: Int?
  /// The element type, by the name that PyTorch has for it.
  public var dtype: String

  public init(
    sizes: ModelSizes, isTied: Bool, activation: String, epsilon: Double, hiddenDropout: Double,
    attentionDropout: Double, initializerRange: Double, bos: Int?, eos: Int?, dtype: String
  ) {
    self.sizes = sizes
    self.isTied = isTied
    self.activation = activation
    self.epsilon = epsilon
    self.hiddenDropout = hiddenDropout
    self.attentionDropout = attentionDropout
    self.initializerRange = initializerRange
    self.bos = bos
    self.eos = eos
    self.dtype = dtype
  }

  /// `config.json`.
  public var json: JSONValue {
    let bos: JSONValue = bos.map { .int($0) } ?? nil
    let eos: JSONValue = eos.map { .int($0) } ?? nil
    let dtype = JSONValue.string(dtype)
    // swift-format-ignore
    let fields: [(String, JSONValue)] = [
      ("activation_function",             .string(activation)),
      ("architectures",                   ["GPT2LMHeadModel"]),
      ("attn_pdrop",                      .double(attentionDropout)),
      ("bos_token_id",                    bos),
      ("dtype",                           dtype),
      ("embd_pdrop",                      .double(hiddenDropout)),
      ("eos_token_id",                    eos),
      ("initializer_range",               .double(initializerRange)),
      ("layer_norm_epsilon",              .double(epsilon)),
      ("model_type",                      "gpt2"),
      // Not a field of transformers any more, but llama.cpp and MLX read it.
      ("n_ctx",                           .int(sizes.positions)),
      ("n_embd",                          .int(sizes.hidden)),
      ("n_head",                          .int(sizes.heads)),
      ("n_inner",                         .int(sizes.feedForward)),
      ("n_layer",                         .int(sizes.layers)),
      ("n_positions",                     .int(sizes.positions)),
      ("reorder_and_upcast_attn",         false),
      ("resid_pdrop",                     .double(hiddenDropout)),
      // Megatron's query-key layer scaling cancels out; this one would not.
      ("scale_attn_by_inverse_layer_idx", false),
      ("scale_attn_weights",              true),
      ("summary_activation",              nil),
      ("summary_first_dropout",           0.1),
      ("summary_proj_to_labels",          true),
      ("summary_type",                    "cls_index"),
      ("summary_use_proj",                true),
      ("tie_word_embeddings",             .bool(isTied)),
      ("torch_dtype",                     dtype),
      ("use_cache",                       true),
      ("vocab_size",                      .int(sizes.vocabulary)),
    ]
    return .object(JSONObject(fields.map { JSONObject.Member(key: $0.0, value: $0.1) }))
  }

  /// `generation_config.json`.
  public var generation: JSONValue {
    var object = JSONObject()
    if let bos { object["bos_token_id"] = .int(bos) }
    if let eos { object["eos_token_id"] = .int(eos) }
    return .object(object)
  }
}
