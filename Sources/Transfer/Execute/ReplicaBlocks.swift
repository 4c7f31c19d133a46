import ByteIO

/// Replicas of one box, which are walked in step although each may be stored in its own way.
struct ReplicaBlocks {
  private let replicas: [StoredBox]
  /// The box by its position in row-major order, the axes in the order of the output.
  private let whole: StridedCopy
  /// The strides of each replica along those axes.
  private let strides: [[Int]]

  init(_ replicas: [StoredBox], to destination: Piece.Destination) {
    self.replicas = replicas
    let sizes = replicas[0].box.sizes
    let order = sizes.indices.sorted { destination.strides[$0] > destination.strides[$1] }
    strides = replicas.map { replica in order.map { replica.box.strides[$0] } }
    let ordered = order.map { sizes[$0] }
    whole = StridedCopy(
      source: 0, target: destination.offset, sizes: ordered,
      sourceStrides: ElementBox(dense: ordered).strides,
      targetStrides: order.map { destination.strides[$0] })
  }

  /// The box in parts that have at most `count` elements and span at most `limit` elements in each
  /// replica.
  func split(count: Int, sourceExtent limit: Int) -> [StridedCopy] {
    whole.split(count: count).flatMap { block in
      let fits = replicas.indices.allSatisfy { view(of: block, in: $0).sourceExtent <= limit }
      return fits || block.count <= 1
        ? [block] : split(block, count: max(1, block.count / 2), sourceExtent: limit)
    }
  }

  private func split(_ block: StridedCopy, count: Int, sourceExtent limit: Int) -> [StridedCopy] {
    block.split(count: count).flatMap { part in
      let fits = replicas.indices.allSatisfy { view(of: part, in: $0).sourceExtent <= limit }
      return fits || part.count <= 1
        ? [part] : split(part, count: max(1, part.count / 2), sourceExtent: limit)
    }
  }

  /// A part as it lies in one of the replicas.
  func view(of block: StridedCopy, in replica: Int) -> StridedCopy {
    var result = block
    result.sourceStrides = strides[replica]
    result.source = replicas[replica].offset
    var rest = block.source
    for axis in whole.sizes.indices {
      result.source += rest / whole.sourceStrides[axis] * strides[replica][axis]
      rest %= whole.sourceStrides[axis]
    }
    return result
  }
}
