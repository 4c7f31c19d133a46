import ArgumentParser
import ByteIO
import Conversion
import Safetensors
import SystemPackage

/// `meg2hf verify OUTPUT [--against CHECKPOINT]`
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a GPT-2 directory, alone or against its checkpoint.",
    discussion: """
      Alone, the rules of safetensors, the index, and every name, shape and type are checked \
      against config.json; directories of other tools can be checked as well. With --against, \
      every tensor is computed anew from the checkpoint and all bytes are compared. A fault makes \
      the exit status 1.

      EXAMPLES:
        meg2hf verify hf/gpt2
        meg2hf verify hf/gpt2 --against runs/gpt2
      """)

  @Argument(help: "The folder to check.", completion: .directory)
  var output: String

  @Option(
    name: .long,
    help: ArgumentHelp("The checkpoint that it was made of.", valueName: "checkpoint"),
    completion: .directory)
  var against: String?

  @Option(
    name: .long, help: "What became of replicas that differ; by default what the manifest says.")
  var replicas: ConversionOptions.Replicas?

  @Flag(name: .long, help: "Print the SHA-256 of each file, and compare with SHA256SUMS.")
  var sha256 = false

  @OptionGroup var threads: ThreadOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: OutputOptions

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.verify/1", shown) { report in
      let path = Process.path(argument: output)
      var verifier = try OutputVerifier(path)
      var lines: [(String, String)] = [
        (
          "tensors",
          "\(verifier.directory.tensors.count) in "
            + counted(verifier.directory.files.count, "file")
        )
      ]
      if let against {
        let index = try source.index(
          Process.path(argument: against), weights: verifier.manifest?.weights ?? .model,
          settings: verifier.manifest?.settings ?? JSONObject())
        var choices = VerificationChoices()
        choices.qkvLayout = source.qkvLayout.value
        choices.replicas = replicas
        choices.crc = source.crc
        choices.threads = RunOptions(jobs: threads.jobs).threads
        let progress = ProgressReporter(shown, verb: "comparing")
        defer { progress.finish() }
        let found = try verifier.compare(
          with: index, choices: choices, progress: { progress.update($0) },
          started: { progress.start(total: $0.sourceBytes) })
        progress.finish()
        report.payload["checksums"] = [
          "verified": .int(found.crcVerified), "not_recorded": .int(found.crcNotRecorded),
          "partly_read": .int(found.crcPartlyRead),
        ]
        report.payload["bytes_read"] = .int(found.bytesRead)
        lines.append(
          (
            "compared",
            "all bytes with \(index.directory.folder.string), "
              + "\(found.crcVerified) checksums verified"
          ))
      }
      if sha256 {
        let sums = try verifier.digests()
        report.payload["sha256"] = .array(
          sums.map { ["file": .string($0.name), "sha256": .string($0.digest)] })
        for sum in sums { lines.append((sum.name, sum.digest)) }
      }
      conclude(verifier, lines, path.string, &report)
    }
  }

  private func conclude(
    _ verifier: OutputVerifier, _ lines: [(String, String)], _ path: String,
    _ report: inout Report
  ) {
    report.payload["output"] = .string(path)
    report.payload["against"] = against.map { .string($0) } ?? nil
    report.payload["faults"] = .array(verifier.faults.map(\.json))
    report.payload["notes"] = .array(verifier.notes.map(\.json))
    report.status = verifier.faults.isEmpty ? "ok" : "fault"
    report.exitCode = verifier.faults.isEmpty ? 0 : ConversionError.Status.fault.rawValue
    var table = TextTable()
    for line in lines { table.add(line.0, line.1) }
    for note in verifier.notes { table.add("note", text(note)) }
    for fault in verifier.faults { table.add("FAULT", text(fault)) }
    let verdict =
      verifier.faults.isEmpty
      ? (against == nil ? "whole and consistent" : "equal to the checkpoint")
      : counted(verifier.faults.count, "fault")
    report.text = "\(path): \(verdict)\n" + table.text()
  }

  private func text(_ finding: Finding) -> String {
    let place = [finding.file, finding.tensor].compactMap { $0 }.joined(separator: ", ")
    return place.isEmpty ? finding.message : "\(place): \(finding.message)"
  }
}
