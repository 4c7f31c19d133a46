public import Safetensors

/// `config.json` and `generation_config.json` of a converted model
/// (transformers `models/gpt2/configuration_gpt2.py`).
public struct GPT2Config: Hashable, Sendable {
  public let config: JSONValue
  public let generation: JSONValue

  /// Fills the fields from the plan and the training arguments.
  ///
  /// - Parameters:
  ///   - plan: The plan of the conversion.
  ///   - arguments: What the model was trained with.
  ///   - endOfText: The id of the tokenizer's end-of-text token, when a tokenizer was given.
  /// - Throws: ``ConversionError`` 78 for an argument of the wrong type.
  init(
    _ plan: ConversionPlan, arguments: TrainingArguments, endOfText: Int?
  ) throws(ConversionError) {
    let geometry = plan.geometry
    // The stock tokenizer's id, unless the vocabulary is too small to have it.
    let token: JSONValue =
      endOfText.map { .int($0) } ?? (plan.vocabulary > 50256 ? 50256 : nil)
    let hiddenDropout = try arguments.double("hidden_dropout") ?? 0.1
    let epsilon = try arguments.double("layernorm_epsilon")
    let normEpsilon = try arguments.double("norm_epsilon")
    let attentionDropout = try arguments.double("attention_dropout")
    let initializerRange = try arguments.double("init_method_std")
    let dtype = JSONValue.string(plan.format.torchName)
    // swift-format-ignore
    let fields: [(String, JSONValue)] = [
      ("activation_function",             .string(plan.activation.name)),
      ("architectures",                   ["GPT2LMHeadModel"]),
      ("attn_pdrop",                      .double(attentionDropout ?? 0.1)),
      ("bos_token_id",                    token),
      ("dtype",                           dtype),
      ("embd_pdrop",                      .double(hiddenDropout)),
      ("eos_token_id",                    token),
      ("initializer_range",               .double(initializerRange ?? 0.02)),
      ("layer_norm_epsilon",              .double(epsilon ?? normEpsilon ?? 1e-5)),
      ("model_type",                      "gpt2"),
      // Not a field of transformers any more, but llama.cpp and MLX read it.
      ("n_ctx",                           .int(geometry.positions)),
      ("n_embd",                          .int(geometry.hidden)),
      ("n_head",                          .int(geometry.heads)),
      ("n_inner",                         .int(geometry.feedForward)),
      ("n_layer",                         .int(geometry.layers)),
      ("n_positions",                     .int(geometry.positions)),
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
      ("tie_word_embeddings",             .bool(!geometry.isUntied)),
      ("torch_dtype",                     dtype),
      ("use_cache",                       true),
      ("vocab_size",                      .int(plan.vocabulary)),
    ]
    config = .object(JSONObject(fields.map { JSONObject.Member(key: $0.0, value: $0.1) }))
    generation =
      token == .null ? [:] : ["bos_token_id": token, "eos_token_id": token]
  }
}
