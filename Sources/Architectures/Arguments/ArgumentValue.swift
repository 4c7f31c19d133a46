public import JSON

/// The value of one training argument, as plain data.
public enum ArgumentValue: Hashable, Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([ArgumentValue])
  /// A dictionary with text keys.
  case dictionary([String: ArgumentValue])
  /// A class or type by name, such as `torch.float16`.
  case name(String)
  /// A member of an enumeration, by its type and its value or name.
  case member(type: String, value: String)
  /// Anything else, by what it is.
  case other(String)

  /// The value as people write it.
  public var text: String {
    switch self {
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let value): value
    case .list(let values): "[\(values.map(\.text).joined(separator: ", "))]"
    case .dictionary(let values):
      "{"
        + values.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.text)" }
        .joined(separator: ", ") + "}"
    case .name(let name): name
    case .member(let type, let value): "\(type)(\(value))"
    case .other(let what): "<\(what)>"
    }
  }

  /// The value with quotes around texts and the kind of what is not one of Python's own numbers, as
  /// messages show it.
  public var quoted: String {
    switch self {
    case .string(let value): "\"\(value)\" (text)"
    case .name(let name): "\(name) (a class or type)"
    case .member(let type, let value): "\(type)(\(value)) (an enumeration)"
    case .dictionary(let values): "a dictionary of \(values.count)"
    case .list, .other, .none, .bool, .int, .double: text
    }
  }

  /// The value that a text stands for, as in `"4"`, `"1e-5"` or `"True"`; other values are
  /// themselves.
  package var literal: ArgumentValue {
    guard case .string(let text) = self else { return self }
    let trimmed = text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
    let parsed = ArgumentValue(parsing: String(trimmed))
    return parsed == .string(String(trimmed)) ? self : parsed
  }

  /// An integer, be it written as text or as a number without a fraction; `nil` for anything else.
  var integer: Int? {
    switch literal {
    case .int(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// A number, be it written as text; `nil` for anything else.
  package var number: Double? {
    switch literal {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The value for machine-readable output.
  public var json: JSONValue {
    switch self {
    case .none: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .double(let value): .double(value)
    case .list(let values): .array(values.map(\.json))
    case .dictionary(let values):
      .object(
        JSONObject(
          values.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value.json) }))
    case .string, .name, .member, .other: .string(text)
    }
  }
}

extension ArgumentValue {
  /// A value as the user writes it after `--set KEY=`.
  public init(parsing text: String) {
    switch text {
    case "None", "none", "null", "": self = .none
    case "True", "true": self = .bool(true)
    case "False", "false": self = .bool(false)
    default:
      if let value = Int(text) {
        self = .int(value)
      } else if let value = Double(text), value.isFinite {
        self = .double(value)
      } else {
        self = .string(text)
      }
    }
  }

  /// A value of a JSON file; `nil` for objects.
  public init?(_ json: JSONValue) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .double(let value): self = .double(value)
    case .bigInt(let text): self = .other(text)
    case .string(let text): self = .string(text)
    case .array(let values): self = .list(values.compactMap { ArgumentValue($0) })
    case .object: return nil
    }
  }
}
