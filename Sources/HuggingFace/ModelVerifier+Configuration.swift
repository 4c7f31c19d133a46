import Architectures
import Diagnostics
import JSON

/// The fields of `config.json`.
extension ModelVerifier {
  /// A configuration under the family's own names.
  mutating func resolvingAliases(_ config: JSONObject) -> JSONObject {
    var result = config
    for (alias, name) in architecture.format.aliases.sorted(by: { $0.key < $1.key }) {
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

  private mutating func checkActivation(_ key: String, _ value: JSONValue?) {
    switch value {
    case nil: break
    case .string(let name) where ModelVerifier.activations.contains(name): break
    case let value?:
      fault(
        .configActivation,
        "\(key) is \(JSONWriter.text(value, .compact)), which transformers does not know",
        file: "config.json")
    }
  }

  mutating func checkFields(_ config: JSONObject) {
    for key in config.repeatedKeys {
      fault(.configField, "\(key) occurs twice", file: "config.json")
    }
    for field in architecture.format.fields {
      let key = field.key
      guard let value = config[key], value != .null else {
        if field.isNeeded { fault(.configMissingField, "\(key) is missing", file: "config.json") }
        continue
      }
      let fits: Bool =
        switch (field.kind, value) {
        case (.size, .int(let size)): size > 0
        case (.real, .double), (.truth, .bool), (.text, .string), (.activation, .string): true
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
    for field in architecture.format.fields where field.kind == .activation {
      checkActivation(field.key, config[field.key])
    }
    if let type = config["model_type"]?.string, type != architecture.format.modelType {
      fault(
        .configModelType, "model_type is \(type), not \(architecture.format.modelType)",
        file: "config.json")
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
    for finding in architecture.review(config, hasTensor: { directory[fullName($0)] != nil }) {
      switch finding {
      case .fault(let found):
        fault(found.code, found.message, file: found.file, tensor: found.tensor.map(fullName))
      case .note(let found):
        note(found.code, found.message, file: found.file, tensor: found.tensor.map(fullName))
      }
    }
    let className = architecture.format.className
    if config["architectures"]?.array?.first?.string != className {
      note(
        .configArchitectures, "architectures is not [\"\(className)\"], which llama.cpp needs",
        file: "config.json")
    }
  }
}
