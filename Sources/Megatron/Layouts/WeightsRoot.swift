import ByteIO
import Diagnostics
import Pickle
import TorchArchive

/// Where the weights are in the file of a rank: `model` or `module`, `model0`, `model1`, ... with a
/// virtual pipeline, or wherever else a program put its state dictionary. It is known by what it
/// holds.
struct WeightsRoot {
  /// The key under which the dictionary lies, for messages; empty for the root of the file.
  let key: String
  let named: [NamedTensor]
  /// What all names begin with before those of the model; empty where they are the model's own.
  let front: String

  init(key: String, named: [NamedTensor]) {
    self.key = key
    self.named = named
    front =
      named.contains { ParameterName.isOfModel($0.name) }
      ? "" : WeightsRoot.front(of: named.map(\.name))
  }

  /// The name of a tensor without what all names begin with.
  func inner(_ named: NamedTensor) -> String { String(named.name.dropFirst(front.count)) }

  /// One or two parts that all names begin with, and after which the model's names begin.
  private static func front(of names: [String]) -> String {
    guard let first = names.first, names.count > 1 else { return "" }
    var front = ""
    for part in first.split(separator: ".", omittingEmptySubsequences: false).prefix(2) {
      front += part + "."
      guard names.allSatisfy({ $0.hasPrefix(front) }) else { return "" }
      if names.contains(where: { ParameterName.isOfModel(String($0.dropFirst(front.count))) }) {
        return front
      }
    }
    return ""
  }

  /// Keys of trainers, in the order in which they are looked at.
  private static let keys = ["model", "module", "state_dict", "model_state_dict"]
  /// What else is in such files: values of the optimizer have the names of the weights, too.
  private static let others: Set<String> = [
    "args", "optimizer", "optimizer_states", "optimizer_state_dict", "opt_param_scheduler",
    "lr_scheduler", "lr_schedulers", "rng_state", "random_rng_state", "param_shapes",
    "buffer_names", "callbacks", "loops", "hyper_parameters",
  ]

  /// The dictionaries with weights in a file: one for each chunk of a virtual pipeline.
  ///
  /// - Throws: `Failure` 65 when there are none, 78 when there are several that could be meant.
  static func all(in file: TorchFile, named name: String) throws -> [WeightsRoot] {
    let graph = file.graph
    func root(_ key: String) throws -> WeightsRoot? {
      guard let node = graph.value(key, in: graph.root) else { return nil }
      let named = try file.namedTensors(below: node)
      return named.isEmpty ? nil : WeightsRoot(key: key, named: named)
    }
    let known = try keys.compactMap(root)
    if let first = known.first(where: \.isModel) { return [first] }
    var chunks: [WeightsRoot] = []
    while let chunk = try root("model\(chunks.count)") { chunks.append(chunk) }
    if !chunks.isEmpty { return chunks }
    let found = try search(file)
    guard found.count <= 1 else {
      throw Failure(
        .checkpointSeveralModels,
        "several dictionaries in it hold a model: "
          + found.map { "\"\($0.key)\"" }.joined(separator: ", "), file: name,
        hint: "save the one that you mean under the key `model`")
    }
    // Tensors of other names are the planner's to judge.
    if let only = found.first ?? known.first { return [only] }
    let all = try file.namedTensors(below: graph.root)
    if !all.isEmpty, graph.value("module", in: graph.root) == nil,
      graph.value("model", in: graph.root) == nil, graph.value("optimizer", in: graph.root) == nil
    {
      return [WeightsRoot(key: "", named: all)]
    }
    try file.refuseWeightsOfOtherKinds(name)
    throw Failure(
      .checkpointNoWeights, "the file holds no weights; " + holdings(of: file),
      file: name,
      hint: "expected: a dictionary of weights under `model` or `module`, or as the whole file")
  }

  private var isModel: Bool { named.contains { ParameterName.isOfModel($0.name) } }

  /// Looks into dictionaries, lists and objects, three levels deep, for those that hold a model.
  private static func search(_ file: TorchFile) throws -> [WeightsRoot] {
    let graph = file.graph
    var level: [(key: String, node: NodeID)] = [("", graph.root)]
    for _ in 0..<4 {
      var found: [WeightsRoot] = []
      var next: [(key: String, node: NodeID)] = []
      for (key, node) in level.prefix(256) {
        let root = WeightsRoot(key: key, named: try file.namedTensors(below: node))
        guard root.isOfModelInside else { continue }
        if root.isModel { found.append(root) }
        for (step, child) in children(of: node, graph) where !others.contains(step) {
          next.append((key.isEmpty ? step : "\(key).\(step)", child))
        }
      }
      if !found.isEmpty { return found }
      level = next
    }
    return []
  }

  /// Whether a tensor of a model is anywhere below.
  private var isOfModelInside: Bool {
    named.contains { $0.name.contains("word_embeddings") || $0.name.contains("attention") }
  }

  private static func children(
    of node: NodeID, _ graph: PickleGraph
  ) -> [(step: String, node: NodeID)] {
    if let items = graph.items(node) {
      return items.enumerated().map { ("\($0.offset)", $0.element) }
    }
    let object = graph.object(node)
    let attributes = object?.state.flatMap { graph.entries($0) } ?? []
    let entries = graph.entries(node) ?? attributes + (object?.entries ?? [])
    return entries.map { (graph.label($0.key), $0.value) }
  }

  /// What a file holds at its root, in a few words.
  static func holdings(of file: TorchFile) -> String {
    let graph = file.graph
    if let entries = graph.entries(graph.root) {
      return "its keys are " + PathAdvice.listed(entries.map { graph.label($0.key) })
    }
    if let items = graph.items(graph.root) { return "it is a list of \(items.count) values" }
    if let name = graph.className(graph.root) { return "it is an object of \"\(name)\"" }
    return "it is a single value"
  }
}

extension TorchFile {
  /// Refuses weights that are held as something else than tensors, such as arrays of numpy or
  /// objects of another library: left out, a bias would count as one that the model does not have.
  func refuseWeightsOfOtherKinds(_ source: String) throws(Failure) {
    var open: [(name: String, node: NodeID, depth: Int)] = [("", graph.root, 0)]
    var budget = 100_000
    while let (name, node, depth) = open.popLast(), budget > 0 {
      for entry in graph.entries(node) ?? [] {
        budget -= 1
        let key = graph.label(entry.key)
        if key == "optimizer" || key == "args" { continue }
        let path = name.isEmpty ? key : "\(name).\(key)"
        if graph.entries(entry.value) != nil {
          if depth < 12 { open.append((path, entry.value, depth + 1)) }
          continue
        }
        guard path.hasSuffix("weight") || path.hasSuffix("bias"),
          let object = graph.object(entry.value), !isTensor(entry.value)
        else { continue }
        let type = graph.global(object.callable)?.description ?? "an object"
        throw Failure(
          .tensorOtherKind,
          "it is held by \"\(type)\", not as a tensor", file: source, tensor: path,
          hint: type.hasPrefix("numpy.")
            ? "save arrays as tensors: torch.from_numpy(array)"
            : "save it as a plain tensor: tensor.detach().cpu().clone()")
      }
    }
  }
}
