import Architectures

/// The settings of a NeMo-1 model (`hyper_parameters` of its Lightning file), under the names that
/// Megatron has for them (NeMo `nlp/modules/common/megatron`, `nlp/models/language_modeling/conf`).
///
/// Most names are the same; those that differ in name or default are in the table here.
enum NeMoArguments {
  static func arguments(_ settings: TrainingArguments) -> TrainingArguments {
    var values = settings.values
    func isTrue(_ key: ArgumentKey, default value: Bool) -> Bool {
      (try? settings.bool(key)) ?? nil ?? value
    }
    func set(_ key: ArgumentKey, _ value: ArgumentValue) {
      if values[key.name] == nil { values[key.name] = value }
    }
    if settings.has(.bias) { set(.addBiasLinear, .bool(isTrue(.bias, default: true))) }
    if settings.has(.shareEmbeddingsAndOutputWeights) {
      set(
        .untieEmbeddingsAndOutputWeights,
        .bool(!isTrue(.shareEmbeddingsAndOutputWeights, default: true)))
    }
    if let norm = settings[.normalization]?.text.lowercased() {
      if norm == "layernorm1p" { set(.applyLayernorm1p, .bool(true)) }
      if norm.hasPrefix("layernorm") || norm == "low_precision_layernorm" {
        values[ArgumentKey.normalization.name] = .string("LayerNorm")
      }
    }
    for (theirs, ours) in [
      ("rotary_percentage", "rotary_percent"),
      ("seq_len_interpolation_factor", "rotary_seq_len_interpolation_factor"),
      ("scale_positional_embedding", "use_rope_scaling"),
    ] {
      if let value = settings[ArgumentKey(theirs)] { set(ArgumentKey(ours), value) }
    }
    if settings.has(.numQueryGroups), settings[.numQueryGroups] != nil {
      set(.groupQueryAttention, .bool(true))
    }
    // The fused form of gelu is the one with tanh.
    if let activation = settings[.activation]?.text.lowercased() {
      if activation == "gelu" {
        set(.openaiGelu, .bool(false))
        set(
          .biasGeluFusion,
          .bool(isTrue(.biasActivationFusion, default: true) && isTrue(.bias, default: true)))
      } else {
        set(.activationFunction, .string(activation))
      }
    }
    // The rows of query, key and value have the order of version 3, unless an older model was taken
    // over.
    set(.nemo, .bool(true))
    return TrainingArguments(values: values)
  }
}
