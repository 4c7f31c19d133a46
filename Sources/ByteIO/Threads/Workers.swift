import CGlibc
import Glibc
import Synchronization

/// A few threads that share a piece of work.
public enum Workers {
  /// Calls `body` for every index below `count`, on up to `threads` threads, and waits for all of
  /// them.
  ///
  /// The calling thread is one of them. Indices are handed out in order; who gets which is left
  /// open. Threads are created each time, which takes some 20 microseconds.
  ///
  /// - Parameters:
  ///   - count: How many calls are made.
  ///   - threads: How many of them at the same time.
  ///   - body: The work: it is told which of the threads it is on, and which of the calls it is.
  public static func perform(
    _ count: Int, threads: Int, _ body: @Sendable (_ worker: Int, _ index: Int) -> Void
  ) {
    let threads = min(threads, count)
    guard threads > 1 else {
      for index in 0..<count { body(0, index) }
      return
    }
    // Sound: all threads are joined before the closure goes out of scope.
    withoutActuallyEscaping(body) { body in
      let work = Work(count: count) { worker, index in
        body(worker, index)
        return true
      }
      // Without another thread the work is done by those that are there.
      let handles = (1..<threads).compactMap { worker in start { work.run(worker) } }
      work.run(0)
      for handle in handles { join(handle) }
    }
  }

  /// The same with work that can fail: after a failure no more indices are handed out, and one of
  /// the failures is thrown when all threads have come to rest.
  public static func perform(
    _ count: Int, threads: Int, _ body: @Sendable (_ worker: Int, _ index: Int) throws -> Void
  ) throws {
    let failure = Locked<(any Error)?>(nil)
    let hasFailed = Atomic<Bool>(false)
    perform(count, threads: threads) { worker, index in
      guard !hasFailed.load(ordering: .relaxed) else { return }
      do {
        try body(worker, index)
      } catch {
        failure.withLock { $0 = $0 ?? error }
        hasFailed.store(true, ordering: .relaxed)
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// A thread that was started and has to be joined.
  struct Handle: Sendable {
    fileprivate let thread: pthread_t
  }

  /// Starts a thread; `nil` when the system has none to give.
  static func start(_ body: @escaping @Sendable () -> Void) -> Handle? {
    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(Context(body))
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        // Sound: the context was retained for this thread, which takes it over.
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Context>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, context.toOpaque())
    guard result == 0 else {
      unsafe context.release()
      return nil
    }
    return Handle(thread: thread)
  }

  /// Waits for the end of a thread.
  static func join(_ handle: Handle) {
    pthread_join(handle.thread, nil)
  }

  /// How many threads this process may keep busy: what the batch system or the user of an affinity
  /// mask or a control group has granted.
  public static var granted: Int {
    let affinity = max(1, Int(cglibc_affinity_count()))
    if let slurm = Process.environment("SLURM_CPUS_PER_TASK").flatMap({ Int($0) }), slurm > 0 {
      return min(slurm, affinity)
    }
    return min(affinity, controlGroupLimit ?? affinity)
  }

  /// The cores that the control group of the process is limited to (`cpu.max`: quota and period).
  private static var controlGroupLimit: Int? {
    guard let text = ControlGroup.line(of: "cpu.max") else { return nil }
    let parts = text.split(separator: " ").map { Int($0) }
    guard parts.count == 2, let quota = parts[0], let period = parts[1], period > 0 else {
      return nil
    }
    return max(1, (quota + period - 1) / period)
  }

  /// What the threads share.
  final class Work: Sendable {
    private let count: Int
    private let next = Atomic<Int>(0)
    private let body: @Sendable (Int, Int) -> Bool

    /// - Parameters:
    ///   - count: How many indices are handed out.
    ///   - body: The work on one of them, which says whether there shall be more.
    init(count: Int, body: @escaping @Sendable (Int, Int) -> Bool) {
      self.count = count
      self.body = body
    }

    func run(_ worker: Int) {
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < count else { return }
        if !body(worker, index) { next.store(count, ordering: .relaxed) }
      }
    }
  }

  private final class Context: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
      self.body = body
    }
  }
}
