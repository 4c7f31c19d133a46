/// Reads a pickle of protocols 0 to 5 as plain data: nothing that it names is imported, called or
/// run.
///
/// ```swift
/// let root = try Pickle.load(bytes)
/// let hidden = root["args"]?["hidden_size"]?.int
/// ```
///
/// - Parameters:
///   - bytes: The pickle; what follows its end is left alone.
///   - limits: How much it may make the reader do.
/// - Returns: The value that the pickle builds.
/// - Throws: ``PickleError`` for anything that is not a whole pickle.
public func load(
  _ bytes: [UInt8], limits: PickleLimits = PickleLimits()
) throws(PickleError) -> PickleValue {
  PickleValue(try PickleMachine.load(bytes, limits: limits))
}

/// A value of a pickle, and the way to what it holds.
public struct PickleValue: Sendable {
  /// All values of the pickle, which share it: a copy of the value copies none of them.
  public let graph: PickleGraph
  /// The position of the value in ``graph``.
  public let id: NodeID

  /// The value that a pickle builds.
  public init(_ graph: PickleGraph) {
    self.init(graph.root, of: graph)
  }

  /// Some value of a pickle.
  public init(_ id: NodeID, of graph: PickleGraph) {
    self.graph = graph
    self.id = id
  }

  /// The value under a text key of a dictionary, or an attribute or item of an object.
  public subscript(key: String) -> PickleValue? {
    if graph.entries(id) != nil { return at(graph.value(key, in: id)) }
    guard let object = graph.object(id) else { return nil }
    if let state = object.state, let found = graph.value(key, in: state) { return at(found) }
    return at(object.entries.first { graph.text($0.key) == key }?.value)
  }

  /// An element of a list, a tuple or a set; `nil` outside of it.
  public subscript(position: Int) -> PickleValue? {
    guard let items = graph.items(id), items.indices.contains(position) else { return nil }
    return at(items[position])
  }

  private func at(_ id: NodeID?) -> PickleValue? { id.map { PickleValue($0, of: graph) } }

  /// Whether it is `None`.
  public var isNone: Bool { graph[id] == .none }

  /// An integer that fits into 64 bits. Booleans are not integers.
  public var int: Int? { graph.int(id) }

  /// A number; integers are widened.
  public var double: Double? {
    if case .float(let value) = graph[id] { value } else { int.map { Double($0) } }
  }

  /// A boolean; `nil` for anything else, integers included.
  public var bool: Bool? { graph.bool(id) }

  /// A text; parts that are not Unicode are shown as U+FFFD.
  public var string: String? { graph.text(id) }

  /// The elements of a list, a tuple or a set.
  public var items: [PickleValue]? {
    graph.items(id).map { $0.map { PickleValue($0, of: graph) } }
  }

  /// The entries of a dictionary, or the attributes of an object, in their order.
  public var entries: [(key: PickleValue, value: PickleValue)]? {
    let found = graph.entries(id) ?? graph.object(id)?.state.flatMap { graph.entries($0) }
    return found.map { entries in
      entries.map { (PickleValue($0.key, of: graph), PickleValue($0.value, of: graph)) }
    }
  }

  /// The class of an object.
  public var className: GlobalName? { graph.className(id) }
}
