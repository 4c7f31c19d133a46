import Glibc

/// A value that one thread at a time may touch.
///
/// A waiting thread sleeps. `Synchronization.Mutex` spins first, which pays off only if the lock is
/// held for a few microseconds. The thread sanitizer understands this lock, too.
@safe
public final class Locked<Value: Sendable>: @unchecked Sendable {
  // Sound: initialized in `init`, destroyed in `deinit`, and touched by the functions for it alone.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  // Sound: touched only while the lock is held.
  private var value: Value

  public init(_ value: Value) {
    self.value = value
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(lock, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe lock.deallocate()
  }

  /// Does `body` with the value while no other thread does.
  public func withLock<Result, Failure>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return try body(&value)
  }
}
