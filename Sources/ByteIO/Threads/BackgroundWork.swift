import Glibc

/// Work that is done on a thread of its own, which mostly takes the time that other threads leave.
public final class BackgroundWork: Sendable {
  private enum State {
    case begun(Workers.Handle)
    /// The system had no thread to give.
    case waiting(@Sendable () -> Void)
    case done
  }

  private let state: Locked<State>
  private let failure: Locked<(any Error)?>

  /// Starts the work on a thread of its own. If the system has no thread to give, the work is done
  /// by the caller of `wait()`.
  public init(_ body: @escaping @Sendable () throws -> Void) {
    let failure = Locked<(any Error)?>(nil)
    self.failure = failure
    let work: @Sendable () -> Void = {
      do {
        try body()
      } catch {
        failure.withLock { $0 = error }
      }
    }
    let handle = Workers.start {
      // On Linux, of this thread alone. A tenth of the usual share: somebody will wait for it at
      // last, and other processes may keep the machine busy.
      _ = nice(10)
      work()
    }
    state = Locked(handle.map { .begun($0) } ?? .waiting(work))
  }

  deinit {
    if case .begun(let handle) = end() { Workers.join(handle) }
  }

  /// Waits until the work is done; one thread at a time.
  ///
  /// - Throws: What the work threw.
  public func wait() throws {
    switch end() {
    case .begun(let handle): Workers.join(handle)
    case .waiting(let work): work()
    case .done: break
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Takes over what is left to do.
  private func end() -> State {
    state.withLock { state in
      defer { state = .done }
      return state
    }
  }
}
