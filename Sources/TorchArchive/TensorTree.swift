public import Pickle

/// A tensor with its place in the tree of objects.
public struct NamedTensor: Hashable, Sendable {
  /// One step on the way from the root of a file to a tensor.
  public enum Step: Hashable, Sendable {
    /// A text key of a dictionary, or the name of an attribute.
    case key(String)
    /// A position in a list or tuple, or an integer key of a dictionary.
    case index(Int)
    /// A key of any other kind, or what an object holds next to items and attributes: `args`,
    /// `state`.
    case other(String)

    /// The step as a part of a name.
    public var text: String {
      switch self {
      case .key(let text), .other(let text): text
      case .index(let index): "\(index)"
      }
    }
  }

  /// Keys, positions in lists, and attributes, from the root on, joined by dots; the root itself is
  /// the empty string. Two tensors can have one name, as under the keys `0` and `"0"`.
  public let name: String
  /// The same, step by step, which no two tensors share.
  public let path: [Step]
  /// The value that describes it, for ``TorchFile/tensor(_:)``; several names can lead to one.
  public let node: NodeID
}

extension TorchFile {
  /// All tensors of the file, in the order of the pickle.
  ///
  /// Containers are walked without recursion. A container that holds itself is not entered again,
  /// and how many names there are is counted before the first one is made.
  ///
  /// - Throws: ``TorchFileError`` `limit/expansion` or `limit/depth`.
  public func namedTensors() throws(TorchFileError) -> [NamedTensor] {
    try namedTensors(below: graph.root)
  }

  /// The tensors of a part of the tree, with their paths from there.
  ///
  /// - Throws: ``TorchFileError`` `limit/expansion` or `limit/depth`.
  public func namedTensors(below root: NodeID) throws(TorchFileError) -> [NamedTensor] {
    let counts = try countNames(below: root)
    guard let total = counts[root], total > 0 else { return [] }
    var result: [NamedTensor] = []
    result.reserveCapacity(total)
    var path: [NamedTensor.Step] = []
    var open: [(node: NodeID, children: [TreeEdge], next: Int)] = []
    var entered: Set<NodeID> = []
    if isTensor(root) { return [NamedTensor(name: "", path: [], node: root)] }
    open.append((root, children(of: root), 0))
    entered.insert(root)
    var bytes = 0
    var steps = 0
    while let (node, children, next) = open.last {
      // Containers that hold each other lead to more paths than were counted.
      steps += 1
      guard result.count <= limits.tensorNames, bytes <= 1 << 26, steps <= 64 * limits.tensorNames
      else {
        throw TorchFileError(
          .limitExpansion, "more than \(limits.tensorNames) names for the tensors of the file")
      }
      guard next < children.count else {
        open.removeLast()
        entered.remove(node)
        if !path.isEmpty { path.removeLast() }
        continue
      }
      open[open.count - 1].next += 1
      let edge = children[next]
      if isTensor(edge.child) {
        let whole = path + [edge.step]
        let name = whole.map(\.text).joined(separator: ".")
        bytes += name.utf8.count
        result.append(NamedTensor(name: name, path: whole, node: edge.child))
      } else if counts[edge.child, default: 0] > 0, !entered.contains(edge.child) {
        guard open.count < limits.depth else {
          throw TorchFileError(.limitDepth, "more than \(limits.depth) containers in each other")
        }
        path.append(edge.step)
        entered.insert(edge.child)
        open.append((edge.child, self.children(of: edge.child), 0))
      }
    }
    return result
  }

  /// How many names of tensors each container leads to. A container is visited once, however many
  /// ways lead to it, so that the time is linear even if the number of names is exponential.
  private func countNames(below root: NodeID) throws(TorchFileError) -> [NodeID: Int] {
    var counts: [NodeID: Int] = [:]
    var open: [(node: NodeID, children: [TreeEdge], next: Int, sum: Int)] = []
    func enter(_ node: NodeID) {
      counts[node] = 0
      open.append((node, children(of: node), 0, 0))
    }
    if isTensor(root) { return [root: 1] }
    enter(root)
    while let (node, children, next, sum) = open.last {
      guard next < children.count else {
        guard sum <= limits.tensorNames else {
          throw TorchFileError(
            .limitExpansion, "more than \(limits.tensorNames) names for the tensors of the file")
        }
        counts[node] = sum
        open.removeLast()
        if !open.isEmpty { open[open.count - 1].sum += sum }
        continue
      }
      open[open.count - 1].next += 1
      let child = children[next].child
      if isTensor(child) {
        open[open.count - 1].sum += 1
      } else if let known = counts[child] {
        open[open.count - 1].sum += known
      } else {
        enter(child)
      }
    }
    return counts
  }

  private struct TreeEdge {
    let step: NamedTensor.Step
    let child: NodeID
  }

  /// What a container or an object holds: items, attributes, and what its class was given.
  private func children(of id: NodeID) -> [TreeEdge] {
    if let items = graph.items(id) { return numbered(items) }
    if let entries = graph.entries(id) {
      return entries.map(edge)
    }
    guard let object = graph.object(id) else { return [] }
    var edges = numbered(object.items) + object.entries.map(edge)
    if let state = object.state {
      if let attributes = graph.entries(state) {
        edges += attributes.map(edge)
      } else if let parts = graph.tuple(state),
        parts.allSatisfy({ graph.entries($0) != nil || graph[$0] == .none })
      {
        // Objects with slots: a tuple of two dictionaries of attributes.
        for part in parts { edges += (graph.entries(part) ?? []).map(edge) }
      } else {
        edges.append(TreeEdge(step: .other("state"), child: state))
      }
    }
    edges.append(TreeEdge(step: .other("args"), child: object.arguments))
    return edges
  }

  private func numbered(_ items: [NodeID]) -> [TreeEdge] {
    items.enumerated().map { TreeEdge(step: .index($0.offset), child: $0.element) }
  }

  private func edge(_ entry: PickleEntry) -> TreeEdge {
    let step: NamedTensor.Step =
      switch graph[entry.key] {
      case .string: .key(graph.label(entry.key))
      case .int(let value): .index(value)
      default: .other(graph.label(entry.key))
      }
    return TreeEdge(step: step, child: entry.value)
  }
}

extension TorchFile {
  /// How many references to storages no name leads to: tensors in places that are not looked into,
  /// such as keys, and storages without a tensor.
  ///
  /// - Parameter named: The tensors of the whole file.
  /// - Returns: Their number; linear in the size of the pickle.
  public func hiddenStorages(besides named: [NamedTensor]) -> Int {
    let all = graph.persistentNodes
    guard !all.isEmpty else { return 0 }
    var isSeen = [Bool](repeating: false, count: graph.nodeCount)
    var open = named.map(\.node)
    while let node = open.popLast() {
      guard !isSeen[graph.position(node)] else { continue }
      isSeen[graph.position(node)] = true
      if let items = graph.items(node) {
        open += items
      } else if let entries = graph.entries(node) {
        open += entries.map(\.value)
      } else if let object = graph.object(node) {
        open.append(object.arguments)
        if let state = object.state { open.append(state) }
      }
    }
    return all.count { !isSeen[graph.position($0)] && isStorage($0) }
  }
}
