import ByteIO
import Diagnostics
import TorchArchive

/// A run of elements that is stored in the order of the output: it is read, checked, converted and
/// written piece by piece, and each piece stays in the cache.
struct RangeCopy: Sendable {
  /// The position of the tensor in the plan.
  let tensor: Int
  let source: StoredBox
  /// The first element of the output.
  let start: Int
  let count: Int
  let addend: Float

  /// The bytes of the storage.
  var bytes: Range<Int> {
    source.offset * source.format.size..<(source.offset + count) * source.format.size
  }

  /// - Returns: `nil` unless the piece is one run on both sides, in an entry that can be read
  ///   anywhere.
  init?(_ piece: Piece, of tensor: Int, in plan: TransferPlan) {
    guard case .copy(let source, let destination, let addend) = piece, source.box.count > 0,
      plan.storages[source.storage].entry.compression == .stored
    else { return nil }
    let block = StridedCopy(source, destination).orderedByTarget.collapsed
    guard block.sizes.count == 1, block.sourceStrides == [1], block.targetStrides == [1] else {
      return nil
    }
    self.tensor = tensor
    self.source = source
    start = destination.offset
    count = block.count
    self.addend = addend
  }

  /// Copies the run.
  ///
  /// - Parameters:
  ///   - file: The file that holds the storage.
  ///   - plan: The plan.
  ///   - bench: Buffers and threads.
  ///   - checksums: Whether the CRC is computed along the way.
  ///   - sink: Where the elements go.
  /// - Returns: What was found.
  /// - Throws: `Failure`, or what the sink throws.
  func carryOut(
    from file: InputFile, _ plan: TransferPlan, on bench: WorkerBuffers, checksums: Bool,
    to sink: (any TensorSink)?
  ) throws -> ReadFindings {
    let entry = plan.storages[source.storage].entry
    let (stored, format) = (source.format, plan.tensors[tensor].format)
    let step = bench.stages[0].stored.count / 8
    let total = Locked(ReadFindings())
    try bench.share((count + step - 1) / step, bytes: bytes.count) { stage, index in
      try Interrupted.check()
      let first = index * step
      let part = min(step, count - first)
      let place = bytes.lowerBound + first * stored.size
      let range = 0..<part * stored.size
      do {
        try file.read(at: entry.dataOffset + place, into: stage.stored, range)
      } catch {
        throw Failure(reading: error, file: file.path)
      }
      var found = ReadFindings()
      let crc = checksums ? CRC32.checksum(range, of: stage.stored) : 0
      if checksums {
        found.crc = CRC32.Shift(by: bytes.upperBound - place - range.count)(crc)
      }
      let block = StridedCopy(
        source: 0, target: start + first, sizes: [part], sourceStrides: [1], targetStrides: [1])
      found.floats = try stage.observe(
        block, of: tensor, as: stored, isBigEndian: source.isBigEndian)
      if let sink {
        let ready = stage.converted(
          BufferRows(range, of: stage.stored), from: stored, to: format, adding: addend,
          &found.floats.overflowed)
        let offset = (start + first) * format.size
        // What is written as it was read has the CRC that it was read with.
        let isUnchanged = checksums && format == stored && addend == 0 && !source.isBigEndian
        try sink.note(
          isUnchanged ? crc : CRC32.checksum(ready), of: ready.byteCount, tensor: tensor, at: offset
        )
        try sink.take(ready, tensor: tensor, at: offset)
      }
      total.withLock { $0 += found }
    }
    return total.withLock { $0 }
  }
}

extension ReadFindings {
  static func += (total: inout ReadFindings, part: ReadFindings) {
    total.floats += part.floats
    total.crc ^= part.crc
  }
}

extension WorkerBuffers.ThreadBuffers {
  /// Brings the elements of a block, which lie at the beginning of ``stored``, into the byte order
  /// of the machine, counts what is not finite, and lets the observers see them.
  func observe(
    _ block: StridedCopy, of tensor: Int, as format: FloatFormat, isBigEndian: Bool
  ) throws -> FloatCounts {
    let count = block.count
    if isBigEndian { stored.swapBytes(count, wordSize: format.size, at: 0) }
    let counts = stored.countNonFinite(count, as: format, at: 0)
    for observer in observers { try observer.observe(block, of: tensor, on: self, as: format) }
    return counts
  }

  /// Rows in the format of the output, and how many finite values became infinite. They stay where
  /// they are if there is nothing to convert; else all of them must fit into ``converted``.
  func converted(
    _ rows: BufferRows, from stored: FloatFormat, to format: FloatFormat, adding addend: Float,
    _ overflowed: inout Int
  ) -> BufferRows {
    let width = rows.rowSize / stored.size
    guard format != stored || addend != 0 else { return rows }
    for index in 0..<rows.count {
      overflowed += converted.convert(
        width, from: rows.buffer, at: rows.row(index).lowerBound, as: stored, to: format,
        at: index * width * format.size, adding: addend)
    }
    return BufferRows(0..<rows.count * width * format.size, of: converted)
  }
}
