import ByteIO
import Diagnostics
import Safetensors
import Transfer

/// The plan as a whole.
extension Planner {
  /// Groups the tensors into files and lays out their headers.
  static func shards(of tensors: [TensorPlan], limit: Int?) -> [FilePlan] {
    let groups = ShardIndex.group(sizes: tensors.map(\.byteCount), limit: limit)
    return groups.enumerated().map { number, group in
      let header = SafetensorsHeader(
        laying: group.map { (tensors[$0].name, tensors[$0].dtype, tensors[$0].shape) },
        metadata: ["format": "pt"])
      let positions = Dictionary(uniqueKeysWithValues: group.map { (tensors[$0].name, $0) })
      return FilePlan(
        fileName: ShardIndex.shardName(number + 1, of: groups.count),
        tensors: header.tensors.compactMap { positions[$0.name] }, header: header)
    }
  }

  /// Makes sure that the pieces of every tensor are as many elements as it has, and reach no
  /// element outside of it. That no two of them meet follows from the arrangement of the ranks.
  static func validate(_ tensors: [TensorPlan]) throws(Failure) {
    for tensor in tensors {
      let count = tensor.shape.reduce(1, *)
      let covered = tensor.pieces.reduce(0) { $0 + $1.elementCount }
      let reach = tensor.pieces.map { piece in
        switch piece {
        case .copy(let source, let destination, _):
          destination.offset
            + ElementBox(sizes: source.box.sizes, strides: destination.strides).extent
        case .fill(_, let count, let destination): destination.offset + count
        case .merge(let replicas, let destination, _, _):
          destination.offset
            + ElementBox(sizes: replicas[0].box.sizes, strides: destination.strides).extent
        }
      }
      guard covered == count, reach.allSatisfy({ $0 <= count }) else {
        throw Failure(
          .bugPlan, "the plan makes \(covered) of its \(count) elements",
          tensor: tensor.name)
      }
    }
  }
}
