import ByteIO
import Glibc
import Testing

@Suite struct WorkerTeamTests {
  private struct Failure: Error {}

  @Test(arguments: [1, 2, 3, 7]) func everyIndexIsCalledOnceHoweverOftenTheTeamWorks(
    threads: Int
  ) throws {
    let team = WorkerTeam(count: threads)
    for turn in 0..<2000 {
      let count = turn % 9
      let calls = Locked([Int](repeating: 0, count: count))
      try team.perform(count) { worker, index in
        #expect((0..<threads).contains(worker))
        calls.withLock { $0[index] += 1 }
      }
      #expect(calls.withLock { $0.allSatisfy { $0 == 1 } })
    }
  }

  @Test func aTeamThatFellAsleepWakesUp() throws {
    let team = WorkerTeam(count: 3)
    for _ in 0..<5 {
      let count = Locked(0)
      try team.perform(3) { _, _ in count.withLock { $0 += 1 } }
      #expect(count.withLock { $0 } == 3)
      usleep(50_000)
    }
  }

  @Test func aFailureReachesTheCallerAndTheTeamGoesOn() throws {
    let team = WorkerTeam(count: 2)
    let calls = Locked(0)
    #expect(throws: Failure.self) {
      try team.perform(100_000) { _, index in
        calls.withLock { $0 += 1 }
        if index == 10 { throw Failure() }
      }
    }
    // No more indices are handed out.
    #expect(calls.withLock { $0 } < 100_000)
    let count = Locked(0)
    try team.perform(10) { _, _ in count.withLock { $0 += 1 } }
    #expect(count.withLock { $0 } == 10)
  }
}
