import Glibc

/// Work that is done on a thread of its own, which takes the time that other threads leave.
public final class BackgroundWork: Sendable {
  private let handle: Workers.Handle?
  private let body: @Sendable () throws -> Void
  private let state = Locked(State())

  private struct State {
    var isJoined = false
    var failure: (any Error)?
  }

  /// Begins the work. Where the system has no thread to give, it is done by whoever waits for it.
  public init(_ body: @escaping @Sendable () throws -> Void) {
    self.body = body
    let state = state
    handle = Workers.start {
      // On Linux, only of this thread.
      _ = nice(19)
      do {
        try body()
      } catch {
        state.withLock { $0.failure = error }
      }
    }
  }

  deinit { join() }

  /// Waits until the work is done.
  ///
  /// - Throws: What the work threw.
  public func wait() throws {
    if handle == nil { return try body() }
    join()
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// Waits for the thread, which can be done once.
  private func join() {
    guard let handle,
      state.withLock({ state in
        defer { state.isJoined = true }
        return !state.isJoined
      })
    else { return }
    Workers.join(handle)
  }
}
