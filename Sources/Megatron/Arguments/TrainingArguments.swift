public import Diagnostics
public import JSON
import Pickle
import TorchArchive

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

  /// The value with quotes around texts and the kind of what is none of Python's own numbers, as
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

  /// The value that a text stands for, as in `"4"`, `"1e-5"` or `"True"`; other values are themselves.
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

/// The arguments that a model was trained with: the pickled `argparse.Namespace` of Megatron, and
/// what the user set.
public struct TrainingArguments: Hashable, Sendable {
  /// Where a value comes from.
  public enum Source: Hashable, Sendable {
    case checkpoint, user
  }

  /// Whether the checkpoint has any.
  public private(set) var isPresent: Bool
  public private(set) var values: [String: ArgumentValue]
  private var userKeys: Set<String> = []
  /// What the checkpoint says where the user set something else.
  private(set) var replaced: [String: ArgumentValue] = [:]

  /// No arguments at all.
  public static let absent = TrainingArguments(values: [:], isPresent: false)

  init(values: [String: ArgumentValue], isPresent: Bool = true) {
    self.values = values
    self.isPresent = isPresent
  }

  /// Reads what a value holds as attributes or entries: those of a Namespace, of a dictionary, of a
  /// subclass of one (`AttrDict`, `EasyDict`, `defaultdict`), or of OmegaConf's `DictConfig`.
  ///
  /// - Returns: `nil` for a value without names.
  init?(_ id: NodeID, in file: TorchFile) {
    guard let entries = TrainingArguments.entries(of: id, in: file.graph) else { return nil }
    let graph = file.graph
    var values: [String: ArgumentValue] = [:]
    // Real Namespaces have some 350 entries; lists in lists could make much of little.
    var budget = 20_000
    for entry in entries {
      if case .string(let range) = graph[entry.key], range.count <= 256, budget > 0,
        let key = graph.text(entry.key)
      {
        values[key] = ArgumentValue(entry.value, in: file, budget: &budget)
      }
    }
    self.init(values: values)
  }

  private static func entries(of id: NodeID, in graph: PickleGraph) -> [PickleEntry]? {
    if let entries = graph.entries(id) { return entries }
    guard let object = graph.object(id) else { return nil }
    var entries: [PickleEntry] = []
    // dict subclasses may be given their entries at once, as `defaultdict(None, {...})`.
    for argument in graph.tuple(object.arguments) ?? [] { entries += graph.entries(argument) ?? [] }
    if let state = object.state {
      let parts = graph.tuple(state) ?? [state]
      for part in parts {
        if let content = graph.value("_content", in: part) {
          // OmegaConf: each value is a node of its own.
          entries += (graph.entries(content) ?? []).map { entry in
            let inner = graph.object(entry.value)?.state.flatMap { graph.value("_val", in: $0) }
            return PickleEntry(key: entry.key, value: inner ?? entry.value)
          }
        } else {
          entries += graph.entries(part) ?? []
        }
      }
    }
    entries += object.entries
    return entries.isEmpty ? nil : entries
  }

  /// Sets values by the user's word.
  public mutating func override(_ values: [String: ArgumentValue]) {
    for (key, value) in values {
      guard source(of: key) == .checkpoint, let recorded = self[key],
        recorded.literal != value.literal
      else { continue }
      replaced[key] = recorded
    }
    self.values.merge(values) { $1 }
    userKeys.formUnion(values.keys)
  }

  /// What the user set, sorted by name.
  package var userSettings: JSONObject {
    JSONObject(
      userKeys.sorted().map { .init(key: $0, value: values[$0]?.json ?? .null) })
  }

  /// Where the value of `key` comes from.
  public func source(of key: String) -> Source { userKeys.contains(key) ? .user : .checkpoint }

  /// Whether there is a value, be it None.
  public func has(_ key: String) -> Bool { values[key] != nil }

  /// The value of `key`; `nil` when there is none or it is None.
  public subscript(key: String) -> ArgumentValue? {
    guard let value = values[key], value != .none else { return nil }
    return value
  }

  /// An integer; `nil` when there is none.
  public func int(_ key: String) throws(Failure) -> Int? {
    switch self[key] {
    case nil: return nil
    case let value?:
      if value.literal == .none { return nil }
      guard let integer = value.integer else { throw wrong(key, value, "an integer") }
      return integer
    }
  }

  /// A number; `nil` when there is none.
  public func double(_ key: String) throws(Failure) -> Double? {
    switch self[key] {
    case nil: return nil
    case let value?:
      if value.literal == .none { return nil }
      guard let number = value.number else { throw wrong(key, value, "a number") }
      return number
    }
  }

  /// A truth value; `nil` when there is none. Integers count as Python counts them.
  public func bool(_ key: String) throws(Failure) -> Bool? {
    guard let value = self[key] else { return nil }
    switch value.literal {
    case .none: return nil
    case .bool(let value): return value
    case .int(let value): return value != 0
    case .double(let value) where value == 0 || value == 1: return value == 1
    default: throw wrong(key, value, "True or False")
    }
  }

  /// A value that the checkpoint records beside the arguments.
  ///
  /// - Throws: ``Failure`` 78 for a value that is there and is no number.
  static func recorded(
    _ value: ArgumentValue?, as key: String, in file: String
  ) throws(Failure) -> Double? {
    guard let value, value != .none else { return nil }
    guard let number = value.number else {
      throw Failure(
        .argumentsType,
        "the recorded \(key) is \(value.quoted); a number was expected", file: file,
        hint: "set it with --set \(key)=VALUE")
    }
    return number
  }

  private func wrong(_ key: String, _ value: ArgumentValue, _ expected: String) -> Failure {
    Failure(
      .argumentsType,
      "the argument \(key) is \(value.quoted); \(expected) was expected",
      hint: "set it with --set \(key)=VALUE")
  }
}
