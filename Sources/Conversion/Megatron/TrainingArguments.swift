import Pickle
public import Safetensors

/// The value of one training argument, as plain data.
public enum ArgumentValue: Hashable, Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([ArgumentValue])
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
    case .name(let name): name
    case .member(let type, let value): "\(type)(\(value))"
    case .other(let what): "<\(what)>"
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

  /// No arguments at all.
  public static let absent = TrainingArguments(values: [:], isPresent: false)

  init(values: [String: ArgumentValue], isPresent: Bool = true) {
    self.values = values
    self.isPresent = isPresent
  }

  /// Reads the attributes of a Namespace, or the entries of a plain dictionary.
  init?(_ id: NodeID, in graph: PickleGraph) {
    guard let entries = graph.object(id)?.state.flatMap({ graph.entries($0) }) ?? graph.entries(id)
    else { return nil }
    var values: [String: ArgumentValue] = [:]
    // Real Namespaces have some 350 entries; lists in lists could make much of little.
    var budget = 20_000
    for entry in entries {
      if case .string(let range) = graph[entry.key], range.count <= 256, budget > 0,
        let key = graph.text(entry.key)
      {
        values[key] = ArgumentValue(entry.value, in: graph, budget: &budget)
      }
    }
    self.init(values: values)
  }

  /// Sets values by the user's word.
  public mutating func override(_ values: [String: ArgumentValue]) {
    self.values.merge(values) { $1 }
    userKeys.formUnion(values.keys)
  }

  /// What the user set, sorted by name.
  var userSettings: JSONObject {
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
  public func int(_ key: String) throws(ConversionError) -> Int? {
    switch self[key] {
    case nil: return nil
    case .int(let value): return value
    case let value?: throw wrong(key, value, "an integer")
    }
  }

  /// A number; `nil` when there is none.
  public func double(_ key: String) throws(ConversionError) -> Double? {
    switch self[key] {
    case nil: return nil
    case .int(let value): return Double(value)
    case .double(let value): return value
    case let value?: throw wrong(key, value, "a number")
    }
  }

  /// A truth value; `nil` when there is none. Integers count as Python counts them.
  public func bool(_ key: String) throws(ConversionError) -> Bool? {
    switch self[key] {
    case nil: return nil
    case .bool(let value): return value
    case .int(let value): return value != 0
    case let value?: throw wrong(key, value, "True or False")
    }
  }

  private func wrong(_ key: String, _ value: ArgumentValue, _ expected: String) -> ConversionError {
    ConversionError(
      .undecided, "arguments/type",
      "the argument \(key) is \(value.text); \(expected) was expected",
      hint: "set it with --set \(key)=VALUE")
  }
}

extension ArgumentValue {
  /// The value at `id`; objects that are no plain data become a word about them.
  init(_ id: NodeID, in graph: PickleGraph, depth: Int = 4, budget: inout Int) {
    budget -= 1
    switch graph[id] {
    case .none: self = .none
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .float(let value): self = .double(value)
    case .string(let range):
      budget -= range.count / 64
      self = range.count <= 4096 ? .string(graph.text(id) ?? "") : .other("a long text")
    case .bigInt: self = .other("a large integer")
    case .bytes: self = .other("bytes")
    case .global: self = .name(graph.global(id)?.description ?? "")
    case .list, .tuple, .set:
      let items = graph.items(id) ?? []
      guard depth > 0, items.count <= 64, budget > 0 else {
        self = .other("\(items.count) values")
        return
      }
      var values: [ArgumentValue] = []
      for item in items {
        values.append(ArgumentValue(item, in: graph, depth: depth - 1, budget: &budget))
      }
      self = .list(values)
    case .dict: self = .other("a dictionary")
    case .persistent: self = .other("a storage")
    case .object: self = ArgumentValue(object: id, in: graph)
    }
  }

  /// Enumerations are pickled as a call of their class with the value, or, by some versions of
  /// Python, as `getattr(class, name)`.
  private init(object id: NodeID, in graph: PickleGraph) {
    guard let object = graph.object(id), let callable = graph.global(object.callable),
      let arguments = graph.tuple(object.arguments)
    else {
      self = .other("an object")
      return
    }
    if callable.name == "scalar", callable.module.hasPrefix("numpy."),
      let value = ArgumentValue(numpyScalar: arguments, in: graph)
    {
      self = value
    } else if callable.name == "getattr", arguments.count == 2,
      let type = graph.global(arguments[0]),
      let name = graph.text(arguments[1])
    {
      self = .member(type: type.name, value: name)
    } else if arguments.count == 1, object.state == nil, let value = graph.int(arguments[0]) {
      self = .member(type: callable.name, value: "\(value)")
    } else if arguments.count == 1, object.state == nil, let value = graph.text(arguments[0]) {
      self = .member(type: callable.name, value: value)
    } else {
      self = .other(callable.description)
    }
  }

  /// A scalar of numpy: a dtype such as `<i8`, and its bytes.
  private init?(numpyScalar arguments: [NodeID], in graph: PickleGraph) {
    guard arguments.count == 2, let dtype = graph.object(arguments[0]),
      let code = graph.tuple(dtype.arguments)?.first.flatMap({ graph.text($0) }),
      case .bytes(let range) = graph[arguments[1]], range.count <= 8
    else { return nil }
    let order = dtype.state.flatMap { graph.tuple($0) }.flatMap { state in
      state.count > 1 ? graph.text(state[1]) : nil
    }
    let bytes = order == ">" ? graph.bytes(range).reversed() : Array(graph.bytes(range))
    let bits = bytes.enumerated().reduce(UInt64(0)) {
      $0 | UInt64($1.element) << UInt64(8 * $1.offset)
    }
    switch (code, bytes.count) {
    case ("b1", 1): self = .bool(bits != 0)
    case ("i1", 1): self = .int(Int(Int8(truncatingIfNeeded: bits)))
    case ("i2", 2): self = .int(Int(Int16(truncatingIfNeeded: bits)))
    case ("i4", 4): self = .int(Int(Int32(truncatingIfNeeded: bits)))
    case ("i8", 8): self = .int(Int(truncatingIfNeeded: bits))
    case ("u1", 1), ("u2", 2), ("u4", 4): self = .int(Int(bits))
    case ("f4", 4): self = .double(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
    case ("f8", 8): self = .double(Double(bitPattern: bits))
    default: return nil
    }
  }

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
