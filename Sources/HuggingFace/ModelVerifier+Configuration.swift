import Diagnostics
import JSON

/// The fields of `config.json`.
extension ModelVerifier {
  /// The kinds of values that transformers 5 accepts in a field, or that other consumers need.
  private enum FieldType {
    case size, real, truth, text, token
  }

  // swift-format-ignore
  private static let fields: [(key: String, type: FieldType, isNeeded: Bool)] = [
    ("model_type",                      .text,  true),
    ("n_embd",                          .size,  true),
    ("n_layer",                         .size,  true),
    ("n_head",                          .size,  true),
    ("n_positions",                     .size,  true),
    ("vocab_size",                      .size,  true),
    ("activation_function",             .text,  false),
    ("layer_norm_epsilon",              .real,  false),
    ("initializer_range",               .real,  false),
    ("n_inner",                         .size,  false),
    ("scale_attn_weights",              .truth, false),
    ("scale_attn_by_inverse_layer_idx", .truth, false),
    ("reorder_and_upcast_attn",         .truth, false),
    ("tie_word_embeddings",             .truth, false),
    ("use_cache",                       .truth, false),
    ("bos_token_id",                    .token, false),
    ("eos_token_id",                    .token, false),
  ]

  /// The names that transformers takes for those of GPT-2, too (`GPT2Config.attribute_map`).
  private static let aliases = [
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
  ]

  /// A configuration under GPT-2's own names.
  mutating func resolvingAliases(_ config: JSONObject) -> JSONObject {
    var result = config
    for (alias, name) in ModelVerifier.aliases.sorted(by: { $0.key < $1.key }) {
      guard let value = config[alias] else { continue }
      if let own = config[name], own != value {
        fault(
          .configDisagrees,
          "\(name) is \(JSONWriter.text(own, .compact)), but \(alias), which means the same, is "
            + JSONWriter.text(value, .compact), file: "config.json")
      }
      result[name] = value
      if config[name] == nil {
        note(
          .configAlias, "\(name) is given as \(alias), which llama.cpp and MLX do not read",
          file: "config.json")
      }
    }
    return result
  }

  /// The functions that transformers 5 knows (`transformers/activations.py`, `ACT2CLS`).
  private static let activations: Set<String> = [
    "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python",
    "gelu_python_tanh", "gelu_pytorch_tanh", "laplace", "leaky_relu", "linear", "mish",
    "prelu", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh", "xielu",
  ]

  private mutating func checkActivation(_ config: JSONObject) {
    switch config["activation_function"] {
    case nil: break
    case .string(let name) where ModelVerifier.activations.contains(name): break
    case let value?:
      fault(
        .configActivation,
        "activation_function is \(JSONWriter.text(value, .compact)), which transformers does not know",
        file: "config.json")
    }
  }

  mutating func checkFields(_ config: JSONObject) {
    for key in config.repeatedKeys {
      fault(.configField, "\(key) occurs twice", file: "config.json")
    }
    for (key, type, isNeeded) in ModelVerifier.fields {
      guard let value = config[key], value != .null else {
        if isNeeded { fault(.configMissingField, "\(key) is missing", file: "config.json") }
        continue
      }
      let fits: Bool =
        switch (type, value) {
        case (.size, .int(let size)): size > 0
        case (.real, .double), (.truth, .bool), (.text, .string): true
        case (.token, .int), (.token, .array): true
        default: false
        }
      if !fits {
        fault(
          .configType,
          "\(key) is \(JSONWriter.text(value, .compact)), which transformers refuses",
          file: "config.json")
      }
    }
    checkActivation(config)
    if let type = config["model_type"]?.string, type != "gpt2" {
      fault(.configModelType, "model_type is \(type), not gpt2", file: "config.json")
    }
    if let width = config["n_embd"]?.int, let heads = config["n_head"]?.int, heads > 0,
      !width.isMultiple(of: heads)
    {
      fault(.configHeads, "\(width) cannot be divided into \(heads) heads", file: "config.json")
    }
    for key in ["bos_token_id", "eos_token_id"] {
      if let id = config[key]?.int, let rows = config["vocab_size"]?.int, id >= rows || id < 0 {
        fault(.configToken, "\(key) is \(id) of \(rows) tokens", file: "config.json")
      }
    }
    for key in ["dtype", "torch_dtype"] {
      if let name = config[key]?.string, name.hasPrefix("torch.") {
        fault(
          .configDtype, "\(key) is \(name); transformers 5 knows no prefix", file: "config.json")
      }
    }
    if config["n_ctx"] == nil {
      note(.configNCtx, "n_ctx is missing, which llama.cpp and MLX need", file: "config.json")
    } else if let size = config["n_ctx"], size != config["n_positions"] {
      note(
        .configNCtx,
        "n_ctx, which llama.cpp and MLX read, is \(JSONWriter.text(size, .compact)), but n_positions is "
          + (config["n_positions"].map { JSONWriter.text($0, .compact) } ?? "missing"),
        file: "config.json")
    }
    if config["architectures"]?.array?.first?.string != "GPT2LMHeadModel" {
      note(
        .configArchitectures, "architectures is not [\"GPT2LMHeadModel\"], which llama.cpp needs",
        file: "config.json")
    }
  }
}
