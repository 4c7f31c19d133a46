import Diagnostics
public import JSON
import Safetensors
import Transfer

/// `config.json` and `generation_config.json` of a converted model
/// (transformers `models/gpt2/configuration_gpt2.py`).
public struct GPT2Config: Hashable, Sendable {
  public let config: JSONValue
  public let generation: JSONValue

  /// Fills the fields from a plan.
  init(_ plan: ConversionPlan) {
    let geometry = plan.geometry
    let settings = plan.settings
    let bos: JSONValue = settings.tokens.bos.map { .int($0) } ?? nil
    let eos: JSONValue = settings.tokens.eos.map { .int($0) } ?? nil
    let dtype = JSONValue.string(plan.format.torchName)
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
      ("n_ctx",                           .int(geometry.positions)),
      ("n_embd",                          .int(geometry.hidden)),
      ("n_head",                          .int(geometry.heads)),
      ("n_inner",                         .int(geometry.feedForward)),
      ("n_layer",                         .int(geometry.layers)),
      ("n_positions",                     .int(geometry.positions)),
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
      ("tie_word_embeddings",             .bool(!geometry.isUntied)),
      ("torch_dtype",                     dtype),
      ("use_cache",                       true),
      ("vocab_size",                      .int(plan.vocabulary)),
    ]
    config = .object(JSONObject(fields.map { JSONObject.Member(key: $0.0, value: $0.1) }))
    var generation = JSONObject()
    if bos != .null { generation["bos_token_id"] = bos }
    if eos != .null { generation["eos_token_id"] = eos }
    self.generation = .object(generation)
  }
}
