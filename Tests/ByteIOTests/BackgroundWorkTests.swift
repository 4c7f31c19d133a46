import ByteIO
import Testing

@Suite struct BackgroundWorkTests {
  private struct Failure: Error {}

  @Test func itIsDoneOnceWhoeverWaitsHoweverOften() throws {
    let count = Locked(0)
    let work = BackgroundWork { count.withLock { $0 += 1 } }
    try work.wait()
    try work.wait()
    #expect(count.withLock { $0 } == 1)
  }

  @Test func itsFailureReachesWhoeverWaits() {
    let work = BackgroundWork { throw Failure() }
    #expect(throws: Failure.self) { try work.wait() }
    #expect(throws: Failure.self) { try work.wait() }
  }

  @Test func whatNobodyWaitsForHasEndedWhenItIsForgotten() {
    let count = Locked(0)
    do {
      _ = BackgroundWork { count.withLock { $0 += 1 } }
    }
    #expect(count.withLock { $0 } == 1)
  }
}
