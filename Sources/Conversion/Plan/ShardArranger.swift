import ByteIO

/// Works out where the elements of a rank's shard go in the output tensor: partition times
/// arrangement, as offsets and strides.
struct ShardArranger {
  /// The shape of the output tensor.
  let shape: [Int]
  private let rule: GPT2Rule
  private let geometry: GPT2Geometry
  private let qkv: QKVLayout

  init(_ rule: GPT2Rule, geometry: GPT2Geometry, qkv: QKVLayout, vocabulary: Int) {
    self.rule = rule
    self.geometry = geometry
    self.qkv = qkv
    var full = rule.shape.map(geometry.size)
    if rule.partition == .vocabulary { full[0] = vocabulary }
    switch rule.arrangement {
    case .transposed, .qkvTransposed: shape = full.reversed()
    case .unchanged, .qkv: shape = full
    }
  }

  /// The shard of a rank as a box with its destination; `nil` when nothing of it is kept.
  ///
  /// - Parameters:
  ///   - rank: The tensor-parallel rank.
  ///   - shard: The shard as stored, of the shape that the rule gives a rank.
  /// - Returns: The part of the shard that is kept, and where it goes.
  func place(_ rank: Int, _ shard: StoredBox) -> (StoredBox, Piece.Destination)? {
    var source = shard
    // Strides of the output tensor along the axes of the Megatron tensor.
    var strides: [Int]
    switch rule.arrangement {
    case .unchanged, .qkv: strides = ShardArranger.rowMajor(shape)
    case .transposed, .qkvTransposed: strides = ShardArranger.rowMajor(shape).reversed()
    }
    let rows = source.box.sizes[0]
    var offset = 0
    switch rule.partition {
    case .replicated: break
    case .vocabulary:
      let kept = min(rows, (shape[0] - rank * rows))
      guard kept > 0 else { return nil }
      source.box.sizes[0] = kept
      offset = rank * rows * strides[0]
    case .column:
      // The rows of query, key and value are placed below, head by head.
      if rule.arrangement == .unchanged || rule.arrangement == .transposed {
        offset = rank * rows * strides[0]
      }
    case .row: offset = rank * source.box.sizes[1] * strides[1]
    }
    if rule.arrangement == .qkv || rule.arrangement == .qkvTransposed {
      let split = splitRows(rank, sourceStride: source.box.strides[0], targetStride: strides[0])
      source.box.sizes.replaceSubrange(0...0, with: split.sizes)
      source.box.strides.replaceSubrange(0...0, with: split.sourceStrides)
      strides.replaceSubrange(0...0, with: split.targetStrides)
      offset = split.offset
    }
    return (source, Piece.Destination(offset: offset, strides: strides))
  }

  /// The row axis of a fused projection as three axes: query, key or value; head; channel.
  ///
  /// In the output the rows are [3, heads, hn]; a rank holds a run of the heads.
  private func splitRows(
    _ rank: Int, sourceStride: Int, targetStride: Int
  ) -> (sizes: [Int], sourceStrides: [Int], targetStrides: [Int], offset: Int) {
    let heads = geometry.heads / geometry.tensorParallel
    let hn = geometry.headSize
    let target = (part: geometry.hidden, head: hn, channel: 1)
    // How far apart the rows of a rank are along each axis.
    let source: (part: Int, head: Int, channel: Int) =
      switch qkv {
      case .heads3HN: (part: hn, head: 3 * hn, channel: 1)
      case .headsHN3: (part: 1, head: 3 * hn, channel: 3)
      case .thirds: (part: heads * hn, head: hn, channel: 1)
      }
    return (
      [3, heads, hn],
      [source.part, source.head, source.channel].map { $0 * sourceStride },
      [target.part, target.head, target.channel].map { $0 * targetStride },
      rank * heads * hn * targetStride
    )
  }

  private static func rowMajor(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in stride(from: shape.count - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] * shape[axis + 1]
    }
    return strides
  }
}
