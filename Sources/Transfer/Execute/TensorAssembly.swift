import ByteIO
import Diagnostics
import TorchArchive

/// Rows of an output tensor that are put together from stored parts whose elements lie in another
/// order: transposed, interleaved, or divided among ranks.
///
/// What is read goes straight from the cache into the window, to its place in the row; when the
/// rows are whole, they are written in long runs. A tensor that is larger than the window is made
/// in strips of rows. The parts of a strip are runs of the storages, which are read one by one:
/// short reads cost little, while short writes cost much.
struct TensorAssembly: Sendable {
  /// A stored part.
  struct Part: Sendable {
    let storage: Int
    /// The elements in the order of the output, rows first.
    let block: StridedCopy
    /// The rows of the output that it has a share in.
    let rows: Range<Int>
    /// The bytes of the storage that it spans.
    let bytes: Range<Int>
    /// Whether it has all elements in those bytes, each once.
    let isDense: Bool
  }

  /// The position of the tensor in the plan.
  let tensor: Int
  let parts: [Part]
  /// The rows of the output that are made.
  let rows: Range<Int>
  /// Elements of a row of the output.
  let width: Int
  let stored: FloatFormat
  let isBigEndian: Bool
  let addend: Float
  /// The distance between rows in the window, in bytes.
  let pitch: Int
  /// How many rows are made at a time.
  let stripRows: Int

  /// The most files that are held open side by side.
  private static let maximumFiles = 64
  /// Whole lines of a cache are stored where rows begin at one.
  private static let line = 64

  /// - Returns: `nil` unless the pieces make whole rows of which some fit into the window.
  init?(_ pieces: [Piece], of position: Int, in plan: TransferPlan, window: Int, stage: Int) {
    let tensor = plan.tensors[position]
    let width = tensor.width
    var parts: [Part] = []
    var forms: Set<Form> = []
    for piece in pieces {
      guard case .copy(let source, let destination, let addend) = piece,
        let part = Part(source, destination, width: width),
        plan.storages[source.storage].entry.compression == .stored
      else { return nil }
      forms.insert(
        Form(format: source.format, isBigEndian: source.isBigEndian, addend: addend))
      parts.append(part)
    }
    guard forms.count == 1, let form = forms.first,
      Set(parts.map { plan.storages[$0.storage].file }).count <= TensorAssembly.maximumFiles,
      let first = parts.map(\.rows.lowerBound).min(), let last = parts.map(\.rows.upperBound).max(),
      parts.reduce(0, { $0 + $1.block.count }) == (last - first) * width
    else { return nil }
    let line = TensorAssembly.line
    pitch = (width * form.format.size + line - 1) / line * line + line
    let fitting = min(last - first, window / pitch)
    guard fitting > 0, width * form.format.size <= stage else { return nil }
    // Strips of about the same size, cut where blocks of the transposition end.
    let strips = (last - first + fitting - 1) / fitting
    let even = (last - first + strips - 1) / strips
    stripRows = fitting >= 32 ? min((even + 31) & ~31, fitting & ~31) : fitting
    self.tensor = position
    self.parts = parts
    rows = first..<last
    self.width = width
    stored = form.format
    isBigEndian = form.isBigEndian
    addend = form.addend
  }

  private struct Form: Hashable {
    let format: FloatFormat
    let isBigEndian: Bool
    let addend: Float
  }

  /// The strips of rows, from the first to the last one.
  var strips: [Range<Int>] {
    stride(from: rows.lowerBound, to: rows.upperBound, by: stripRows).map {
      $0..<min($0 + stripRows, rows.upperBound)
    }
  }

  // MARK: - Execution

  /// A part of the reading: some elements of one part.
  private struct Chunk: Sendable {
    let part: Int
    /// The elements in the order of the storage.
    let block: StridedCopy
  }

  /// Reads one strip.
  ///
  /// - Parameters:
  ///   - strip: The rows.
  ///   - files: The open files, by their positions in the plan.
  ///   - plan: The plan.
  ///   - bench: Threads and their buffers.
  ///   - checksums: Whether CRCs are computed along the way.
  ///   - window: Where the rows come together; without one, they do not.
  /// - Returns: The CRC of what was read of each part, to be joined by XOR with those of the other
  ///   strips; how many bytes were read; and what was counted.
  /// - Throws: `Failure`, or what was left to do before throws.
  func read(
    _ strip: Range<Int>, from files: [Int: InputFile], _ plan: TransferPlan,
    on bench: WorkerBuffers,
    checksums: Bool, into window: ByteBuffer?
  ) throws -> (crcs: [UInt32], bytesRead: Int, counts: FloatCounts) {
    let limit = bench.stages[0].stored.count / stored.size
    let line = TensorAssembly.line / stored.size
    let chunks = parts.enumerated().flatMap { position, part in
      part.block(in: strip, width: width).map {
        $0.orderedBySource.chunks(of: limit / 2, limit: limit, line: line).map {
          Chunk(part: position, block: $0)
        }
      } ?? []
    }
    let bytes = chunks.reduce(0) { $0 + $1.block.count * stored.size }
    let found = Locked(
      (crcs: [UInt32](repeating: 0, count: parts.count), counts: FloatCounts()))
    try bench.share(chunks.count, bytes: bytes) { stage, index in
      try Interrupted.check()
      let (chunk, part) = (chunks[index], parts[chunks[index].part])
      let storage = plan.storages[part.storage]
      guard let file = files[storage.file] else { return }
      let crc = try read(
        chunk.block, of: part, storage, from: file, into: stage.stored,
        checksums: checksums && part.isDense)
      let counts = try stage.observe(
        chunk.block, of: tensor, as: stored, isBigEndian: isBigEndian)
      if let window { place(chunk.block, from: stage.stored, in: window, strip) }
      found.withLock {
        $0.crcs[chunk.part] ^= crc
        $0.counts += counts
      }
    }
    let (crcs, counts) = found.withLock { $0 }
    return (crcs, bytes, counts)
  }

