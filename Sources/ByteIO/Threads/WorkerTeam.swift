import CGlibc
import Glibc
import Synchronization

/// Threads that stay for many short pieces of work, one after the other.
///
/// A token of a model takes a hundred products of half a millisecond: starting threads for each, or
/// waking them, would take a good part of that. So threads that have nothing to do look for work
/// for a little while before they go to sleep.
public final class WorkerTeam: Sendable {
  /// How many threads share a piece of work, the calling one among them.
  public let count: Int
  private let desk = Desk()
  private let handles: [Workers.Handle]

  /// Starts all threads but the calling one. Where the system has none to give, there are fewer.
  public init(count: Int) {
    self.count = max(1, count)
    let desk = desk
    handles = (1..<self.count).compactMap { worker in
      Workers.start { desk.serve(as: worker) }
    }
  }

  deinit {
    desk.close()
    for handle in handles { Workers.join(handle) }
  }

  /// Calls `body` for every index below `count`, and waits for all calls.
  ///
  /// One thread at a time may ask a team. After a failure no more indices are handed out, and one
  /// of the failures is thrown when all threads have come to rest.
  ///
  /// - Parameters:
  ///   - count: How many calls are made.
  ///   - body: The work: it is told which of the threads it is on, and which of the calls it is.
  /// - Throws: What the work throws.
  public func perform(
    _ count: Int, _ body: @Sendable (_ worker: Int, _ index: Int) throws -> Void
  ) throws {
    guard !handles.isEmpty, count > 1 else {
      for index in 0..<count { try body(0, index) }
      return
    }
    let failure = Locked<(any Error)?>(nil)
    // Sound: `run` returns only when no thread is at work any more.
    withoutActuallyEscaping(body) { body in
      let work = Workers.Work(count: count) { worker, index in
        do {
          try body(worker, index)
          return true
        } catch {
          failure.withLock { $0 = $0 ?? error }
          return false
        }
      }
      desk.run(work, helpers: handles.count)
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Where work is put down and picked up.
  private final class Desk: Sendable {
    private let work = Locked<Workers.Work?>(nil)
    /// Grows with each piece of work; negative when there will be no more.
    private let turn = Atomic<Int>(0)
    /// How many helpers are still at the work of this turn.
    private let busy = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let bell = Bell()

    /// How often a thread looks before it lets others have the processor, and before it sleeps:
    /// some microseconds, and some tenths of a millisecond.
    private static let looks = 500
    private static let yields = 200

    func run(_ work: Workers.Work, helpers: Int) {
      self.work.withLock { $0 = work }
      busy.store(helpers, ordering: .relaxed)
      turn.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if sleepers.load(ordering: .sequentiallyConsistent) > 0 { bell.ring() }
      work.run(0)
      var looks = 0
      while busy.load(ordering: .acquiring) > 0 {
        looks += 1
        Desk.pause(looks)
      }
      self.work.withLock { $0 = nil }
    }

    func close() {
      turn.store(-1, ordering: .sequentiallyConsistent)
      bell.ring()
    }

    func serve(as worker: Int) {
      var seen = 0
      while true {
        let turn = wait(after: seen)
        guard turn >= 0 else { return }
        seen = turn
        pickUp(worker)
        busy.wrappingSubtract(1, ordering: .releasing)
      }
    }

    /// Does a share of the work. A function of its own, so that this thread has let go of the work
    /// when it says that it is done.
    @inline(never)
    private func pickUp(_ worker: Int) {
      work.withLock { $0 }?.run(worker)
    }

    /// Waits for a turn other than one that was seen.
    private func wait(after seen: Int) -> Int {
      for look in 0..<Desk.looks + Desk.yields {
        let turn = turn.load(ordering: .acquiring)
        if turn != seen { return turn }
        Desk.pause(look)
      }
      sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
      defer { sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
      bell.wait { turn.load(ordering: .sequentiallyConsistent) != seen }
      return turn.load(ordering: .acquiring)
    }

    private static func pause(_ look: Int) {
      if look < looks { cglibc_relax() } else { sched_yield() }
    }
  }

  /// What sleeping threads wait for.
  @safe
  private final class Bell: @unchecked Sendable {
    // Sound: initialized in `init`, destroyed in `deinit`, and touched by the functions for them.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
      unsafe lock.initialize(to: pthread_mutex_t())
      unsafe condition.initialize(to: pthread_cond_t())
      unsafe pthread_mutex_init(lock, nil)
      unsafe pthread_cond_init(condition, nil)
    }

    deinit {
      unsafe pthread_cond_destroy(condition)
      unsafe pthread_mutex_destroy(lock)
      unsafe condition.deallocate()
      unsafe lock.deallocate()
    }

    /// Wakes all that wait. What they wait for has been said before.
    func ring() {
      unsafe pthread_mutex_lock(lock)
      unsafe pthread_cond_broadcast(condition)
      unsafe pthread_mutex_unlock(lock)
    }

    func wait(until isTrue: () -> Bool) {
      unsafe pthread_mutex_lock(lock)
      while !isTrue() { unsafe pthread_cond_wait(condition, lock) }
      unsafe pthread_mutex_unlock(lock)
    }
  }
}
