package import ByteIO
import Synchronization

/// The hashes of the elements of tensors, each rounded to some format, as they are read: by any
/// thread, in any order.
///
/// The elements are in the cache when they are observed, so this costs a fraction of the reading.
package final class TensorHashes: ElementObserver {
  private struct Form {
    /// The format in which elements are compared.
    let format: FloatFormat
    /// Elements of a row of the tensor.
    let width: Int
  }

  /// By the positions of the tensors; `nil` where a hash would say nothing.
  private let forms: [Form?]
  private let isCancelled = Atomic<Bool>(false)
  private let sums = Locked<[Int: WordHash]>([:])

  /// - Parameters:
  ///   - plan: The plan that is carried out.
  ///   - formats: The format in which the elements of each tensor are compared.
  package init(_ plan: TransferPlan, in formats: [FloatFormat]) {
    forms = zip(plan.tensors, formats).map { tensor, format in
      // Where 1 is added, the sum of the rounded and the rounded sum are two things.
      tensor.hasAddend ? nil : Form(format: format, width: tensor.width)
    }
  }

  /// Hashes of elements as they are stored.
  package convenience init(_ plan: TransferPlan) { self.init(plan, in: plan.tensors.map(\.format)) }

  /// The hashes so far, by the positions of the tensors.
  package var found: [Int: WordHash] { sums.withLock { $0 } }

  /// Takes the hashes away, so that the next ones start from zero.
  package func takeFound() -> [Int: WordHash] {
    sums.withLock { sums in
      defer { sums = [:] }
      return sums
    }
  }

  /// Hashes all elements of a plan as they are stored.
  ///
  /// - Returns: The hashes, by the positions of the tensors.
  /// - Throws: `Failure`, or `Interrupted`.
  package static func ofAll(
    _ plan: TransferPlan, _ crc: CRCMode, threads: Int
  ) throws -> [Int: WordHash] {
    let hashes = TensorHashes(plan)
    try hashes.addAll(of: plan, crc, threads: threads)
    return hashes.found
  }

  /// Reads all elements of a plan, adds them, and makes nothing else of them.
  ///
  /// - Throws: `Failure`, `Interrupted`, or ``Cancelled``.
  package func addAll(
    of plan: TransferPlan, _ crc: CRCMode, threads: Int,
    progress: @escaping ExecutionReport.Progress = { _ in }
  ) throws {
    let executor = PlanExecutor(
      plan, crc: crc, sizes: .reading(threads: threads), observers: [self], progress: progress)
    try executor.run(into: nil)
    try executor.finish()
  }

  /// Nobody asks for the hashes any more.
  package struct Cancelled: Error {}

  /// Ends whatever adds to the hashes.
  package func cancel() { isCancelled.store(true, ordering: .relaxed) }

  /// - Throws: ``Cancelled``.
  package func checkWanted() throws {
    if isCancelled.load(ordering: .relaxed) { throw Cancelled() }
  }

  /// Adds the elements of a block.
  ///
  /// - Throws: ``Cancelled``.
  package func observe(
    _ block: StridedCopy, of tensor: Int, on stage: WorkerBuffers.ThreadBuffers,
    as stored: FloatFormat
  ) throws {
    try checkWanted()
    guard let form = forms[tensor], block.count > 0 else { return }
    var buffer = stage.stored
    if stored != form.format {
      buffer = stage.converted
      _ = buffer.convert(block.count, from: stage.stored, at: 0, as: stored, to: form.format, at: 0)
    }
    let size = form.format.size
    var sum = WordHash()
    var done = 0
    block.forEachLine { target, count, stride in
      var index = 0
      while index < count {
        let (row, column) = (target + index * stride).quotientAndRemainder(dividingBy: form.width)
        let (direction, run): (WordHash.Direction, Int) =
          switch stride {
          case 1: (.alongRow, min(count - index, form.width - column))
          case form.width: (.alongColumn, count - index)
          default: (.alongRow, 1)
          }
        sum += buffer.hash(
          run, wordSize: size, at: (done + index) * size, row: row, column: column, direction)
        index += run
      }
      done += count
    }
    sums.withLock { $0[tensor, default: WordHash()] += sum }
  }
}

extension StridedCopy {
  /// Calls `body` for each line of elements along the innermost axis, in the order of the axes:
  /// with the offset in the output, the number of elements and their distance there.
  fileprivate func forEachLine(_ body: (_ target: Int, _ count: Int, _ stride: Int) -> Void) {
    let block = collapsed
    let last = block.sizes.count - 1
    block.forEachOffset(without: [last]) { _, offset in
      body(block.target + offset, block.sizes[last], block.targetStrides[last])
    }
  }
}
