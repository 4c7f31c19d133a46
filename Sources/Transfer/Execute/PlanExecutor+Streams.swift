import ByteIO

/// What is read from front to back, and made in one go: deflated storages, odd strides, and
/// constants.
extension PlanExecutor {
  private struct Block {
    let copy: Schedule.Copy
    let part: StridedCopy
    let bytes: Range<Int>
  }

  /// Reads the boxes of a storage in the order of their bytes.
  func stream(_ storage: Int, _ copies: [Schedule.Copy], _ sink: (any TensorSink)?) throws {
    var blocks: [Block] = []
    for copy in copies {
      let size = copy.source.format.size
      for part in StridedCopy(copy.source, copy.destination).split(
        sourceExtent: bench.window.count / size)
      {
        blocks.append(
          Block(
            copy: copy, part: part,
            bytes: part.source * size..<(part.source + part.sourceExtent) * size))
      }
    }
    blocks.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
    let reader = try reader(storage)
    var next = 0
    while next < blocks.count {
      // As many blocks as fit into the window, without the gaps between them: what lies there is
      // not needed, or is read when its replicas are.
      var range = blocks[next].bytes
      var last = next + 1
      while last < blocks.count,
        blocks[last].bytes.upperBound - range.lowerBound <= bench.window.count,
        blocks[last].bytes.lowerBound <= range.upperBound
      {
        range = range.lowerBound..<max(range.upperBound, blocks[last].bytes.upperBound)
        last += 1
      }
      try read(range, with: reader)
      for block in blocks[next..<last] {
        try scatter(
          block.part, from: bench.window,
          at: block.part.source * block.copy.source.format.size
            - range.lowerBound, block.copy.source, addend: block.copy.addend,
          tensor: block.copy.tensor, sink)
      }
      next = last
    }
    try note(reader, storage)
  }

  // MARK: - Into the sink

  /// Puts a block that lies in memory into the order of the output, strip by strip, and hands it
  /// on.
  private func scatter(
    _ block: StridedCopy, from buffer: ByteBuffer, at start: Int, _ source: StoredBox,
    addend: Float,
    tensor: Int, _ sink: (any TensorSink)?
  ) throws {
    let staged = bench.stages[0].stored
    // The axes in the order of the output, so that what is written lies together.
    for strip in block.orderedByTarget.split(count: staged.count / 4) {
      let count = strip.count
      let offset = start + (strip.source - block.source) * source.format.size
      staged.gather(
        ElementBox(sizes: strip.sizes, strides: strip.sourceStrides), from: buffer, at: offset,
        elementSize: source.format.size, to: 0)
      if source.isBigEndian { staged.swapBytes(count, wordSize: source.format.size, at: 0) }
      try emit(strip, as: source.format, addend: addend, tensor: tensor, sink)
    }
  }

  /// Converts the elements of a block, which lie at the start of the first stage, and hands them to
  /// the sink in runs.
  func emit(
    _ block: StridedCopy, as stored: FloatFormat, addend: Float, tensor: Int,
    _ sink: (any TensorSink)?
  ) throws {
    let format = plan.tensors[tensor].format
    let stage = bench.stages[0]
    var counts = try stage.observe(block, of: tensor, as: stored, isBigEndian: false)
    defer { report.findings[tensor, default: TensorFindings()].floats += counts }
    guard let sink else { return }
    let ready = stage.converted(
      BufferRows(0..<block.count * stored.size, of: stage.stored), from: stored, to: format,
      adding: addend, &counts.overflowed)
    let size = block.targetRun * format.size
    var position = 0
    try block.forEachTargetRun { target in
      try sink.accept(
        BufferRows(position..<position + size, of: ready.buffer), tensor: tensor,
        at: target * format.size)
      position += size
    }
  }

  /// Makes a constant.
  func fill(_ fill: Schedule.Fill, _ sink: (any TensorSink)?) throws {
    guard let sink else { return }
    let stage = bench.stages[0]
    let format = plan.tensors[fill.tensor].format
    let constant = ByteBuffer(
      (0..<4).map { UInt8(truncatingIfNeeded: fill.value.bitPattern >> (8 * $0)) })
    var done = 0
    while done < fill.count {
      let part = min(fill.count - done, stage.stored.count / 4)
      stage.stored.gather(
        ElementBox(sizes: [part], strides: [0]), from: constant, at: 0, elementSize: 4, to: 0)
      _ = stage.converted.convert(
        part, from: stage.stored, at: 0, as: .float32, to: format, at: 0)
      try sink.accept(
        BufferRows(0..<part * format.size, of: stage.converted), tensor: fill.tensor,
        at: (fill.destination.offset + done) * format.size)
      done += part
    }
  }
}
