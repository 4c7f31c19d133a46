import Foundation
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

/// Many checkpoints at once, and what a batch system sees of it.
@Suite struct BatchTests {
  private let folder: TemporaryFolder
  private let dumps = ["bs_tp1pp1_fp16_z1", "bs_classic_tp2_fp16", "dsold_tp1pp1_bf16_z1"]

  init() throws {
    folder = try TemporaryFolder()
  }

  private func list(_ lines: [String]) throws {
    try folder.write("list.txt", Array(lines.joined(separator: "\n").utf8))
  }

  /// The documents that a batch printed, one on each line.
  private func lines(_ outcome: CommandOutcome) throws -> [JSONObject] {
    try outcome.output.split(separator: "\n").map {
      try #require(try JSONParser.parse(Array($0.utf8)).object)
    }
  }

  private func run(_ arguments: [String], _ environment: String = "") throws -> CommandOutcome {
    try meg2hf(
      ["batch"] + arguments + ["-q"], in: folder.path,
      shell: "unset SLURM_ARRAY_TASK_ID SLURM_ARRAY_JOB_ID SLURM_JOB_ID; \(environment) exec \"$@\""
    )
  }

  @Test func everyTaskConvertsItsShareAndTheStatusCountsThem() throws {
    try list(
      ["# three dumps", ""] + dumps.map { "  " + fixture("dumps/\($0)/ckpt").string + "\r" })
    let template = ["--output", "hf-{tag}-{iteration}-{name}"]
    // All runs are called "ckpt", so the steps must differ; they do not all.
    let clash = try run(["list.txt"] + template)
    #expect(clash.status == 64)
    #expect(clash.errors.contains("batch/same-output"))

    try list(dumps.map { fixture("dumps/\($0)/ckpt").string + "\thf/\($0)-{iteration}" })
    try folder.write("hf/.keep", [])
    let first = try run(["list.txt"], "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_JOB_ID=17")
    #expect(first.status == 0, "\(first.errors)")
    let document = try #require(try lines(first).first)
    #expect(try lines(first).count == 1)
    #expect(document["schema"] == "meg2hf.batch/1")
    #expect(document["status"] == "created")
    #expect(document["exit_code"] == 0)
    #expect(document["task"] == "17_0")
    #expect(document["output"]?.string?.hasPrefix("hf/bs_tp1pp1_fp16_z1-") == true)

    let status = try run(["list.txt", "--status"])
    #expect(status.status == 75)
    #expect(status.output.hasPrefix("1 of 3 are done\n"))
    let second = try run(["list.txt", "--index", "1", "--of", "2"])
    #expect(second.status == 0)
    #expect(try lines(second).map { $0["index"] } == [1])
    let rest = try run(["list.txt", "--index", "0", "--of", "2"])
    #expect(try lines(rest).map { $0["status"] } == ["unchanged", "created"])
    let all = try run(["list.txt", "--status", "--json"])
    #expect(all.status == 0)
    let summary = try JSONParser.parse(all.output.utf8).object
    #expect(summary?["done"] == 3)
    #expect(summary?["total"] == 3)
    // Other options make other outputs.
    let other = try run(["list.txt", "--status", "--dtype", "float32"])
    #expect(other.status == 73)
    #expect(try run(["list.txt", "--index", "3"]).status == 64)
    #expect(try run(["list.txt", "--of", "3"]).status == 64)
    for index in ["-1", "-9223372036854775808", "abc", "1.5", ""] {
      let odd = try run(["list.txt"], "export SLURM_ARRAY_TASK_ID='\(index)';")
      #expect(odd.status == 64, "\(index)")
      #expect(odd.errors.contains("batch/index"))
    }
  }

