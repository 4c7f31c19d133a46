import ByteIO

/// Values, and the containers that they are put into.
extension PickleMachine {
  /// Adds a value to the arena.
  mutating func add(_ node: PickleNode) throws(PickleError) -> NodeID {
    guard graph.nodes.count < limits.nodes, let index = Int32(exactly: graph.nodes.count) else {
      throw error(.limitNodes, "more than \(limits.nodes) values")
    }
    graph.nodes.append(node)
    return NodeID(index: index)
  }

  /// Counts a container that is about to be made.
  func countContainer() throws(PickleError) {
    let count = graph.sequences.count + graph.dictionaries.count + graph.objects.count
    guard count < limits.containers else {
      throw error(.limitContainers, "more than \(limits.containers) containers")
    }
  }

  mutating func makeSequence(
    _ items: [NodeID], _ node: (Int) -> PickleNode
  ) throws(PickleError) -> NodeID {
    try countContainer()
    try budget.items.spend(items.count, at: offset)
    graph.sequences.append(items)
    return try add(node(graph.sequences.count - 1))
  }

  mutating func makeDictionary() throws(PickleError) -> NodeID {
    try countContainer()
    graph.dictionaries.append(PickleGraph.Dictionary())
    return try add(.dict(graph.dictionaries.count - 1))
  }

  /// Whether a value was made by one of the functions of PyTorch that make tensors. Those hold
  /// nothing: putting something into them once damaged the memory of PyTorch (CVE-2026-24747).
  func isTensor(_ id: NodeID) -> Bool {
    guard let object = graph.object(id), let name = graph.global(object.callable) else {
      return false
    }
    return name.module.hasPrefix("torch.") && name.name.hasPrefix("_rebuild_")
  }

  mutating func append(_ items: [NodeID], to target: NodeID) throws(PickleError) {
    try budget.items.spend(items.count, at: offset)
    guard !isTensor(target) else { throw error(.type, "APPEND to a tensor") }
    switch graph[target] {
    case .list(let index): graph.sequences[index] += items
    case .object(let index): graph.objects[index].items += items
    default: throw error(.type, "APPEND needs a list")
    }
  }

  mutating func addItems(_ items: [NodeID], to target: NodeID) throws(PickleError) {
    try budget.items.spend(items.count, at: offset)
    guard !isTensor(target) else { throw error(.type, "ADDITEMS to a tensor") }
    switch graph[target] {
    case .set(let index): graph.sequences[index] += items
    case .object(let index): graph.objects[index].items += items
    default: throw error(.type, "ADDITEMS needs a set")
    }
  }

  mutating func setItems(_ target: NodeID, _ items: [NodeID]) throws(PickleError) {
    guard items.count.isMultiple(of: 2) else {
      throw error(.stack, "a key without a value")
    }
    for index in stride(from: 0, to: items.count, by: 2) {
      try setItem(target, items[index], items[index + 1])
    }
    if items.isEmpty, graph.entries(target) == nil, graph.object(target) == nil {
      throw error(.type, "SETITEMS needs a dictionary")
    }
  }

  mutating func setItem(
    _ target: NodeID, _ keyNode: NodeID, _ value: NodeID
  ) throws(PickleError) {
    try budget.items.spend(1, at: offset)
    guard !isTensor(target) else { throw error(.type, "SETITEM on a tensor") }
    switch graph[target] {
    case .dict(let index):
      guard let key = graph.key(keyNode) else {
        throw error(.type, "a container that can change, or a huge one, was used as a key")
      }
      if case .string(let range) = graph[keyNode] {
        try budget.keys.spend(range.count, at: offset)
      }
      if let position = graph.position(of: key, in: graph.dictionaries[index]) {
        graph.dictionaries[index].entries[position].value = value
      } else {
        graph.dictionaries[index].table.append(hash: key.hashValue)
        graph.dictionaries[index].entries.append(PickleEntry(key: keyNode, value: value))
      }
    case .object(let index):
      graph.objects[index].entries.append(PickleEntry(key: keyNode, value: value))
    default: throw error(.type, "SETITEM needs a dictionary")
    }
  }
}
