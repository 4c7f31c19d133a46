import ByteIO
import Synchronization
import TorchArchive

/// Rows of an output tensor whose stored parts fit into the window together: they are read side by side,
/// and whole rows are put together and written in long runs, on several threads.
///
/// Without it each tensor-parallel rank would be written by itself, in runs as short as its share of a row.
struct TensorAssembly: Sendable {
  /// A stored part, and where it is in the window.
  struct Part: Sendable {
    let source: StoredBox
    /// The bytes of the storage that are read.
    let bytes: Range<Int>
    let windowOffset: Int
    /// The elements in the order of the output, rows first; the target counts from the first row.
    let block: CopyBlock
  }

  /// The position of the tensor in the plan.
  let tensor: Int
  let parts: [Part]
  /// The first element of the output that is made.
  let start: Int
  let rows: Int
  /// Elements of a row of the output.
  let width: Int
  let stored: FloatFormat
  let isBigEndian: Bool
  let addend: Float

  /// The assemblies that make as much of a tensor as can be made that way, and the pieces that are left.
  static func assemblies(
    of position: Int, in plan: ConversionPlan, window: Int, stage: Int
  ) -> (made: [TensorAssembly], left: [Piece]) {
    let tensor = plan.tensors[position]
    let pieces = tensor.pieces
    if let whole = TensorAssembly(pieces, of: position, in: plan, window: window, stage: stage) {
      return ([whole], [])
    }
    var result: (made: [TensorAssembly], left: [Piece]) = ([], [])
    for piece in pieces {
      if let made = TensorAssembly([piece], of: position, in: plan, window: window, stage: stage) {
        result.made.append(made)
      } else {
        result.left.append(piece)
      }
    }
    return result
  }

  /// The most parts that are read side by side: each may be in a file of its own.
  private static let maximumParts = 8

  /// - Returns: `nil` unless the pieces make whole rows and fit into the window.
  private init?(
    _ pieces: [Piece], of position: Int, in plan: ConversionPlan, window: Int, stage: Int
  ) {
    guard !pieces.isEmpty, pieces.count <= TensorAssembly.maximumParts else { return nil }
    var parts: [Part] = []
    var offset = 0
    var addends: Set<Float> = []
    for piece in pieces {
      guard case .copy(let source, let destination, let addend) = piece, source.box.count > 0,
        plan.storages[source.storage].entry.compression == .stored
      else { return nil }
      addends.insert(addend)
      let size = source.format.size
      let block = CopyBlock(
        source: source.offset, target: destination.offset, sizes: source.box.sizes,
        sourceStrides: source.box.strides, targetStrides: destination.strides
      ).orderedByTarget.collapsed
      let bytes = source.offset * size..<(source.offset + block.sourceExtent) * size
      guard bytes.count <= window - offset else { return nil }
      parts.append(
        Part(source: source, bytes: bytes, windowOffset: offset, block: block))
      offset += (bytes.count + 63) & ~63
    }
    guard let first = parts.first, let width = first.block.targetStrides.first,
      let rows = first.block.sizes.first, width > 0, addends.count == 1,
      parts.allSatisfy({
        $0.source.format == first.source.format && $0.source.isBigEndian == first.source.isBigEndian
      })
    else { return nil }
    let lowest = parts.map(\.block.target).min() ?? 0
    let start = lowest / width * width
    let size = max(first.source.format.size, plan.tensors[position].format.size)
    guard width * size <= stage, parts.reduce(0, { $0 + $1.block.count }) == rows * width,
      parts.allSatisfy({ part in
        part.block.sizes.first == rows && part.block.targetStrides.first == width
          && part.block.row.targetExtent <= start + width - part.block.target
      })
    else { return nil }
    tensor = position
    self.parts = parts
    self.start = start
    self.rows = rows
    self.width = width
    stored = first.source.format
    isBigEndian = first.source.isBigEndian
    self.addend = addends.first ?? 0
  }

  // MARK: - Execution

  /// A part of the reading: some bytes of one stored part.
  private struct Chunk: Sendable {
    let part: Int
    let range: Range<Int>
  }

  private static let chunkSize = 2 << 20

