public import Diagnostics

extension Diagnostic {
  /// The diagnostic for machine-readable output, as far as it says something.
  public var json: JSONValue {
    var object = JSONObject()
    object["code"] = .string(code.name)
    object["message"] = .string(message)
    if let file { object["file"] = .string(file) }
    if let tensor { object["tensor"] = .string(tensor) }
    return .object(object)
  }
}

extension Decision {
  /// The decision for machine-readable output.
  public var json: JSONValue {
    [
      "name": .string(name), "value": JSONValue(value), "reason": .string(reason),
      "basis": .string(basis.rawValue),
    ]
  }
}

extension JSONValue {
  /// What was decided.
  public init(_ value: Decision.Value) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    }
  }
}
