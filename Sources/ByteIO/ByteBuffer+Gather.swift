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

extension ByteBuffer {
  /// Copies a box of elements out of `source` and lays it down densely in this buffer.
  ///
  /// The elements are written in row-major order of `box.sizes`, without gaps, from byte `start`.
  /// Runs with stride 1 are copied; two dimensions that change places go through a blocked
  /// transposition; anything else is moved element by element.
  ///
  /// - Parameters:
  ///   - box: Which elements, with strides in elements of `source`.
  ///   - source: Where they are. It must be another buffer.
  ///   - offset: The byte offset of the first element in `source`; it may be unaligned.
  ///   - elementSize: The size of an element in bytes.
  ///   - start: The byte offset of the first element in this buffer.
  public func gather(
    _ box: ElementBox, from source: ByteBuffer, at offset: Int, elementSize: Int, to start: Int
  ) {
    let box = box.collapsed
    precondition(source !== self, "a gather cannot be done in place")
    precondition(box.strides.allSatisfy { $0 >= 0 }, "strides cannot be negative")
    guard box.count > 0 else { return }
    let from = unsafe source.slice(offset..<offset + box.extent * elementSize)
    let to = unsafe slice(start..<start + box.count * elementSize)
    // Sound: both slices were checked to cover every element that the loops below reach.
    guard let from = UnsafeRawPointer(from.baseAddress), let to = to.baseAddress else { return }
    let rank = box.sizes.count
    guard rank > 0 else {
      unsafe to.copyMemory(from: from, byteCount: elementSize)
      return
    }
    let inner = rank - 1
    var dense = [Int](repeating: 1, count: rank)
    for axis in stride(from: rank - 2, through: 0, by: -1) {
      dense[axis] = dense[axis + 1] * box.sizes[axis + 1]
    }
    if box.strides[inner] == 1 {
      let run = box.sizes[inner] * elementSize
      forEachOffset(box, dense, without: [inner]) { read, write in
        unsafe (to + write * elementSize).copyMemory(
          from: from + read * elementSize, byteCount: run)
      }
    } else if let unit = (0..<inner).last(where: { box.strides[$0] == 1 }) {
      let shape = Transposition(
        rows: box.sizes[unit], columns: box.sizes[inner],
        sourceStride: box.strides[inner], targetStride: dense[unit])
      forEachOffset(box, dense, without: [unit, inner]) { read, write in
        unsafe transpose(
          shape, from: from + read * elementSize, to: to + write * elementSize,
          elementSize: elementSize)
      }
    } else {
      forEachOffset(box, dense, without: []) { read, write in
        unsafe (to + write * elementSize).copyMemory(
          from: from + read * elementSize, byteCount: elementSize)
      }
    }
  }
}

/// Calls `body` with the source and target offset, in elements, of every position of `box` along
/// the axes that are not in `without`, in row-major order.
private func forEachOffset(
  _ box: ElementBox, _ dense: [Int], without: [Int], _ body: (_ read: Int, _ write: Int) -> Void
) {
  let axes = box.sizes.indices.filter { !without.contains($0) }
  var index = [Int](repeating: 0, count: axes.count)
  var read = 0
  var write = 0
  while true {
    body(read, write)
    var position = axes.count - 1
    while position >= 0 {
      let axis = axes[position]
      index[position] += 1
      read += box.strides[axis]
      write += dense[axis]
      if index[position] < box.sizes[axis] { break }
      read -= box.strides[axis] * box.sizes[axis]
      write -= dense[axis] * box.sizes[axis]
      index[position] = 0
      position -= 1
    }
    if position < 0 { return }
  }
}