  /// Reads all parts into the window.
  ///
  /// - Parameters:
  ///   - files: The open file of each part.
  ///   - plan: The plan.
  ///   - window: Where they are read into.
  ///   - checksums: Whether CRCs are computed along the way.
  ///   - threads: How many threads share the work.
  /// - Returns: The CRCs of what was read, by storages.
  /// - Throws: ``ConversionError``.
  func read(
    from files: [InputFile], _ plan: ConversionPlan, into window: ByteBuffer, checksums: Bool,
    threads: Int
  ) throws -> [(storage: Int, segment: ChecksumLedger.Segment)] {
    var chunks: [Chunk] = []
    for (position, part) in parts.enumerated() {
      for start in stride(
        from: part.bytes.lowerBound, to: part.bytes.upperBound, by: TensorAssembly.chunkSize)
      {
        let end = min(start + TensorAssembly.chunkSize, part.bytes.upperBound)
        chunks.append(Chunk(part: position, range: start..<end))
      }
    }
    let failure = Mutex<ConversionError?>(nil)
    let sums = Mutex([UInt32](repeating: 0, count: chunks.count))
    let list = chunks
    Workers.perform(list.count, threads: threads) { _, index in
      let (chunk, part) = (list[index], parts[list[index].part])
      let storage = plan.storages[part.source.storage]
      let start = part.windowOffset + chunk.range.lowerBound - part.bytes.lowerBound
      let target = start..<start + chunk.range.count
      do {
        try files[chunk.part].read(
          at: storage.entry.dataOffset + chunk.range.lowerBound, into: window, target)
      } catch {
        let error = ConversionError(reading: error, file: files[chunk.part].path)
        failure.withLock { if $0 == nil { $0 = error } }
        return
      }
      guard checksums, storage.entry.crc != nil else { return }
      let crc = CRC32.checksum(target, of: window)
      sums.withLock { $0[index] = crc }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    guard checksums else { return [] }
    let crcs = sums.withLock { $0 }
    return chunks.indices.compactMap { index in
      let storage = parts[chunks[index].part].source.storage
      guard plan.storages[storage].entry.crc != nil else { return nil }
      return (storage, ChecksumLedger.Segment(range: chunks[index].range, crc: crcs[index]))
    }
  }

  /// Puts rows together and hands them to the sink, from several threads if it takes that.
  ///
  /// - Parameters:
  ///   - plan: The plan.
  ///   - window: The parts as they were read.
  ///   - stages: Two buffers for each thread.
  ///   - sink: Where the rows go.
  /// - Returns: What was counted.
  /// - Throws: What the sink throws.
  func write(
    _ plan: ConversionPlan, from window: ByteBuffer,
    stages: [(staged: ByteBuffer, converted: ByteBuffer)], to sink: any TensorSink
  ) throws -> FloatCounts {
    let format = plan.tensors[tensor].format
    let size = max(stored.size, format.size)
    let step = max(1, min(rows, (stages.first?.staged.count ?? 0) / (width * size)))
    guard stages.count > 1, let concurrent = sink as? any ConcurrentSink else {
      guard let (staged, converted) = stages.first else { return FloatCounts() }
      var total = FloatCounts()
      for row in stride(from: 0, to: rows, by: step) {
        let (ready, count, counts) = assemble(
          row..<min(row + step, rows), from: window, staged, converted, as: format)
        total += counts
        try sink.accept(
          0..<count * format.size, of: ready, tensor: tensor,
          at: (start + row * width) * format.size)
      }
      return total
    }
    let total = Mutex(FloatCounts())
    let failure = Mutex<(any Error)?>(nil)
    Workers.perform((rows + step - 1) / step, threads: stages.count) { worker, index in
      let row = index * step
      let (ready, count, counts) = assemble(
        row..<min(row + step, rows), from: window, stages[worker].staged,
        stages[worker].converted, as: format)
      total.withLock { $0 += counts }
      do {
        try concurrent.accept(
          0..<count * format.size, of: ready, tensor: tensor,
          at: (start + row * width) * format.size)
      } catch {
        failure.withLock { if $0 == nil { $0 = error } }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    return total.withLock { $0 }
  }

  /// Puts some rows together, in the type of the output.
  private func assemble(
    _ range: Range<Int>, from window: ByteBuffer, _ staged: ByteBuffer, _ converted: ByteBuffer,
    as format: FloatFormat
  ) -> (ready: ByteBuffer, count: Int, counts: FloatCounts) {
    let size = stored.size
    for part in parts {
      let block = part.block
      var sizes = block.sizes
      sizes[0] = range.count
      let source =
        part.windowOffset - part.bytes.lowerBound
        + (block.source + range.lowerBound * block.sourceStrides[0]) * size
      staged.gather(
        ElementBox(sizes: sizes, strides: block.sourceStrides), from: window, at: source,
        elementSize: size, to: (block.target - start) * size, strides: block.targetStrides)
    }
    let count = range.count * width
    if isBigEndian { staged.swapBytes(count, wordSize: size, at: 0) }
    var counts = staged.countNonFinite(count, as: stored, at: 0)
    guard format != stored || addend != 0 else { return (staged, count, counts) }
    counts.overflowed = converted.convert(
      count, from: staged, at: 0, as: stored, to: format, at: 0, adding: addend)
    return (converted, count, counts)
  }
}
