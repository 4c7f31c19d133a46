/// A box of elements that moves from one run of memory to another, such as from a storage to an
/// output tensor: sizes, and offsets and strides on both sides, in elements.
package struct StridedCopy: Hashable {
  /// The offset of the first element where they come from.
  package var source: Int
  /// The offset of the first element where they go.
  package var target: Int
  package var sizes: [Int]
  package var sourceStrides: [Int]
  package var targetStrides: [Int]

  /// The number of elements.
  package var count: Int { sizes.reduce(1, *) }

  /// How many elements of the storage lie between the first and the last one, both included.
  package var sourceExtent: Int { extent(sourceStrides) }

  private func extent(_ strides: [Int]) -> Int {
    sizes.contains(0) ? 0 : zip(sizes, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
  }

  /// A box at the beginning of both sides.
  package init(_ sizes: [Int], from sourceStrides: [Int], to targetStrides: [Int]) {
    self.init(
      source: 0, target: 0, sizes: sizes, sourceStrides: sourceStrides,
      targetStrides: targetStrides)
  }

  package init(source: Int, target: Int, sizes: [Int], sourceStrides: [Int], targetStrides: [Int]) {
    self.source = source
    self.target = target
    self.sizes = sizes
    self.sourceStrides = sourceStrides
    self.targetStrides = targetStrides
  }

  // MARK: - Splitting

  /// The block in parts whose sources span at most `limit` elements each, along the axes that are
  /// furthest apart in the storage.
  package func split(sourceExtent limit: Int) -> [StridedCopy] {
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
  package func split(count limit: Int) -> [StridedCopy] {
    var parts: [StridedCopy] = []
    forEachPart(count: limit) { parts.append($0) }
    return parts
  }

  /// Calls `body` with one part after the other, in the order of the axes.
  ///
  /// - Parameters:
  ///   - limit: The most elements of a part.
  ///   - span: The most elements of the source that a part spans.
  ///   - body: Called with a part.
  /// - Throws: What the body throws.
  package func forEachPart(
    count limit: Int, sourceExtent span: Int = .max, _ body: (StridedCopy) throws -> Void
  ) rethrows {
    if count == 0 { return }
    if count <= limit, sourceExtent <= span { return try body(self) }
    guard let axis = sizes.firstIndex(where: { $0 > 1 }) else { return try body(self) }
    var inner = self
    inner.sizes[axis] = 1
    let stride = sourceStrides[axis]
    let step =
      inner.count > limit || inner.sourceExtent > span
      ? 1
      : min(
        limit / inner.count, stride == 0 ? limit : (span - inner.sourceExtent) / stride + 1)
    for part in slices(along: axis, of: step) {
      try part.forEachPart(count: limit, sourceExtent: span, body)
    }
  }

  /// The block, its axes in the order of the storage, in parts to be transposed: of about `usual`
  /// elements, and of `limit` at most where that makes whole cache lines of `line` elements in the
  /// output, or fewer divided ones.
  package func chunks(of usual: Int, limit: Int, line: Int) -> [StridedCopy] {
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
    return slices(along: axis, of: line).flatMap { lines -> [StridedCopy] in
      guard lines.count > limit,
        let next = sizes.indices.first(where: { $0 > axis && sizes[$0] > 1 })
      else { return [lines] }
      let step = max(1, limit / (line * (inner / sizes[next])))
      return lines.slices(along: next, of: step > 32 ? step & ~31 : step).flatMap {
        $0.split(count: limit)
      }
    }
  }

  /// Parts with several steps of `axis` each, where these continue each other in the output but not
  /// in the storage, such as the heads of the queries: if they are not whole cache lines each,
  /// fewer lines are divided then.
  private func groups(along axis: Int, limit: Int, line: Int) -> [StridedCopy]? {
    guard axis + 2 < sizes.count, targetStrides[axis + 2] == 1,
      targetStrides[axis] == sizes[axis + 2], sizes[axis + 2] % line != 0
    else { return nil }
    let step = limit / (count / sizes[axis] / sizes[axis + 1])
    guard step > 1 else { return nil }
    return slices(along: axis, of: step).flatMap { $0.slices(along: axis + 1, of: 1) }
  }

  private func slices(
    along axis: Int, of step: Int
  ) -> some Sequence<StridedCopy> {
    stride(from: 0, to: sizes[axis], by: step).lazy.map { start in
      var slice = self
      slice.sizes[axis] = min(step, sizes[axis] - start)
      slice.source += start * sourceStrides[axis]
      slice.target += start * targetStrides[axis]
      return slice
    }
  }

  // MARK: - Order

  /// The same elements with the axes in the order of the output, the outermost first.
  package var orderedByTarget: StridedCopy { ordered(by: targetStrides) }

  /// The same elements with the axes in the order of the storage, the outermost first.
  package var orderedBySource: StridedCopy { ordered(by: sourceStrides) }

  /// The way back: from the output to the storage.
  package var exchanged: StridedCopy {
    StridedCopy(
      source: target, target: source, sizes: sizes, sourceStrides: targetStrides,
      targetStrides: sourceStrides)
  }

  private func ordered(by strides: [Int]) -> StridedCopy {
    let order = sizes.indices.sorted { strides[$0] > strides[$1] }
    var result = self
    result.sizes = order.map { sizes[$0] }
    result.sourceStrides = order.map { sourceStrides[$0] }
    result.targetStrides = order.map { targetStrides[$0] }
    return result
  }

  /// How many elements, in the order of the axes, are contiguous in the output.
  package var targetRun: Int {
    var run = 1
    for axis in sizes.indices.reversed() {
      if sizes[axis] == 1 { continue }
      guard targetStrides[axis] == run else { break }
      run *= sizes[axis]
    }
    return run
  }

  /// Calls `body` with the offset in the output of each run of ``targetRun`` elements.
  package func forEachTargetRun(_ body: (Int) throws -> Void) rethrows {
    let run = targetRun
    // The axes outside of the run.
    var inside = 1
    var axes = sizes.count
    while axes > 0, inside < run || sizes[axes - 1] == 1 {
      axes -= 1
      inside *= sizes[axes]
    }
    try forEachOffset(without: Array(axes..<sizes.count)) { try body(target + $1) }
  }

  /// Calls `body` with the distances from the first element, on both sides, of every position along
  /// the axes that are not in `without`, in row-major order.
  package func forEachOffset(
    without: [Int], _ body: (_ read: Int, _ write: Int) throws -> Void
  ) rethrows {
    let axes = sizes.indices.filter { !without.contains($0) }
    var index = [Int](repeating: 0, count: axes.count)
    var read = 0
    var write = 0
    while true {
      try body(read, write)
      var position = axes.count - 1
      while position >= 0 {
        let axis = axes[position]
        index[position] += 1
        read += sourceStrides[axis]
        write += targetStrides[axis]
        if index[position] < sizes[axis] { break }
        read -= sourceStrides[axis] * sizes[axis]
        write -= targetStrides[axis] * sizes[axis]
        index[position] = 0
        position -= 1
      }
      if position < 0 { return }
    }
  }
}

extension StridedCopy {
  /// The same elements without axes of size 1, neighbours that continue each other on both sides
  /// joined; one axis of size 1 for a single element.
  package var collapsed: StridedCopy {
    var result = joined
    if result.sizes.isEmpty {
      (result.sizes, result.sourceStrides, result.targetStrides) = ([1], [1], [1])
    }
    return result
  }

  /// The same without any axis for a single element.
  package var joined: StridedCopy {
    var result = self
    (result.sizes, result.sourceStrides, result.targetStrides) = ([], [], [])
    for (axis, size) in sizes.enumerated() where size != 1 {
      let (source, target) = (sourceStrides[axis], targetStrides[axis])
      // Axes of an empty box may carry strides that no memory has.
      let (sourceSpan, overflow) = source.multipliedReportingOverflow(by: size)
      let (targetSpan, targetOverflow) = target.multipliedReportingOverflow(by: size)
      if let last = result.sizes.indices.last, !overflow, !targetOverflow,
        result.sourceStrides[last] == sourceSpan, result.targetStrides[last] == targetSpan
      {
        result.sizes[last] *= size
        result.sourceStrides[last] = source
        result.targetStrides[last] = target
      } else {
        result.sizes.append(size)
        result.sourceStrides.append(source)
        result.targetStrides.append(target)
      }
    }
    return result
  }

  /// The first of the rows.
  package var row: StridedCopy {
    var result = self
    result.sizes[0] = 1
    return result
  }

  /// How many elements of the output lie between the first and the last one, both included.
  package var targetExtent: Int { extent(targetStrides) }
}
