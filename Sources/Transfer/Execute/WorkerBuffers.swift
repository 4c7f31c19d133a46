package import ByteIO

/// The memory and the threads that the tensors of a plan are made with, one tensor after the other.
package final class WorkerBuffers: Sendable {
  /// Two buffers of a thread: elements as they are stored, and as they are converted.
  package struct ThreadBuffers: Sendable {
    package let stored: ByteBuffer
    package let converted: ByteBuffer
    let observers: [any ElementObserver]
  }

  /// Where the parts of tensors come together; where there are two, one is filled while the other
  /// is written.
  private let windows: [ByteBuffer]
  /// One for each thread.
  package let stages: [ThreadBuffers]
  /// What is left to do with what was filled last.
  private let deferred = Locked<Deferred?>(nil)
  /// How often the windows took turns.
  private let turn = Locked(0)

  typealias Deferred = @Sendable (ThreadBuffers) throws -> Void

  private let sharedFrom: Int

  /// Buffers and threads.
  ///
  /// - Parameters:
  ///   - sizes: How large all of it is.
  ///   - observers: Called with every element that is read.
  package init(_ sizes: Sizes, observers: [any ElementObserver] = []) {
    sharedFrom = sizes.sharedFrom
    windows = (0..<sizes.windows).map { _ in ByteBuffer(count: sizes.window) }
    stages = (0..<max(1, sizes.threads)).map { _ in
      // The widest conversion doubles the size.
      ThreadBuffers(
        stored: ByteBuffer(count: sizes.stage), converted: ByteBuffer(count: 2 * sizes.stage),
        observers: observers)
    }
  }

  /// A window that is not in use.
  var window: ByteBuffer { windows[turn.withLock { $0 } % windows.count] }

  /// Whether a window is written while another one is filled.
  var isOverlapping: Bool { windows.count > 1 }

  /// Shares `count` calls among the threads, and does meanwhile what was left for later. If all of
  /// it is about too few `bytes`, or there is no other thread, this one makes the calls, and what
  /// was left stays so.
  ///
  /// - Parameters:
  ///   - count: How many calls are made.
  ///   - bytes: How much all of them read or write.
  ///   - body: The work, with the buffers of the thread that it is on.
  /// - Throws: What one of the calls throws.
  package func share(
    _ count: Int, bytes: Int, _ body: @Sendable (ThreadBuffers, Int) throws -> Void
  ) throws {
    guard bytes >= sharedFrom, stages.count > 1 else {
      for index in 0..<count { try body(stages[0], index) }
      return
    }
    let first = takeDeferred()
    let extra = first == nil ? 0 : 1
    try Workers.perform(count + extra, threads: stages.count) { worker, index in
      if let first, index == 0 { return try first(stages[worker]) }
      try body(stages[worker], index - extra)
    }
  }

  /// Leaves `work` to be done along with what is shared next, and turns to the other window. If it
  /// is about too few `bytes`, it is done at once, and what was left before stays so.
  ///
  /// - Throws: What was left before throws, or `work`.
  func runLater(bytes: Int, _ work: @escaping Deferred) throws {
    guard bytes >= sharedFrom else { return try work(stages[0]) }
    try finishDeferred()
    deferred.withLock { $0 = work }
    turn.withLock { $0 += 1 }
  }

  /// Does what was left for later.
  func finishDeferred() throws { try takeDeferred()?(stages[0]) }

  private func takeDeferred() -> Deferred? {
    deferred.withLock { work in
      defer { work = nil }
      return work
    }
  }
}

extension WorkerBuffers {
  /// How large a bench is.
  package struct Sizes: Sendable {
    /// The size of a window in bytes. A whole projection of a model of hidden size 2048 fits in two
    /// bytes an element, with the room between its rows, so that it is read in one go.
    var window = 34 << 20
    /// How many windows there are.
    var windows = 1
    /// How much a thread reads at a time, and usually half of it: so it stays in the second-level
    /// cache until it was put in place.
    var stage = 512 << 10
    /// How many threads share the work.
    var threads = 1
    /// Work on fewer bytes than that is done before another thread has begun.
    var sharedFrom = 1 << 19

    /// For work that makes nothing: only what is read from front to back, for its CRC alone, or to
    /// be compared with replicas, comes through the window.
    package static func reading(threads: Int) -> Sizes { Sizes(window: 2 << 20, threads: threads) }

    /// The memory that a bench takes when all of it was used.
    package var total: Int { window * windows + 3 * stage * threads }
  }
}

/// What was found out while a run of stored bytes was read: by any thread, in any order.
struct ReadFindings: Sendable {
  var floats = FloatCounts()
  /// The XOR over all that was read of CRCs, each shifted by the bytes that follow in the run.
  var crc: UInt32 = 0
}
