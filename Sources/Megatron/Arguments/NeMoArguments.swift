import Architectures

/// The settings of a NeMo-1 model (`hyper_parameters` of its Lightning file), under the names that
/// Megatron has for them (NeMo `nlp/modules/common/megatron`, `nlp/models/language_modeling/conf`).
///
/// Most names are the same; those that differ in name or default are in the table here.
enum NeMoArguments {
  static func arguments(_ settings: TrainingArguments) -> TrainingArguments {
    var values = settings.values
    func isTrue(_ key: String, default value: Bool) -> Bool {
      (try? settings.bool(key)) ?? nil ?? value
    }
    func set(_ key: String, _ value: ArgumentValue) {
      if values[key] == nil { values[key] = value }
    }
    if settings.has("bias") { set("add_bias_linear", .bool(isTrue("bias", default: true))) }
    if settings.has("share_embeddings_and_output_weights") {
      set(
        "untie_embeddings_and_output_weights",
        .bool(!isTrue("share_embeddings_and_output_weights", default: true)))
    }
    if let norm = settings["normalization"]?.text.lowercased() {
      if norm == "layernorm1p" { set("apply_layernorm_1p", .bool(true)) }
      if norm.hasPrefix("layernorm") || norm == "low_precision_layernorm" {
        values["normalization"] = .string("LayerNorm")
      }
    }
    // The fused form of gelu is the one with tanh.
    if let activation = settings["activation"]?.text.lowercased() {
      if activation == "gelu" {
        set("openai_gelu", .bool(false))
        set(
          "bias_gelu_fusion",
          .bool(isTrue("bias_activation_fusion", default: true) && isTrue("bias", default: true)))
      } else {
        set("activation_function", .string(activation))
      }
    }
    // The rows of query, key and value have the order of version 3, unless an older model was taken
    // over.
    set("nemo", .bool(true))
    return TrainingArguments(values: values)
  }
}
