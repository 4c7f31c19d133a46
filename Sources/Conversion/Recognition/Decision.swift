public import Safetensors

/// Something that a conversion needs and a checkpoint need not say: what is taken, from what it was
/// concluded, and how sure that is. Every result shows the whole list.
public struct Decision: Hashable, Sendable {
  /// How sure a value is.
  public enum Basis: String, Hashable, Sendable {
    /// The checkpoint or the user says so.
    case fact
    /// It was concluded from what is not there, or from a default. A guess warns.
    case guess
  }

  /// What is decided, by the name of its flag or of its field in `config.json`.
  public let name: String
  public let value: JSONValue
  /// What it was concluded from.
  public let reason: String
  public let basis: Basis
  /// The flag that settles a guess.
  public let hint: String?

  public init(
    _ name: String, _ value: JSONValue, _ reason: String, _ basis: Basis = .fact,
    hint: String? = nil
  ) {
    self.name = name
    self.value = value
    self.reason = reason
    self.basis = basis
    self.hint = hint
  }

  /// The value as people write it.
  public var text: String {
    switch value {
    case .null: "none"
    case .string(let text): text
    default: JSONWriter.text(value, .compact)
    }
  }

  /// The decision for machine-readable output.
  public var json: JSONValue {
    [
      "name": .string(name), "value": value, "reason": .string(reason),
      "basis": .string(basis.rawValue),
    ]
  }

  /// What is said of a guess; `nil` for a fact.
  public var warning: ConversionWarning? {
    guard basis == .guess else { return nil }
    return ConversionWarning(
      Decision.codes[name] ?? "decision/guess",
      "\(name) is taken to be \(text): \(reason)" + (hint.map { "; \($0)" } ?? ""))
  }

  private static let codes = [
    "activation_function": "arguments/activation", "layer_norm_epsilon": "arguments/epsilon",
    "qkv_layout": "qkv/guess",
  ]
}
