import Foundation
import Safetensors
import SystemPackage
import TestSupport
import Testing

/// Conversions that are ended from outside, and several at once.
@Suite struct StopTests {
  private let dump = fixture("dumps/bs_classic_tp2_fp16/ckpt").string
  private let folder: TemporaryFolder
  private let expected: [String: [UInt8]]
  private let shards: Int
  /// How long a conversion takes here and now.
  private let seconds: Double

  init() throws {
    folder = try TemporaryFolder()
    let start = ContinuousClock().now
    try #require(try meg2hf(["convert", dump, "out"] + more, in: folder.path).status == 0)
    let took = ContinuousClock().now - start
    seconds = Double(took.components.attoseconds) / 1e18 + Double(took.components.seconds)
    expected = try snapshot(folder.path.appending("out"))
    shards = expected.keys.filter { $0.hasSuffix(".safetensors") }.count
    try remove(folder.path.appending("out"))
  }

  private let more = ["--max-shard-size", "10KB", "--progress", "plain"]

  private func written(_ outcome: CommandOutcome) -> Int {
    outcome.errors.split(separator: "\n").filter { $0.contains("wrote model-") }.count
  }

  /// How often a conversion is ended; `.ci/run` asks for more.
  private var trials: Int {
    ProcessInfo.processInfo.environment["MEG2HF_TRIALS"].flatMap { Int($0) } ?? 12
  }

  /// Ends a conversion at a random moment, and runs it again.
  @Test(arguments: ["KILL", "TERM"])
  func aConversionThatWasEndedGoesOnWithTheSameBytes(signal: String) throws {
    #expect(shards >= 10)
    var random = SeededGenerator(signal == "KILL" ? 1 : 2)
    var ended = 0
    var twice = 0
    // How long a conversion takes depends on what else runs, and changes.
    var span = seconds
    for trial in 0..<trials {
      let moment = Double.random(in: 0...span, using: &random)
      let first = try meg2hf(
        ["convert", dump, "out"] + more, in: folder.path,
        shell: "\"$@\" & sleep \(moment); kill -\(signal) $! 2>/dev/null; wait $!")
      #expect([0, 137, 143].contains(first.status), "\(first.status) \(first.errors)")
      let isThere = try folder.names().contains("out")
      #expect(isThere || first.status != 0)
      if isThere { #expect(try snapshot(folder.path.appending("out")) == expected) }
      let second = try meg2hf(["convert", dump, "out"] + more, in: folder.path)
      #expect(second.status == 0, "trial \(trial): \(second.errors)")
      #expect(try snapshot(folder.path.appending("out")) == expected, "trial \(trial)")
      #expect(try folder.names() == ["out"], "trial \(trial)")
      span = first.status == 0 ? span * 0.8 : min(span * 1.2, 2 * seconds)
      if first.status != 0 {
        ended += 1
        // The file in the making counts as done twice.
        twice += written(first) + written(second) + (isThere ? 0 : 1) - shards
      }
      try remove(folder.path.appending("out"))
    }
    #expect(ended > trials / 4)
    #expect(Double(twice) < 0.2 * Double(ended * shards), "\(twice) of \(ended * shards)")
  }

  @Test func everySignalHasItsExitStatusAndNohupIsRespected() throws {
    let hangup = try meg2hf(
      ["convert", dump, "out", "-q"] + more, in: folder.path,
      shell: "trap '' HUP; \"$@\" & sleep \(seconds / 3); kill -HUP $!; wait $!")
    #expect(hangup.status == 0, "\(hangup.errors)")
    try remove(folder.path.appending("out"))
    for (signal, status) in [("HUP", 129), ("INT", 130), ("TERM", 143), ("USR1", 75)]
      as [(String, Int32)]
    {
      let outcome = try meg2hf(
        ["convert", dump, "out", "-q"] + more, in: folder.path,
        shell: "\"$@\" & sleep \(seconds / 3); kill -\(signal) $!; wait $!")
      #expect(outcome.status == status, "\(signal) \(outcome.errors)")
      #expect(try !folder.names().contains("out"))
    }
  }

  @Test func severalLiveCopiesNeverHarmEachOther() throws {
    for round in 0..<12 {
      // Some start a little later, so that they meet at different moments.
      let outcome = try meg2hf(
        ["convert", dump, "out", "-q"] + more, in: folder.path,
        shell: """
          statuses=
          for copy in 1 2 3 4; do
            "$@" & pids="$pids $!"
            [ $((\(round) % 3)) -eq 0 ] || sleep 0.0$((copy * \(round)))
          done
          for pid in $pids; do wait $pid || echo "copy failed with $?"; done
          """)
      #expect(!outcome.output.contains("failed"), "\(outcome.output) \(outcome.errors)")
      #expect(try snapshot(folder.path.appending("out")) == expected)
      #expect(try folder.names() == ["out"])
      try remove(folder.path.appending("out"))
    }
  }

  @Test func copiesThatAreKilledDoNotHarmTheOneThatIsLeft() throws {
    for round in 1...10 {
      let outcome = try meg2hf(
        ["convert", dump, "out", "-q"] + more, in: folder.path,
        shell: """
          "$@" & first=$!
          "$@" & second=$!
          sleep \(seconds * Double(round) / 10); kill -KILL $first 2>/dev/null
          wait $second
          """)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try snapshot(folder.path.appending("out")) == expected)
      let again = try meg2hf(["convert", dump, "out", "-q"] + more, in: folder.path)
      #expect(again.status == 0)
      #expect(try folder.names() == ["out"])
      try remove(folder.path.appending("out"))
    }
  }

  @Test func partsAndTheirEndAreCommands() throws {
    for part in ["2/3", "3/3", "1/3"] {
      let outcome = try meg2hf(["convert", dump, "out", "--part", part] + more, in: folder.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.hasPrefix("part \(part) of out is finished\n"))
    }
    #expect(try folder.names().count == 1)
    let outcome = try meg2hf(["convert", dump, "out", "--finish"] + more, in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try snapshot(folder.path.appending("out")) == expected)
    #expect(try folder.names() == ["out"])
    try remove(folder.path.appending("out"))
    let missing = try meg2hf(
      ["convert", dump, "out", "--finish", "--json"] + more, in: folder.path)
    #expect(missing.status == 75)
    #expect(missing.output.contains("parts/missing"))
    #expect(try meg2hf(["convert", dump, "out", "--part", "4/3"], in: folder.path).status == 64)
    #expect(
      try meg2hf(["convert", dump, "out", "--part", "1/3", "--finish"], in: folder.path).status
        == 64)
  }
}
