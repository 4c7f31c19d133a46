public import Diagnostics
package import JSON

/// The arguments that a model was trained with: the pickled `argparse.Namespace` of Megatron, and
/// what the user set.
public struct TrainingArguments: Hashable, Sendable {
  /// Where a value comes from.
  public enum Source: Hashable, Sendable {
    case checkpoint, user
    /// A record of the run besides the checkpoint.
    case record
  }

  /// Whether the checkpoint has any.
  public private(set) var isPresent: Bool
  public private(set) var values: [String: ArgumentValue]
  private var userKeys: Set<String> = []
  private var recordKeys: Set<String> = []
  /// What the checkpoint says where the user set something else.
  public private(set) var replaced: [String: ArgumentValue] = [:]

  /// No arguments at all.
  public static let absent = TrainingArguments(values: [:], isPresent: false)

  public init(values: [String: ArgumentValue], isPresent: Bool = true) {
    self.values = values
    self.isPresent = isPresent
  }

  /// Sets values by the user's word.
  public mutating func override(_ values: [String: ArgumentValue]) {
    for (key, value) in values {
      guard source(of: ArgumentKey(key)) == .checkpoint, let recorded = self[ArgumentKey(key)],
        recorded.literal != value.literal
      else { continue }
      replaced[key] = recorded
    }
    self.values.merge(values) { $1 }
    userKeys.formUnion(values.keys)
  }

  /// Fills in values that the checkpoint does not have, by a record of its run.
  public mutating func fill(_ values: [String: ArgumentValue]) {
    for (key, value) in values where self.values[key] == nil {
      self.values[key] = value
      recordKeys.insert(key)
    }
  }

  /// Adds values that belong to the checkpoint as its arguments do, where it has none.
  ///
  /// - Parameters:
  ///   - values: The values.
  ///   - names: What is taken away.
  package mutating func complete(_ values: [String: ArgumentValue], without names: [String] = []) {
    self.values.merge(values) { old, _ in old }
    for name in names { self.values[name] = nil }
    isPresent = isPresent || !values.isEmpty
  }

  /// What the user set, sorted by name.
  package var userSettings: JSONObject {
    JSONObject(
      userKeys.sorted().map { .init(key: $0, value: values[$0]?.json ?? .null) })
  }

  /// Where the value of `key` comes from.
  public func source(of key: ArgumentKey) -> Source {
    userKeys.contains(key.name) ? .user : recordKeys.contains(key.name) ? .record : .checkpoint
  }

  /// Whether there is a value, be it None.
  public func has(_ key: ArgumentKey) -> Bool { values[key.name] != nil }

  /// The value of `key`; `nil` when it is missing or None.
  public subscript(key: ArgumentKey) -> ArgumentValue? {
    guard let value = values[key.name], value != .none else { return nil }
    return value
  }

  /// An integer; `nil` when it is missing.
  public func int(_ key: ArgumentKey) throws(Failure) -> Int? {
    switch self[key] {
    case nil: return nil
    case let value?:
      if value.literal == .none { return nil }
      guard let integer = value.integer else { throw wrong(key, value, "an integer") }
      return integer
    }
  }

  /// A number; `nil` when it is missing.
  public func double(_ key: ArgumentKey) throws(Failure) -> Double? {
    switch self[key] {
    case nil: return nil
    case let value?:
      if value.literal == .none { return nil }
      guard let number = value.number else { throw wrong(key, value, "a number") }
      return number
    }
  }

  /// A truth value; `nil` when it is missing. Integers count as Python counts them.
  public func bool(_ key: ArgumentKey) throws(Failure) -> Bool? {
    guard let value = self[key] else { return nil }
    switch value.literal {
    case .none: return nil
    case .bool(let value): return value
    case .int(let value): return value != 0
    case .double(let value) where value == 0 || value == 1: return value == 1
    default: throw wrong(key, value, "True or False")
    }
  }

  /// A value that the checkpoint records next to the arguments.
  ///
  /// - Throws: `Failure` 78 for a value that is not a number.
  package static func recorded(
    _ value: ArgumentValue?, as key: ArgumentKey, in file: String
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

  private func wrong(_ key: ArgumentKey, _ value: ArgumentValue, _ expected: String) -> Failure {
    Failure(
      .argumentsType,
      "the argument \(key) is \(value.quoted); \(expected) was expected",
      hint: "set it with --set \(key)=VALUE")
  }
}
