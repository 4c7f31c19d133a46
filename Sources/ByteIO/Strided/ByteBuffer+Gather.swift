extension ByteBuffer {
  /// Copies a box of elements out of `source` and lays it down in this buffer.
  ///
  /// Runs that lie together on both sides are copied; two dimensions that change places go through
  /// a blocked transposition; anything else is moved element by element.
  ///
  /// - Parameters:
  ///   - box: Which elements, with strides in elements of `source`.
  ///   - source: Where they are. It must be another buffer.
  ///   - offset: The byte offset of the first element in `source`; it may be unaligned.
  ///   - elementSize: The size of an element in bytes.
  ///   - start: The byte offset of the first element in this buffer.
  ///   - strides: Where the others are laid down, in elements; `nil` for row-major order of
  ///     `box.sizes` without gaps.
  ///   - streaming: Whether a transposition stores past the caches: right for a target that is
  ///     larger than they are, and is not read before all of it is there.
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
    let copy = StridedCopy(box.sizes, from: box.strides, to: target.strides).collapsed
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
