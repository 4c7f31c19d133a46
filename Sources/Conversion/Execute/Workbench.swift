import ByteIO
import TorchArchive

/// The memory and the threads that the tensors of a plan are made with, one tensor after the other.
final class Workbench: Sendable {
  /// Two buffers of a thread: elements as they are stored, and as they are converted.
  struct Stage: Sendable {
    let stored: ByteBuffer
    let converted: ByteBuffer
  }

  /// Where the parts of a tensor come together.
  let window: ByteBuffer
  /// One for each thread.
  let stages: [Stage]
  /// What is left to do for a tensor that is made, and is done beside the writing of the next one.
  private let afterwork = Locked<(@Sendable () -> Void)?>(nil)

  /// How much a thread reads at a time, and usually half of it: so it stays in the second-level cache until it
  /// was put in place.
  static let stageSize = 512 << 10
  /// Work on fewer bytes than that is done before another thread has begun.
  static let sharedFrom = 1 << 19
  private let sharedFrom: Int

  /// - Parameters:
  ///   - windowSize: The size of the window in bytes.
  ///   - stageSize: How many bytes a thread reads at a time.
  ///   - threads: How many threads share the work.
  ///   - sharedFrom: On how many bytes they do.
  init(windowSize: Int, stageSize: Int, threads: Int, sharedFrom: Int) {
    self.sharedFrom = sharedFrom
    window = ByteBuffer(count: windowSize)
    stages = (0..<max(1, threads)).map { _ in
      // The widest conversion doubles the size.
      Stage(stored: ByteBuffer(count: stageSize), converted: ByteBuffer(count: 2 * stageSize))
    }
  }

  /// The memory that a bench takes when all of it was used.
  static func size(windowSize: Int, stageSize: Int, threads: Int) -> Int {
    windowSize + 3 * stageSize * threads
  }

  /// Shares `count` calls among the threads, if all of it is about enough `bytes`.
  ///
  /// - Parameters:
  ///   - count: How many calls are made.
  ///   - bytes: How much all of them read or write.
  ///   - isBesideAfterwork: Whether what was left for later is done meanwhile.
  ///   - body: The work, with the buffers of the thread that it is on.
  /// - Throws: What one of the calls throws.
  func share(
    _ count: Int, bytes: Int, besideAfterwork isBesideAfterwork: Bool = false,
    _ body: @Sendable (Stage, Int) throws -> Void
  ) throws {
    guard bytes >= sharedFrom, stages.count > 1 else {
      for index in 0..<count { try body(stages[0], index) }
      return
    }
    let first = isBesideAfterwork ? takeAfterwork() : nil
    let extra = first == nil ? 0 : 1
    try Workers.perform(count + extra, threads: stages.count) { worker, index in
      if let first, index == 0 { return first() }
      try body(stages[worker], index - extra)
    }
  }

  /// Leaves `work` to be done beside what is shared next and asks for that.
  func later(_ work: @escaping @Sendable () -> Void) {
    finishAfterwork()
    afterwork.withLock { $0 = work }
  }

  /// Does what was left for later.
  func finishAfterwork() { takeAfterwork()?() }

  private func takeAfterwork() -> (@Sendable () -> Void)? {
    afterwork.withLock { work in
      defer { work = nil }
      return work
    }
  }
}

/// What was found out while a run of stored bytes was read: by any thread, in any order.
struct ReadFindings: Sendable {
  var floats = FloatCounts()
  /// The XOR over all that was read of CRCs, each shifted by the bytes that follow in the run.
  var crc: UInt32 = 0
}
