import Glibc

/// Lets one thread at a time do what the system does for one at a time anyway, such as writing to a file.
///
/// Who waits sleeps. A `Mutex`, and the locks inside of the kernel, wait at full speed for a while, which pays
/// only for what takes less than some microseconds.
@safe
public final class Turn: @unchecked Sendable {
  // Sound: initialized in `init`, destroyed in `deinit`, and touched by the functions for it alone.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  public init() {
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(lock, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe lock.deallocate()
  }

  /// Does `body` when no other thread does anything under this turn.
  public func take<Result, Failure>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return try body()
  }
}
