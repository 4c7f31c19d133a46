import Architectures
import ByteIO
import Transfer

/// Works out where the elements of a rank's shard go in the output tensor: partition times
/// arrangement, as offsets and strides.
struct PartitionMap {
  /// An axis of a shard, in the order in which it is stored.
  private struct Axis {
    let size: Int
    /// How far apart neighbours along this axis are in the output tensor.
    let stride: Int
  }

  /// The shape of the output tensor.
  let shape: [Int]
  private let rule: TensorRule
  private let geometry: GPT2Geometry
  private let sizes: ModelSizes
  private let qkv: QKVOrder

  init(_ rule: TensorRule, geometry: GPT2Geometry, qkv: QKVOrder, vocabulary: Int) {
    self.rule = rule
    self.geometry = geometry
    self.qkv = qkv
    sizes = geometry.sizes
    var full = sizes.sourceShape(rule)
    if rule.partition == .vocabulary { full[0] = vocabulary }
    shape = rule.isTransposed ? full.reversed() : full
  }

  /// Whether every rank holds all of the tensor.
  var isReplicated: Bool { rule.partition == .replicated }

  /// The shard of a rank, stored as a tensor, as a box with its destination.
  ///
  /// - Parameters:
  ///   - rank: The tensor-parallel rank.
  ///   - shard: The shard as stored, of the shape that the rule gives a rank.
  /// - Returns: The part of the shard that is kept, and where it goes; `nil` if nothing is.
  func place(_ rank: Int, _ shard: StoredBox) -> (StoredBox, Piece.Destination)? {
    let (rows, column, offset) = axes(rank, rows: shard.box.sizes[0])
    guard rows.allSatisfy({ $0.size > 0 }) else { return nil }
    var source = shard
    let rowStrides = PartitionMap.rowMajor(rows.map(\.size)).map { $0 * shard.box.strides[0] }
    source.box = ElementBox(
      sizes: rows.map(\.size) + shard.box.sizes.dropFirst(),
      strides: rowStrides + shard.box.strides.dropFirst())
    return (
      source,
      Piece.Destination(offset: offset, strides: rows.map(\.stride) + column.map(\.stride))
    )
  }

  /// A run of elements of a rank's shard, counted in row-major order, as boxes with their
  /// destinations: a run may begin and end in the middle of a row, or of a head.
  ///
  /// - Parameters:
  ///   - rank: The tensor-parallel rank.
  ///   - elements: Which elements of the shard the run holds.
  ///   - run: The run as stored, with stride 1.
  /// - Returns: The parts of the run that are kept, and where they go.
  func place(
    _ rank: Int, run elements: Range<Int>, _ run: StoredBox
  ) -> [(StoredBox, Piece.Destination)] {
    let shardShape = sizes.shardShape(rule, ranks: geometry.tensorParallel)
    let (rows, column, offset) = axes(rank, rows: shardShape[0])
    let all = rows + column
    let sizes = all.map(\.size)
    // Rows of the vocabulary that are cut off lie at the end.
    let kept = elements.clamped(to: 0..<max(sizes.reduce(1, *), 0))
    let strides = PartitionMap.rowMajor(sizes)
    return PartitionMap.boxes(of: kept, in: sizes).map { origin, extent in
      var source = run
      let position = zip(origin, strides).reduce(0) { $0 + $1.0 * $1.1 }
      source.offset = run.offset + position - elements.lowerBound
      source.box = ElementBox(sizes: extent, strides: strides)
      let target = zip(origin, all).reduce(offset) { $0 + $1.0 * $1.1.stride }
      return (source, Piece.Destination(offset: target, strides: all.map(\.stride)))
    }
  }

  /// The axes of a rank's shard as stored (those of the rows, then that of the columns, if there is
  /// one), and where its first element goes.
  private func axes(
    _ rank: Int, rows: Int
  ) -> (rows: [Axis], column: [Axis], offset: Int) {
    // Strides of the output tensor along the two axes of the Megatron tensor.
    var strides = PartitionMap.rowMajor(shape)
    if rule.isTransposed { strides.reverse() }
    let columns =
      rule.shape.count > 1 ? sizes.shardShape(rule, ranks: geometry.tensorParallel)[1] : 1
    let column = rule.shape.count > 1 ? [Axis(size: columns, stride: strides[1])] : []
    if case .fused = rule.rows {
      return (headAxes(strides[0]), column, rank * rows / 3 * strides[0])
    }
    switch rule.partition {
    case .replicated: return ([Axis(size: rows, stride: strides[0])], column, 0)
    case .vocabulary:
      let kept = max(0, min(rows, shape[0] - rank * rows))
      return ([Axis(size: kept, stride: strides[0])], column, rank * rows * strides[0])
    case .column:
      return ([Axis(size: rows, stride: strides[0])], column, rank * rows * strides[0])
    case .row:
      return ([Axis(size: rows, stride: strides[0])], column, rank * columns * strides[1])
    }
  }

  /// The rows of a fused projection as axes: query, key or value; head; channel.
  ///
  /// In the output the rows are [3, heads, hn]; a rank holds a run of the heads. Where several ranks
  /// were put together already, they are the outermost axis.
  private func headAxes(_ stride: Int) -> [Axis] {
    let heads = geometry.heads / (geometry.tensorParallel * geometry.mergedRanks)
    let hn = geometry.headSize
    let part = Axis(size: 3, stride: geometry.hidden * stride)
    let head = Axis(size: heads, stride: hn * stride)
    let channel = Axis(size: hn, stride: stride)
    let ranks = Axis(size: geometry.mergedRanks, stride: heads * hn * stride)
    return switch qkv {
    case .heads3HN: [ranks, head, part, channel]
    case .headsHN3: [ranks, head, channel, part]
    case .thirds: [ranks, part, head, channel]
    }
  }

  private static func rowMajor(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() {
      strides[axis] = strides[axis + 1] * shape[axis + 1]
    }
    return strides
  }

  /// A run of positions in row-major order as boxes: the end of a row, whole rows, the beginning of
  /// a row, and so on inwards.
  static func boxes(of run: Range<Int>, in sizes: [Int]) -> [(origin: [Int], sizes: [Int])] {
    guard !run.isEmpty else { return [] }
    guard sizes.count > 1 else { return [([run.lowerBound], [run.count])] }
    let inner = Array(sizes.dropFirst())
    let count = inner.reduce(1, *)
    func within(_ row: Int, _ part: Range<Int>) -> [(origin: [Int], sizes: [Int])] {
      boxes(of: part, in: inner).map { ([row] + $0.origin, [1] + $0.sizes) }
    }
    let first = run.lowerBound / count
    let (last, rest) = run.upperBound.quotientAndRemainder(dividingBy: count)
    if first == last { return within(first, run.lowerBound % count..<rest) }
    var result: [(origin: [Int], sizes: [Int])] = []
    var whole = first
    if run.lowerBound % count > 0 {
      result += within(first, run.lowerBound % count..<count)
      whole += 1
    }
    if whole < last {
      result.append(([whole] + inner.map { _ in 0 }, [last - whole] + inner))
    }
    if rest > 0 { result += within(last, 0..<rest) }
    return result
  }
}
