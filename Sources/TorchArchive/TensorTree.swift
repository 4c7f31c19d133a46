public import Pickle

/// A tensor with its place in the tree of objects.
public struct NamedTensor: Hashable, Sendable {
  /// Keys, positions in lists, and attributes, from the root on, joined by dots; the root itself is
  /// the empty string.
  public let name: String
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
    var path: [String] = []
    var open: [(node: NodeID, children: [TreeEdge], next: Int)] = []
    var entered: Set<NodeID> = []
    if isTensor(root) { return [NamedTensor(name: "", node: root)] }
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
        let name = (path + [edge.name]).joined(separator: ".")
        bytes += name.utf8.count
        result.append(NamedTensor(name: name, node: edge.child))
      } else if counts[edge.child, default: 0] > 0, !entered.contains(edge.child) {
        guard open.count < limits.depth else {
          throw TorchFileError(.limitDepth, "more than \(limits.depth) containers in each other")
        }
        path.append(edge.name)
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
    let name: String
    let child: NodeID
  }

  /// What a container holds. The arguments of an object are not looked into: they are what some
  /// function would have been given, not what is there.
  private func children(of id: NodeID) -> [TreeEdge] {
    if let items = graph.items(id) { return numbered(items) }
    if let entries = graph.entries(id) { return entries.map(edge) }
    guard let object = graph.object(id) else { return [] }
    var edges = numbered(object.items) + object.entries.map(edge)
    if let state = object.state {
      if let attributes = graph.entries(state) {
        edges += attributes.map(edge)
      } else if let parts = graph.tuple(state) {
        // Objects with slots: a tuple of two dictionaries of attributes.
        for part in parts { edges += (graph.entries(part) ?? []).map(edge) }
      }
    }
    return edges
  }

  private func numbered(_ items: [NodeID]) -> [TreeEdge] {
    items.enumerated().map { TreeEdge(name: "\($0.offset)", child: $0.element) }
  }

  private func edge(_ entry: PickleEntry) -> TreeEdge {
    let name: String =
      switch graph[entry.key] {
      case .string: graph.text(entry.key) ?? ""
      case .int, .bigInt: graph.digits(entry.key) ?? "?"
      case .bool(let value): value ? "True" : "False"
      case .none: "None"
      case .float(let value): "\(value)"
      case .bytes(let range): "b'\(String(decoding: graph.bytes(range), as: UTF8.self))'"
      case .tuple:
        "("
          + (graph.items(entry.key) ?? []).map {
            graph.text($0) ?? graph.digits($0) ?? "?"
          }
          .joined(separator: ", ") + ")"
      default: "?"
      }
    return TreeEdge(name: name, child: entry.value)
  }
}
