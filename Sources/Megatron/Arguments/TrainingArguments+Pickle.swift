import Architectures
import Pickle
import TorchArchive

extension TrainingArguments {
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
}
