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
  public let value: Value
  /// What it was concluded from.
  public let reason: String
  public let basis: Basis
  /// The flag that settles a guess.
  public let hint: String?

  public init(
    _ name: String, _ value: Value, _ reason: String, _ basis: Basis = .fact, hint: String? = nil
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
    case .bool(let value): "\(value)"
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let text): text
    }
  }

  /// What is said of a guess; `nil` for a fact.
  public var warning: Diagnostic? {
    guard basis == .guess else { return nil }
    return Diagnostic(
      Decision.codes[name] ?? .decisionGuess,
      "\(name) is taken to be \(text): \(reason)" + (hint.map { "; \($0)" } ?? ""))
  }

  private static let codes: [String: Diagnostic.Code] = [
    "activation_function": .argumentsActivation, "layer_norm_epsilon": .argumentsEpsilon,
    "qkv_layout": .qkvGuess,
  ]
}

extension Decision {
  /// What can be decided: a value of `config.json`, or of a flag.
  public enum Value: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral
  {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)

    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
  }
}
