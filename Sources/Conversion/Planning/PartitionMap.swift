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
    /// The positions that are kept; the first of them goes to the beginning of the axis.
    let kept: Range<Int>

    init(_ size: Int, stride: Int, kept: Range<Int>? = nil) {
      self.size = size
      self.stride = stride
      self.kept = kept ?? 0..<size
    }
  }

  /// The shape of the output tensor.
  let shape: [Int]
  private let rule: TensorRule
  private let sizes: ModelSizes
  private let qkv: QKVOrder
  /// How many tensor-parallel ranks there are, and how many were concatenated in each of them.
  private let ranks: (stored: Int, merged: Int)
  private let vocabulary: Int
  private let areGatesWhole: Bool

  /// A map for a rule.
  ///
  /// - Parameters:
  ///   - rule: The row of the table.
  ///   - sizes: The sizes with all rows of the embedding.
  ///   - qkv: The order in which query, key and value rows are stored.
  ///   - ranks: How many tensor-parallel ranks there are, and how many were concatenated in each.
  ///   - vocabulary: The rows of the embedding that are kept.
  ///   - areGatesWhole: Whether ranks that were concatenated have their gates before all upward
  ///     projections.
  init(
    _ rule: TensorRule, sizes: ModelSizes, qkv: QKVOrder, ranks: (stored: Int, merged: Int),
    vocabulary: Int, areGatesWhole: Bool = false
  ) {
    self.rule = rule
    self.sizes = sizes
    self.qkv = qkv
    self.ranks = ranks
    self.vocabulary = vocabulary
    self.areGatesWhole = areGatesWhole
    var output = sizes
    output.vocabulary = vocabulary
    shape = output.targetShape(rule)
  }

  /// Whether every rank holds all of the tensor.
  var isReplicated: Bool { !rule.partition.isDivided }

  /// The shard of a rank, stored as a tensor, as a box with its destination.
  ///
  /// - Parameters:
  ///   - rank: The tensor-parallel rank.
  ///   - shard: The shard as stored, of the shape that the rule gives a rank.
  /// - Returns: The parts of the shard that are kept, and where they go.
  func place(_ rank: Int, _ shard: StoredBox) -> [(StoredBox, Piece.Destination)] {
    if let whole = acrossRanks {
      return whole.place(
        0, at: [rank * shard.box.sizes[0]] + shard.box.sizes.dropFirst().map { _ in 0 }, shard)
    }
    let (rows, column, offset) = axes(rank, rows: shard.box.sizes[0])
    guard rows.allSatisfy({ !$0.kept.isEmpty }) else { return [] }
    var source = shard
    let strides = ElementBox(dense: rows.map(\.size)).strides.map { $0 * shard.box.strides[0] }
    source.offset += zip(rows, strides).reduce(0) { $0 + $1.0.kept.lowerBound * $1.1 }
    source.box = ElementBox(
      sizes: rows.map(\.kept.count) + shard.box.sizes.dropFirst(),
      strides: strides + shard.box.strides.dropFirst())
    return [
      (
        source,
        Piece.Destination(offset: offset, strides: rows.map(\.stride) + column.map(\.stride))
      )
    ]
  }

  /// The map of the ranks one after the other, where their borders go through groups of heads: with
  /// fewer groups than ranks. The rows are those of the whole, cut evenly.
  private var acrossRanks: PartitionMap? {
    switch rule.rows {
    case .fused, .part(.query), .part(.key), .part(.value): break
    default: return nil
    }
    guard ranks.stored > 1, ranks.merged == 1, qkv == .heads3HN,
      !sizes.keyValueHeads.isMultiple(of: ranks.stored)
    else { return nil }
    return PartitionMap(
      rule, sizes: sizes, qkv: qkv, ranks: (1, 1), vocabulary: vocabulary)
  }

  /// A box of a rank's shard as boxes with their destinations: it may begin and end in the middle
  /// of a head.
  ///
  /// - Parameters:
  ///   - rank: The tensor-parallel rank.
  ///   - origin: Where the box begins in the shard.
  ///   - stored: The box as stored.
  /// - Returns: The parts of the box that are kept, and where they go.
  func place(
    _ rank: Int, at origin: [Int], _ stored: StoredBox
  ) -> [(StoredBox, Piece.Destination)] {
    let shardShape = sizes.shardShape(rule, ranks: ranks.stored)
    let (rows, column, offset) = axes(rank, rows: shardShape[0])
    let first = origin[0]
    let strides = ElementBox(dense: rows.map(\.size)).strides
    let step = stored.box.strides[0]
    return ElementBox.boxes(
      of: first..<first + stored.box.sizes[0], in: rows.map(\.size)
    ).compactMap { start, extent in
      var source = stored
      source.offset -= first * step
      var target = offset
      var kept: [Int] = []
      for (axis, (begin, stride)) in zip(rows, zip(start, strides)) {
        let part = (begin..<begin + extent[kept.count]).clamped(to: axis.kept)
        guard !part.isEmpty else { return nil }
        source.offset += part.lowerBound * stride * step
        target += (part.lowerBound - axis.kept.lowerBound) * axis.stride
        kept.append(part.count)
      }
      for (axis, begin) in zip(column, origin.dropFirst()) { target += begin * axis.stride }
      source.box = ElementBox(
        sizes: kept + stored.box.sizes.dropFirst(),
        strides: strides.map { $0 * step } + stored.box.strides.dropFirst())
      return (
        source,
        Piece.Destination(offset: target, strides: rows.map(\.stride) + column.map(\.stride))
      )
    }
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
    let shardShape = sizes.shardShape(rule, ranks: ranks.stored)
    if let whole = acrossRanks {
      let before = rank * shardShape.reduce(1, *)
      return whole.place(
        0, run: elements.lowerBound + before..<elements.upperBound + before, run)
    }
    let (rows, column, offset) = axes(rank, rows: shardShape[0])
    let axes = rows + column
    let strides = ElementBox(dense: axes.map(\.size)).strides
    return ElementBox.boxes(of: elements, in: axes.map(\.size)).compactMap { origin, extent in
      var source = run
      source.offset -= elements.lowerBound
      var target = offset
      var kept: [Int] = []
      for (axis, (first, stride)) in zip(axes, zip(origin, strides)) {
        let part = (first..<first + extent[kept.count]).clamped(to: axis.kept)
        guard !part.isEmpty else { return nil }
        source.offset += part.lowerBound * stride
        target += (part.lowerBound - axis.kept.lowerBound) * axis.stride
        kept.append(part.count)
      }
      source.box = ElementBox(sizes: kept, strides: strides)
      return (source, Piece.Destination(offset: target, strides: axes.map(\.stride)))
    }
  }

  /// The axes of a rank's shard as stored (those of the rows, then that of the columns, if there is
  /// one), and where its first element goes.
  private func axes(
    _ rank: Int, rows: Int
  ) -> (rows: [Axis], column: [Axis], offset: Int) {
    // Strides of the output tensor along the two axes of the Megatron tensor.
    var strides = ElementBox(dense: shape).strides
    if rule.isTransposed { strides.reverse() }
    let columns = rule.shape.count > 1 ? sizes.shardShape(rule, ranks: ranks.stored)[1] : 1
    let column = rule.shape.count > 1 ? [Axis(columns, stride: strides[1])] : []
    if let heads = headAxes(strides[0]) {
      // A rank's rows begin where those of the ranks before it end.
      return (heads, column, rank * heads[0].size * heads[0].stride)
    }
    let (row, start) = (Axis(rows, stride: strides[0]), rank * rows * strides[0])
    switch rule.partition {
    case .replicated, .summed: return ([row], column, 0)
    case .column: return ([row], column, start)
    case .vocabulary:
      let kept = 0..<max(0, min(rows, shape[0] - rank * rows))
      return ([Axis(rows, stride: strides[0], kept: kept)], column, start)
    case .row: return ([row], column, rank * columns * strides[1])
    }
  }

  /// The rows of a fused projection as axes, the ranks that were concatenated being the outermost:
  /// group of heads, slot, channel; `nil` for a rule that takes the rows as stored.
  ///
  /// A group has a slot for each of its queries, one for its key and one for its value. In a model
  /// with as many keys as queries a group is a head. A rank holds a run of the groups.
  private func headAxes(_ stride: Int) -> [Axis]? {
    let count = ranks.stored * ranks.merged
    let (hn, queries) = (sizes.headSize, sizes.queriesPerGroup)
    let groups = sizes.keyValueHeads / count
    let slots = queries + 2
    // How far apart groups, slots and channels are in the output, in rows.
    let apart: (group: Int, slot: Int, channel: Int)
    let kept: Range<Int>
    switch rule.rows {
    case .asStored: return nil
    case .part(.firstHalf), .part(.secondHalf):
      // Of a universal checkpoint the gates of all ranks come first.
      let parts = areGatesWhole ? 1 : ranks.merged
      let rows = sizes.sourceShape(rule)[0] / (ranks.stored * parts) / 2
      let half = rule.rows == .part(.firstHalf) ? 0..<1 : 1..<2
      return [
        Axis(parts, stride: rows * stride), Axis(2, stride: rows * stride, kept: half),
        Axis(rows, stride: stride),
      ]
    case .part(.keyOfTwo), .part(.valueOfTwo):
      // A group has one slot for its key and one for its value.
      let half = rule.rows == .part(.keyOfTwo) ? 0..<1 : 1..<2
      return [
        Axis(ranks.merged, stride: groups * hn * stride), Axis(groups, stride: hn * stride),
        Axis(2, stride: hn * stride, kept: half), Axis(hn, stride: stride),
      ]
    case .part(.query): (apart, kept) = ((queries * hn, hn, 1), 0..<queries)
    case .part(.key): (apart, kept) = ((hn, hn, 1), queries..<queries + 1)
    case .part(.value): (apart, kept) = ((hn, hn, 1), queries + 1..<slots)
    case .fused(as: .heads3HN): (apart, kept) = ((slots * hn, hn, 1), 0..<slots)
    case .fused(as: .headsHN3): (apart, kept) = ((slots * hn, 1, slots), 0..<slots)
    case .fused(as: .thirds): (apart, kept) = ((hn, groups * count * hn, 1), 0..<slots)
    }
    let group = Axis(groups, stride: apart.group * stride)
    let slot = Axis(slots, stride: apart.slot * stride, kept: kept)
    let channel = Axis(hn, stride: apart.channel * stride)
    let merged = Axis(ranks.merged, stride: groups * apart.group * stride)
    return switch qkv {
    case .heads3HN: [merged, group, slot, channel]
    case .headsHN3: [merged, group, channel, slot]
    case .thirds: [merged, slot, group, channel]
    }
  }
}
