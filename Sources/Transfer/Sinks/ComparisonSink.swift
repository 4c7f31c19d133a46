package import ByteIO
import Diagnostics

/// Compares tensors with those of an output that exists.
package final class ComparisonSink: TensorSink {
  /// Where a tensor lies in the output.
  package struct Place {
    let file: InputFile
    let start: Int

    package init(
      file: InputFile, start: Int
    ) {
      self.file = file
      self.start = start
    }
  }

  /// How a tensor differs.
  package struct Difference: Hashable {
    /// Elements whose bits differ.
    package var elements = 0
    /// The first of them that was met.
    package var first: Int
    package var largest: Float = 0
  }

  private let plan: TransferPlan
  private let places: [Int: Place]
  private let found = Locked<[Int: Difference]>([:])
  private let buffers = BufferPool(bufferSize: 1 << 19)

  /// The tensors that differ, by their positions in the plan.
  package var differences: [Int: Difference] { found.withLock { $0 } }

  package init(_ plan: TransferPlan, places: [Int: Place]) {
    self.plan = plan
    self.places = places
  }

  package func take(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
    guard let place = places[tensor] else { return }
    try buffers.withBuffer { buffer throws(Failure) in
      for (first, group) in rows.groups(of: buffer.count) {
        // A row that is longer than the buffer is compared in portions.
        for start in stride(from: 0, to: group.rowSize, by: buffer.count) {
          let portion = min(buffer.count, group.rowSize - start)
          let at = offset + first * rows.rowSize + start
          do {
            try place.file.read(at: place.start + at, into: buffer, 0..<portion * group.count)
          } catch {
            throw Failure(reading: error, file: place.file.path)
          }
          for row in 0..<group.count {
            let lower = group.row(row).lowerBound + start
            compare(
              lower..<lower + portion, of: group.buffer, with: buffer, at: row * portion,
              tensor: tensor, at + row * portion)
          }
        }
      }
    }
  }

  /// Compares bytes that lie from byte `offset` of a tensor on with those that were read.
  private func compare(
    _ range: Range<Int>, of buffer: ByteBuffer, with other: ByteBuffer, at start: Int, tensor: Int,
    _ offset: Int
  ) {
    guard let byte = buffer.firstDifference(range, from: other, at: start) else { return }
    let format = plan.tensors[tensor].format
    let (elements, largest) = buffer.difference(
      range.count / format.size, as: format, at: range.lowerBound, from: other, at: start)
    let first = (offset + byte) / format.size
    found.withLock { found in
      var difference = found[tensor] ?? Difference(first: first)
      difference.elements += elements
      difference.first = min(difference.first, first)
      difference.largest = max(difference.largest, largest)
      found[tensor] = difference
    }
  }
}
