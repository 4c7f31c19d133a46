import ByteIO

/// A box of elements that moves from a storage to an output tensor: sizes, and offsets and strides
/// on both sides, in elements.
struct CopyBlock: Hashable {
  /// The offset of the first element in the storage.
  var source: Int
  /// The offset of the first element in the output tensor.
  var target: Int
  var sizes: [Int]
  var sourceStrides: [Int]
  var targetStrides: [Int]

  /// The number of elements.
  var count: Int { sizes.reduce(1, *) }

  /// How many elements of the storage lie between the first and the last one, both included.
  var sourceExtent: Int { extent(sourceStrides) }

  private func extent(_ strides: [Int]) -> Int {
    sizes.contains(0) ? 0 : zip(sizes, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
  }

  /// A box that is stored, and where it goes.
  init(_ source: StoredBox, _ destination: Piece.Destination) {
    self.init(
      source: source.offset, target: destination.offset, sizes: source.box.sizes,
      sourceStrides: source.box.strides, targetStrides: destination.strides)
  }

  init(source: Int, target: Int, sizes: [Int], sourceStrides: [Int], targetStrides: [Int]) {
    self.source = source
    self.target = target
    self.sizes = sizes
    self.sourceStrides = sourceStrides
    self.targetStrides = targetStrides
  }

  // MARK: - Splitting

  /// The block in parts whose sources span at most `limit` elements each, along the axes that are
  /// furthest apart in the storage.
  func split(sourceExtent limit: Int) -> [CopyBlock] {
    if count == 0 { return [] }
    if sourceExtent <= limit { return [self] }
    let axes = sizes.indices.filter { sizes[$0] > 1 && sourceStrides[$0] > 0 }
    guard let axis = axes.max(by: { sourceStrides[$0] < sourceStrides[$1] }) else { return [self] }
    let stride = sourceStrides[axis]
    let inner = sourceExtent - (sizes[axis] - 1) * stride
    let step = inner > limit ? 1 : (limit - inner) / stride + 1
    return slices(along: axis, of: step).flatMap { $0.split(sourceExtent: limit) }
  }

  /// The block in parts of at most `limit` elements each, along the outer axes first.
  func split(count limit: Int) -> [CopyBlock] {
    if count == 0 { return [] }
    guard count > limit, let axis = sizes.firstIndex(where: { $0 > 1 }) else { return [self] }
    let step = max(1, limit / (count / sizes[axis]))
    return slices(along: axis, of: step).flatMap { $0.split(count: limit) }
  }

  /// The block, its axes in the order of the storage, in parts to be transposed: of about `usual` elements, and
  /// of `limit` at most where that makes whole cache lines of `line` elements in the output, or fewer divided ones.
  func chunks(of usual: Int, limit: Int, line: Int) -> [CopyBlock] {
    guard count > usual, let axis = sizes.firstIndex(where: { $0 > 1 }) else {
      return count == 0 ? [] : [self]
    }
    let inner = count / sizes[axis]
    if let groups = groups(along: axis, limit: limit, line: line) { return groups }
    guard targetStrides[axis] == 1, sizes[axis] >= line, usual / inner < line, limit >= line else {
      let step = max(1, usual / inner)
      return slices(along: axis, of: step > 32 ? step & ~31 : step).flatMap {
        $0.chunks(of: usual, limit: limit, line: line)
      }
    }
    return slices(along: axis, of: line).flatMap { lines -> [CopyBlock] in
      guard lines.count > limit,
        let next = sizes.indices.first(where: { $0 > axis && sizes[$0] > 1 })
      else { return [lines] }
      let step = max(1, limit / (line * (inner / sizes[next])))
      return lines.slices(along: next, of: step > 32 ? step & ~31 : step).flatMap {
        $0.split(count: limit)
      }
    }
  }

  /// Parts with several steps of `axis` each, where these continue each other in the output but not in the storage,
  /// such as the heads of the queries: if they are no whole cache lines each, fewer lines are divided then.
  private func groups(along axis: Int, limit: Int, line: Int) -> [CopyBlock]? {
    guard axis + 2 < sizes.count, targetStrides[axis + 2] == 1,
      targetStrides[axis] == sizes[axis + 2], sizes[axis + 2] % line != 0
    else { return nil }
    let step = limit / (count / sizes[axis] / sizes[axis + 1])
    guard step > 1 else { return nil }
    return slices(along: axis, of: step).flatMap { $0.slices(along: axis + 1, of: 1) }
  }

  private func slices(along axis: Int, of step: Int) -> [CopyBlock] {
    stride(from: 0, to: sizes[axis], by: step).map { start in
      var slice = self
      slice.sizes[axis] = min(step, sizes[axis] - start)
      slice.source += start * sourceStrides[axis]
      slice.target += start * targetStrides[axis]
      return slice
    }
  }

  // MARK: - Order

  /// The same elements with the axes in the order of the output, the outermost first.
  var orderedByTarget: CopyBlock { ordered(by: targetStrides) }

  /// The same elements with the axes in the order of the storage, the outermost first.
  var orderedBySource: CopyBlock { ordered(by: sourceStrides) }

  /// The way back: from the output to the storage.
  var exchanged: CopyBlock {
    CopyBlock(
      source: target, target: source, sizes: sizes, sourceStrides: targetStrides,
      targetStrides: sourceStrides)
  }

  private func ordered(by strides: [Int]) -> CopyBlock {
    let order = sizes.indices.sorted { strides[$0] > strides[$1] }
    var result = self
    result.sizes = order.map { sizes[$0] }
    result.sourceStrides = order.map { sourceStrides[$0] }
    result.targetStrides = order.map { targetStrides[$0] }
    return result
  }

  /// How many elements, in the order of the axes, lie behind each other in the output.
  var targetRun: Int {
    var run = 1
    for axis in sizes.indices.reversed() {
      if sizes[axis] == 1 { continue }
      guard targetStrides[axis] == run else { break }
      run *= sizes[axis]
    }
    return run
  }

  /// Calls `body` with the offset in the output of each run of ``targetRun`` elements.
  func forEachTargetRun(_ body: (Int) throws -> Void) rethrows {
    let run = targetRun
    // The axes outside of the run.
    var inside = 1
    var axes = sizes.count
    while axes > 0, inside < run || sizes[axes - 1] == 1 {
      axes -= 1
      inside *= sizes[axes]
    }
    var index = [Int](repeating: 0, count: axes)
    var offset = target
    while true {
      try body(offset)
      var axis = axes - 1
      while axis >= 0 {
        index[axis] += 1
        offset += targetStrides[axis]
        if index[axis] < sizes[axis] { break }
        offset -= targetStrides[axis] * sizes[axis]
        index[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }
}

extension CopyBlock {
  /// The same elements without axes of size 1, neighbours that continue each other on both sides joined.
  var collapsed: CopyBlock {
    var result = self
    (result.sizes, result.sourceStrides, result.targetStrides) = ([], [], [])
    for axis in sizes.indices where sizes[axis] != 1 {
      if let last = result.sizes.indices.last,
        result.sourceStrides[last] == sourceStrides[axis] * sizes[axis],
        result.targetStrides[last] == targetStrides[axis] * sizes[axis]
      {
        result.sizes[last] *= sizes[axis]
        result.sourceStrides[last] = sourceStrides[axis]
        result.targetStrides[last] = targetStrides[axis]
      } else {
        result.sizes.append(sizes[axis])
        result.sourceStrides.append(sourceStrides[axis])
        result.targetStrides.append(targetStrides[axis])
      }
    }
    if result.sizes.isEmpty {
      (result.sizes, result.sourceStrides, result.targetStrides) = ([1], [1], [1])
    }
    return result
  }

  /// The first of the rows.
  var row: CopyBlock {
    var result = self
    result.sizes[0] = 1
    return result
  }

  /// How many elements of the output lie between the first and the last one, both included.
  var targetExtent: Int { extent(targetStrides) }
}

/// Replicas of one box, which are walked in step although each may be stored in its own way.
struct ReplicaBlocks {
  private let replicas: [StoredBox]
  /// The box by its position in row-major order, the axes in the order of the output.
  private let whole: CopyBlock
  /// The strides of each replica along those axes.
  private let strides: [[Int]]

  init(_ replicas: [StoredBox], to destination: Piece.Destination) {
    self.replicas = replicas
    let sizes = replicas[0].box.sizes
    let order = sizes.indices.sorted { destination.strides[$0] > destination.strides[$1] }
    strides = replicas.map { replica in order.map { replica.box.strides[$0] } }
    let ordered = order.map { sizes[$0] }
    whole = CopyBlock(
      source: 0, target: destination.offset, sizes: ordered,
      sourceStrides: ElementBox(dense: ordered).strides,
      targetStrides: order.map { destination.strides[$0] })
  }

  /// The box in parts that have at most `count` elements and span at most `limit` elements in each
  /// replica.
  func split(count: Int, sourceExtent limit: Int) -> [CopyBlock] {
    whole.split(count: count).flatMap { block in
      let fits = replicas.indices.allSatisfy { view(of: block, in: $0).sourceExtent <= limit }
      return fits || block.count <= 1
        ? [block] : split(block, count: max(1, block.count / 2), sourceExtent: limit)
    }
  }

  private func split(_ block: CopyBlock, count: Int, sourceExtent limit: Int) -> [CopyBlock] {
    block.split(count: count).flatMap { part in
      let fits = replicas.indices.allSatisfy { view(of: part, in: $0).sourceExtent <= limit }
      return fits || part.count <= 1
        ? [part] : split(part, count: max(1, part.count / 2), sourceExtent: limit)
    }
  }

  /// A part as it lies in one of the replicas.
  func view(of block: CopyBlock, in replica: Int) -> CopyBlock {
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
