import Architectures
import Pickle
import TorchArchive

/// `param_shapes` of DeepSpeed: the names and shapes of the parameters of each optimizer group, in
/// the order in which they are flattened.
struct ParameterShapes: Hashable {
  struct Parameter: Hashable {
    let name: String
    let sizes: [Int]
    /// The number of elements.
    let count: Int
  }

  let groups: [[Parameter]]

  /// Shapes that are known already.
  init(groups: [[Parameter]]) {
    self.groups = groups
  }

  /// Reads the entry of a dictionary: a list of dictionaries, or one dictionary in older releases.
  init?(_ file: TorchFile, _ root: NodeID) {
    let graph = file.graph
    guard let value = graph.value("param_shapes", in: root) else { return nil }
    let dictionaries = graph.entries(value) != nil ? [value] : graph.items(value) ?? []
    var groups: [[Parameter]] = []
    for dictionary in dictionaries {
      guard let entries = graph.entries(dictionary) else { return nil }
      var group: [Parameter] = []
      for entry in entries {
        guard let name = graph.text(entry.key), let sizes = file.sizes(entry.value),
          let count = ParameterShapes.count(sizes)
        else { return nil }
        group.append(Parameter(name: name, sizes: sizes, count: count))
      }
      groups.append(group)
    }
    guard !groups.isEmpty else { return nil }
    self.groups = groups
  }

  /// The number of elements of a shape; `nil` for shapes that no parameter has.
  private static func count(_ sizes: [Int]) -> Int? {
    var count = 1
    for size in sizes {
      guard size > 0, size < ModelBounds.size else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow, product < ModelBounds.elements else { return nil }
      count = product
    }
    return count
  }
}
