import Architectures
import ByteIO
import Diagnostics
import SystemPackage

/// The settings of a GPT-NeoX run, which its checkpoints have in files of YAML: `configs/*.yml` in
/// the folder of a step, or a file beside it (EleutherAI/gpt-neox `megatron/checkpointing.py`).
enum NeoXSettings {
  /// The settings in the files of a folder, merged in the order of their names; `nil` without any.
  ///
  /// - Throws: `Failure` for a file that cannot be read, or settings that contradict each other.
  static func read(beside folder: CheckpointFolder) throws(Failure) -> [String: ArgumentValue]? {
    for place in [folder.path.appending("configs"), folder.path, folder.root] {
      let names = ((try? FileSystem.list(place)) ?? []).map(\.string).filter {
        $0.hasSuffix(".yml") || $0.hasSuffix(".yaml")
      }.sorted()
      guard !names.isEmpty else { continue }
      var values: [String: ArgumentValue] = [:]
      for name in names {
        let found = try SettingsText(place.appending(name)).values
        for (key, value) in found {
          if let other = values[key], other != value {
            throw Failure(
              .argumentsContradiction,
              "\(key) is \(value.quoted), but \(other.quoted) in a file before it",
              file: place.appending(name).string, hint: "say which with --set \(key)=VALUE")
          }
          values[key] = value
        }
      }
      return values
    }
    return nil
  }

  /// The settings under Megatron's names. What a run did not set is as GPT-NeoX has it, not as
  /// Megatron does (EleutherAI/gpt-neox `megatron/neox_arguments/neox_args.py`).
  static func arguments(_ given: [String: ArgumentValue]) -> [String: ArgumentValue] {
    var values = given
    func move(_ theirs: String, _ ours: String, default value: ArgumentValue) {
      let found = given[theirs].flatMap { $0 == .none ? nil : $0 } ?? value
      if values[ours] == nil { values[ours] = found }
    }
    move("pos_emb", "position_embedding_type", default: .string("learned_absolute"))
    if values["position_embedding_type"] == .string("learned") {
      values["position_embedding_type"] = .string("learned_absolute")
    }
    move("norm", "normalization", default: .string("layernorm"))
    move("rotary_pct", "rotary_percent", default: .double(1))
    move("rotary_emb_base", "rotary_base", default: .int(10000))
    move("gpt_j_residual", "gpt_j_residual", default: .bool(false))
    move("gpt_j_tied", "gpt_j_tied", default: .bool(false))
    move("no_weight_tying", "untie_embeddings_and_output_weights", default: .bool(false))
    move("bias_gelu_fusion", "bias_gelu_fusion", default: .bool(false))
    move("openai_gelu", "openai_gelu", default: .bool(false))
    move("hidden_dropout", "hidden_dropout", default: .double(0))
    move("attention_dropout", "attention_dropout", default: .double(0))
    move("init_method_std", "init_method_std", default: .double(0.02))
    let isRMS = values["normalization"]?.text.lowercased() == "rmsnorm"
    move(
      isRMS ? "rms_norm_epsilon" : "layernorm_epsilon", "layernorm_epsilon",
      default: .double(isRMS ? 1e-8 : 1e-5))
    let activation = given["activation"]?.text ?? "gelu"
    if values["swiglu"] == nil { values["swiglu"] = .bool(activation == "swiglu") }
    if activation == "swiglu" { values["activation"] = ArgumentValue.none }
    if values["num_key_value_heads"] == nil, let groups = given["num_kv_heads"], groups != .none {
      values["num_key_value_heads"] = groups
    }
    if values["add_bias_linear"] == nil, isRMS {
      values["add_bias_linear"] = given["use_bias_in_mlp"] ?? .bool(true)
    }
    if values["qk_layernorm"] == nil, let norm = given["use_qk_layernorm"] {
      values["qk_layernorm"] = norm
    }
    return values
  }
}

extension CheckpointBuilder {
  /// Takes the settings of a GPT-NeoX run beside the arguments, which are eight numbers there.
  mutating func adoptNeoXSettings() throws(Failure) {
    guard names == .neox else { return }
    let found = try NeoXSettings.read(beside: folder)
    if let found { arguments.complete(found) }
    guard found != nil || arguments.has(ArgumentKey("pos_emb")) else { return }
    arguments.complete(NeoXSettings.arguments(arguments.values))
    // What Megatron's names mean is settled now.
    if arguments[.activation]?.text == "swiglu" {
      arguments.complete([:], without: [ArgumentKey.activation.name])
    }
  }
}
