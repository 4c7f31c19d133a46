/// A box of elements inside a linear run of memory: sizes and strides, both in elements.
///
/// The strides may be anything that is not negative: zero repeats an element, and a stride smaller
/// than the extent of the dimensions inside it makes the box overlap itself.
public struct ElementBox: Hashable, Sendable {
  public var sizes: [Int]
  public var strides: [Int]

  public init(sizes: [Int], strides: [Int]) {
    precondition(sizes.count == strides.count, "one stride for each size")
    self.sizes = sizes
    self.strides = strides
  }

  /// A box in row-major order without gaps.
  public init(dense sizes: [Int]) {
    self.sizes = sizes
    strides = [Int](repeating: 1, count: sizes.count)
    for axis in sizes.indices.dropLast().reversed() {
      strides[axis] = strides[axis + 1] * sizes[axis + 1]
    }
  }

  /// The number of elements.
  public var count: Int { sizes.reduce(1, *) }

  /// How many elements lie between the first and the last one, both included; 0 for an empty box.
  public var extent: Int {
    guard !sizes.contains(0) else { return 0 }
    return zip(sizes, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
  }

  /// The same elements in the same order with fewer dimensions: those of size 1 are dropped, and
  /// neighbours that continue each other are joined.
  public var collapsed: ElementBox {
    var result = ElementBox(sizes: [], strides: [])
    for (size, stride) in zip(sizes, strides) where size != 1 {
      // Dimensions of an empty box may carry strides that no memory has.
      let (span, overflow) = stride.multipliedReportingOverflow(by: size)
      if let last = result.sizes.indices.last, result.strides[last] == span, !overflow {
        result.sizes[last] *= size
        result.strides[last] = stride
      } else {
        result.sizes.append(size)
        result.strides.append(stride)
      }
    }
    return result
  }
}

/// Elements that move from one box to another of the same sizes: in memory, strides on both sides.
struct StridedCopy {
  var sizes: [Int] = []
  var sourceStrides: [Int] = []
  var targetStrides: [Int] = []

  /// The copy with fewer dimensions: those of size 1 are dropped, and neighbours that continue each other
  /// on both sides are joined.
  init(_ sizes: [Int], from sourceStrides: [Int], to targetStrides: [Int]) {
    for (axis, size) in sizes.enumerated() where size != 1 {
      let (source, target) = (sourceStrides[axis], targetStrides[axis])
      let (sourceSpan, overflow) = source.multipliedReportingOverflow(by: size)
      let (targetSpan, targetOverflow) = target.multipliedReportingOverflow(by: size)
      if let last = self.sizes.indices.last, !overflow, !targetOverflow,
        self.sourceStrides[last] == sourceSpan, self.targetStrides[last] == targetSpan
      {
        self.sizes[last] *= size
        self.sourceStrides[last] = source
        self.targetStrides[last] = target
      } else {
        self.sizes.append(size)
        self.sourceStrides.append(source)
        self.targetStrides.append(target)
      }
    }
  }

  /// Calls `body` with the source and target offset, in elements, of every position along the axes that
  /// are not in `without`, in row-major order.
  func forEachOffset(without: [Int], _ body: (_ read: Int, _ write: Int) -> Void) {
    let axes = sizes.indices.filter { !without.contains($0) }
    var index = [Int](repeating: 0, count: axes.count)
    var read = 0
    var write = 0
    while true {
      body(read, write)
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

extension ByteBuffer {
  /// Copies a box of elements out of `source` and lays it down in this buffer.
  ///
  /// Runs that lie together on both sides are copied; two dimensions that change places go through a
  /// blocked transposition; anything else is moved element by element.
  ///
  /// - Parameters:
  ///   - box: Which elements, with strides in elements of `source`.
  ///   - source: Where they are. It must be another buffer.
  ///   - offset: The byte offset of the first element in `source`; it may be unaligned.
  ///   - elementSize: The size of an element in bytes.
  ///   - start: The byte offset of the first element in this buffer.
  ///   - strides: Where the others are laid down, in elements; `nil` for row-major order of `box.sizes`
  ///     without gaps.
  ///   - streaming: Whether a transposition stores past the caches: right for a target that is larger than
  ///     they are, and is not read before all of it is there.
  public func gather(
    _ box: ElementBox, from source: ByteBuffer, at offset: Int, elementSize: Int, to start: Int,
    strides: [Int]? = nil, streaming: Bool = false
  ) {
    precondition(source !== self, "a gather cannot be done in place")
    precondition(box.strides.allSatisfy { $0 >= 0 }, "strides cannot be negative")
    guard box.count > 0 else { return }
    let target =
      strides.map { ElementBox(sizes: box.sizes, strides: $0) } ?? ElementBox(dense: box.sizes)
    precondition(target.strides.allSatisfy { $0 >= 0 }, "strides cannot be negative")
    let from = unsafe source.slice(offset..<offset + box.extent * elementSize)
    let to = unsafe slice(start..<start + target.extent * elementSize)
    // Sound: both slices were checked to cover every element that the loops below reach.
    guard let from = UnsafeRawPointer(from.baseAddress), let to = to.baseAddress else { return }
    let copy = StridedCopy(box.sizes, from: box.strides, to: target.strides)
    guard !copy.sizes.isEmpty else {
      unsafe to.copyMemory(from: from, byteCount: elementSize)
      return
    }
    let written = copy.targetStrides.lastIndex(of: 1)
    let read = copy.sourceStrides.lastIndex(of: 1)
    if let written, copy.sourceStrides[written] == 1 {
      let run = copy.sizes[written] * elementSize
      copy.forEachOffset(without: [written]) { read, write in
        unsafe (to + write * elementSize).copyMemory(
          from: from + read * elementSize, byteCount: run)
      }
    } else if let written, let read {
      let shape = Transposition(
        rows: copy.sizes[read], columns: copy.sizes[written],
        sourceStride: copy.sourceStrides[written], targetStride: copy.targetStrides[read])
      copy.forEachOffset(without: [read, written]) { read, write in
        unsafe transpose(
          shape, from: from + read * elementSize, to: to + write * elementSize,
          elementSize: elementSize, streaming: streaming)
      }
    } else {
      copy.forEachOffset(without: []) { read, write in
        unsafe (to + write * elementSize).copyMemory(
          from: from + read * elementSize, byteCount: elementSize)
      }
    }
  }
}