  /// Reads the runs of a chunk one after the other into a buffer.
  ///
  /// - Returns: Their CRCs, each shifted by the bytes that follow in the part, joined by XOR.
  private func read(
    _ chunk: StridedCopy, of part: Part, _ storage: PlanStorage, from file: InputFile,
    into buffer: ByteBuffer, checksums: Bool
  ) throws -> UInt32 {
    let runs = chunk.exchanged
    let size = runs.targetRun * stored.size
    var filled = 0
    var crc: UInt32 = 0
    var end = part.bytes.lowerBound
    var shift = CRC32.Shift(by: 0)
    do {
      try runs.forEachTargetRun { element in
        let place = element * stored.size
        try file.read(at: storage.entry.dataOffset + place, into: buffer, filled..<filled + size)
        if checksums {
          // What was summed up so far moves on to the end of this run.
          if shift.count != place + size - end { shift = CRC32.Shift(by: place + size - end) }
          crc = shift(crc) ^ CRC32.checksum(filled..<filled + size, of: buffer)
          end = place + size
        }
        filled += size
      }
    } catch let error as FileError {
      throw Failure(reading: error, file: file.path)
    }
    return checksums ? CRC32.Shift(by: part.bytes.upperBound - end)(crc) : 0
  }

  /// Lays the elements of a chunk down where their rows are in the window.
  private func place(
    _ chunk: StridedCopy, from buffer: ByteBuffer, in window: ByteBuffer, _ strip: Range<Int>
  ) {
    let (row, column) = chunk.target.quotientAndRemainder(dividingBy: width)
    window.gather(
      ElementBox(dense: chunk.sizes), from: buffer, at: 0, elementSize: stored.size,
      to: (row - strip.lowerBound) * pitch + column * stored.size,
      strides: chunk.targetStrides.map { $0 == width ? pitch / stored.size : $0 }, streaming: true)
  }

  /// The rows of a strip in a window, in groups that fit into the buffer of a thread, each with the
  /// number of its first row.
  func groups(
    of strip: Range<Int>, in window: ByteBuffer, on bench: WorkerBuffers
  ) -> [(first: Int, rows: BufferRows)] {
    rows(of: strip, in: window).groups(of: bench.stages[0].stored.count / 2)
      .map { (strip.lowerBound + $0.first, $0.rows) }
  }

  /// The rows of a strip in a window.
  func rows(of strip: Range<Int>, in window: ByteBuffer) -> BufferRows {
    BufferRows(
      of: window, start: 0, rowSize: width * stored.size, pitch: pitch, count: strip.count)
  }

  /// Whether there is something to compute for the rows before they are handed on.
  func isComputed(in plan: TransferPlan) -> Bool {
    stored != plan.tensors[tensor].format || addend != 0
  }

  /// Hands groups of rows to the sink.
  ///
  /// - Parameters:
  ///   - groups: The rows.
  ///   - plan: The plan.
  ///   - stage: The buffers of the thread.
  ///   - sink: Where the rows go.
  /// - Returns: How many finite values became infinite.
  /// - Throws: What the sink throws, or `Interrupted`.
  func write(
    _ groups: ArraySlice<(first: Int, rows: BufferRows)>, _ plan: TransferPlan,
    on stage: WorkerBuffers.ThreadBuffers, to sink: any TensorSink
  ) throws -> Int {
    let format = plan.tensors[tensor].format
    var overflowed = 0
    for (first, rows) in groups {
      try Interrupted.check()
      let ready = stage.converted(rows, from: stored, to: format, adding: addend, &overflowed)
      try sink.accept(ready, tensor: tensor, at: first * width * format.size)
    }
    return overflowed
  }
}

extension TensorAssembly.Part {
  /// - Returns: `nil` where elements repeat or lie apart in the storage, or do not lie in rows.
  fileprivate init?(_ source: StoredBox, _ destination: Piece.Destination, width: Int) {
    guard source.box.count > 0, width > 0 else { return nil }
    let block = StridedCopy(source, destination).orderedByTarget.collapsed
    guard block.sourceStrides.allSatisfy({ $0 > 0 }),
      block.count == 1
        || zip(block.sizes, block.sourceStrides).contains(where: { $0 > 1 && $1 == 1 })
    else { return nil }
    let (row, column) = block.target.quotientAndRemainder(dividingBy: width)
    let isSeveral = block.targetStrides[0] == width && block.sizes[0] > 1
    guard (isSeveral ? block.row : block).targetExtent <= width - column else { return nil }
    storage = source.storage
    self.block = block
    rows = row..<row + (isSeveral ? block.sizes[0] : 1)
    let size = source.format.size
    bytes = block.source * size..<(block.source + block.sourceExtent) * size
    isDense = block.orderedBySource.exchanged.targetRun == block.count
  }

  /// The elements of the part in a strip of rows.
  fileprivate func block(in strip: Range<Int>, width: Int) -> StridedCopy? {
    let shared = rows.clamped(to: strip)
    guard !shared.isEmpty else { return nil }
    guard rows.count > 1 else { return block }
    var result = block
    let skipped = shared.lowerBound - rows.lowerBound
    result.source += skipped * block.sourceStrides[0]
    result.target += skipped * block.targetStrides[0]
    result.sizes[0] = shared.count
    return result
  }
}
