import ByteIO

/// Forms the sum of a hash over place and bits of every element, and hands the elements on.
final class HashingSink: TensorSink {
  private let plan: ConversionPlan
  /// The format in which the elements are compared, by the positions of the tensors.
  private let rounded: [FloatFormat]
  /// Where the elements go as they are.
  private let next: (any TensorSink)?
  private let found = Locked<[Int: UInt64]>([:])
  private let buffers = BufferPool(bufferSize: 1 << 18)

  /// - Parameters:
  ///   - plan: The plan that is carried out.
  ///   - rounded: The format in which the elements of each tensor are compared.
  ///   - next: Where the elements go as they are.
  init(_ plan: ConversionPlan, rounded: [FloatFormat], next: (any TensorSink)? = nil) {
    self.plan = plan
    self.rounded = rounded
    self.next = next
  }

  /// The sums, by the positions of the tensors.
  var sums: [Int: UInt64] { found.withLock { $0 } }

  func accept(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
    try next?.accept(rows, tensor: tensor, at: offset)
    let (format, target) = (plan.tensors[tensor].format, rounded[tensor])
    let width = rows.rowSize / format.size
    let sum = buffers.withBuffer { buffer in
      var sum: UInt64 = 0
      for row in 0..<rows.count {
        let (start, first) = (rows.row(row).lowerBound, offset / format.size + row * width)
        guard format != target else {
          sum &+= rows.buffer.hash(width, wordSize: target.size, at: start, first: first)
          continue
        }
        var done = 0
        while done < width {
          let count = min(width - done, buffer.count / 4)
          _ = buffer.convert(
            count, from: rows.buffer, at: start + done * format.size, as: format, to: target, at: 0)
          sum &+= buffer.hash(count, wordSize: target.size, at: 0, first: first + done)
          done += count
        }
      }
      return sum
    }
    found.withLock { $0[tensor, default: 0] &+= sum }
  }

  func finished(_ range: Range<Int>, tensor: Int) {
    next?.finished(range, tensor: tensor)
  }
}
