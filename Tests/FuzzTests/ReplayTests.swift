import SystemPackage
import TestSupport
import Testing

/// What the fuzzers start from, and what they once found, given to the same readers again.
@Suite struct ReplayTests {
  private let inputs = FilePath(#filePath).removingLastComponent().appending("../../Fuzz")
  private let folder: TemporaryFolder
  private let scratch: Scratch

  init() throws {
    folder = try TemporaryFolder()
    scratch = try Scratch(
      in: folder.path,
      copying: fixture("layouts/pipeline_zero1_walked_tp1pp2dp3/global_step7"))
  }

  @Test(arguments: FuzzTarget.allCases)
  func everySeedIsReadWithoutAnError(target: FuzzTarget) throws {
    let seeds = inputs.appending("Seeds/\(target.rawValue)")
    #expect(!Scratch.names(in: seeds).isEmpty)
    for name in Scratch.names(in: seeds) {
      let bytes = try Scratch.contents(of: seeds.appending(name))
      #expect(throws: Never.self, "\(target) \(name)") { try target.run(bytes, in: scratch) }
    }
  }

  @Test(arguments: FuzzTarget.allCases)
  func whatWasFoundGivesAValueOrAnErrorSoon(target: FuzzTarget) throws {
    let found = inputs.appending("Found/\(target.rawValue)")
    for name in Scratch.names(in: found) {
      let bytes = try Scratch.contents(of: found.appending(name))
      let seconds = ContinuousClock().measure { try? target.run(bytes, in: scratch) }
      #expect(seconds < .seconds(10), "\(target) \(name)")
    }
  }
}