  @Test func allStepsOfARunAreConverted() throws {
    for step in [9, 10, 100] {
      try copy(
        fixture("dumps/bs_tp1pp1_fp16_z1/ckpt/global_step10"),
        to: folder.path.appending("step\(step)"))
      try folder.write("run/.keep", [])
      try move(
        folder.path.appending("step\(step)"), to: folder.path.appending("run/global_step\(step)"))
    }
    let outcome = try run(["run", "--output", "{name}-{iteration}"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try lines(outcome).map { $0["output"] } == ["run-9", "run-10", "run-100"])
    #expect(try folder.names() == ["run", "run-10", "run-100", "run-9"])
  }

  @Test func oneBadCheckpointDoesNotStopTheOthers() throws {
    try folder.write("bad/global_step1/layer_01-model_00-model_states.pt", [1, 2, 3])
    try list(["missing\ta", "bad\tb", fixture("dumps/\(dumps[0])/ckpt").string + "\tc"])
    let outcome = try run(["list.txt"])
    #expect(try lines(outcome).map { $0["exit_code"] } == [66, 65, 0])
    #expect(outcome.status == 66)
    #expect(outcome.errors.contains("missing"))
    #expect(try folder.names().contains("c"))
    for (text, code) in [
      ("", "batch/empty"), ("a\tb\tc", "batch/line"), ("a", "batch/output"),
      ("a\t{nonsense}", "batch/placeholder"), ("a\t{name", "batch/placeholder"),
      ("a\0b\tc", "batch/line"),
    ] {
      try list([text])
      let refused = try run(["list.txt"])
      #expect(refused.errors.contains(code), "\(text)")
      #expect([64, 66].contains(refused.status))
    }
  }

  @Test func foldersOnTheWayToAnOutputAreMade() throws {
    try list([fixture("dumps/\(dumps[0])/ckpt").string])
    let outcome = try run(["list.txt", "--output", "hf/{name}/{iteration}"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try contents(folder.path.appending("hf/ckpt")) == ["10"])
  }

  @Test func onATerminalABatchIsATable() throws {
    try list([
      fixture("dumps/\(dumps[0])/ckpt").string + "\tout", "missing\tnone",
      fixture("dumps/\(dumps[1])/ckpt").string + "\tclassic",
    ])
    func lines() throws -> [String] {
      // `script` gives the command a terminal of its own; errors go elsewhere.
      let outcome = try meg2hf(
        ["batch", "list.txt", "-q"], in: folder.path,
        shell: "script -qec \"$* 2>errors\" typescript >/dev/null; sed 1d typescript")
      return outcome.output.split(whereSeparator: \.isNewline).map(String.init)
        .filter { !$0.hasPrefix("Script") }
    }
    let first = try lines()
    #expect(first.count == 4, "\(first)")
    for (line, row) in zip(
      first,
      [
        /created +out +\d\.\d s.*/, /error +none +\[io\/not-found\]/, /created +classic +.* s.*/,
        /2 of 3 checkpoints done/,
      ])
    { #expect(line.wholeMatch(of: row) != nil, "\(line)") }
    let second = try lines()
    #expect(second.first?.hasPrefix("unchanged") == true, "\(second)")
    #expect(second.last == "2 of 3 checkpoints done")
  }

  @Test func aResultThatCannotBeWrittenIsAnError() throws {
    let dump = fixture("dumps/\(dumps[0])/ckpt").string
    for arguments in [["plan", dump, "-q"], ["batch", dump, "-q", "--output", "{name}"]] {
      let outcome = try meg2hf(arguments, in: folder.path, shell: "exec \"$@\" >/dev/full")
      #expect(outcome.status == 74, "\(arguments)")
      // A reader that has seen enough is another matter.
      let closed = try meg2hf(arguments, in: folder.path, shell: "\"$@\" | head -n 1; exit 0")
      #expect(closed.status == 0)
    }
  }

  @Test func linesOfALogSayWhenWhereAndInWhichTask() throws {
    try list([fixture("dumps/\(dumps[0])/ckpt").string + "\tout"])
    let outcome = try meg2hf(
      ["batch", "list.txt"], in: folder.path,
      shell: "export SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=0 SLURM_JOB_ID=6; exec \"$@\"")
    #expect(outcome.status == 0)
    for line in outcome.errors.split(separator: "\n") {
      #expect(line.wholeMatch(of: /\d{4}-\d\d-\d\dT[\d:]{8}Z \S+ 5_0 meg2hf: .*/) != nil, "\(line)")
      #expect(!line.contains("\r") && !line.contains("\u{1B}"))
    }
  }
}
