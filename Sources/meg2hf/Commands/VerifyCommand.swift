import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import Megatron
import SystemPackage
import Transfer

/// `meg2hf verify OUTPUT [--against CHECKPOINT]`
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check a directory, alone or against its checkpoint.",
    discussion: """
      Alone, the rules of safetensors, the index, and every name, shape and type are checked \
      against config.json, and the values against the checksums in the manifest; directories of \
      other tools can be checked as well. With --against, every tensor is computed again from the \
      checkpoint and all bytes are compared. A fault makes the exit status 1.

      With --forward, both are run on the same tokens: the output as GPT-2, the checkpoint in \
      Megatron's own orientation and partition, by none of the rules that made the output. Their \
      logits must agree to the rounding of float32. It does not see what both take from the same \
      place (the order of query, key and value, the activation, the number of heads), the key's \
      bias, or rows of the embeddings that were not run: "meg2hf loss" does.

      EXAMPLES:
        meg2hf verify hf/gpt2
        meg2hf verify hf/gpt2 --against runs/gpt2
        meg2hf verify hf/gpt2 --against runs/gpt2 --forward
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

  @OptionGroup(title: "What is run") var forward: ForwardOptions
  @OptionGroup var threads: ThreadOptions
  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    guard against != nil || !forward.forward else {
      throw ValidationError(
        "--forward compares with a checkpoint: meg2hf verify \(output) --against CHECKPOINT "
          + "--forward")
    }
  }

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.verify/1", shown) { report in
      let path = Process.path(argument: output)
      var verifier = try ModelVerifier(output: path)
      var lines: [(String, String)] = [
        (
          "tensors",
          "\(verifier.directory.count) in " + plural(verifier.directory.files.count, "file")
        )
      ]
      var values = ModelVerifier.Values()
      if let against {
        lines += try compare(&verifier, with: Process.path(argument: against), &report)
      } else if source.crc != .none {
        values = try checkValues(&verifier)
        report.payload["values"] = [
          "verified": .int(values.verified), "not_recorded": .int(values.notRecorded),
        ]
        if values.verified > 0 {
          lines.append(("values", "\(values.verified) checksums of the manifest compared"))
        }
      }
      lines.append(("rules", verifier.allRules.joined(separator: ", ")))
      if sha256 {
        let sums = try verifier.digests()
        report.payload["sha256"] = .array(
          sums.map { ["file": .string($0.name), "sha256": .string($0.digest)] })
        for sum in sums { lines.append((sum.name, sum.digest)) }
      }
      conclude(verifier, lines, path.string, values, &report)
    }
  }

  private func checkValues(_ verifier: inout ModelVerifier) throws -> ModelVerifier.Values {
    let progress = ProgressReporter(shown, verb: "verifying")
    defer { progress.finish() }
    return try verifier.checkValues(
      threads: RunOptions(jobs: threads.jobs).threads, started: { progress.start(total: $0) },
      progress: { progress.update($0) })
  }

  private func compare(
    _ verifier: inout ModelVerifier, with checkpoint: FilePath, _ report: inout Report
  ) throws -> [(String, String)] {
    let index = try source.index(
      checkpoint, weights: verifier.manifest?.weights ?? .model,
      settings: verifier.manifest?.settings ?? JSONObject())
    var choices = VerificationChoices()
    choices.qkvLayout = try source.order()
    choices.mergedRanks = source.mergedRanks
    choices.acceptsDuplicatedShards = source.acceptDuplicatedShards
    choices.replicas = replicas
    choices.records = try source.records.read()
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
    report.payload["decisions"] = .array(verifier.decisions.map(\.json))
    var lines = [
      (
        "compared",
        "all bytes with \(index.folder.path.string), \(found.crcVerified) checksums verified"
      )
    ]
    if forward.forward {
      var options = ConversionOptions()
      options.qkvLayout = choices.qkvLayout
      options.mergedRanks = choices.mergedRanks ?? verifier.manifest?.mergedRanks
      options.acceptsDuplicatedShards = true
      options.records = choices.records
      let source = try RunnableCheckpoint(index, options: options)
      let hasAveraged = found.findings.values.contains { $0.differing > 0 }
      if let line = try runBoth(&verifier, source, hasAveraged: hasAveraged, &report) {
        lines.append(("forward", line))
      }
    }
    return lines
  }

  /// Runs the output and the checkpoint; a difference is a fault.
  ///
  /// - Returns: What was found, in a line; `nil` where an output with faults cannot be run.
  private func runBoth(
    _ verifier: inout ModelVerifier, _ checkpoint: RunnableCheckpoint, hasAveraged: Bool,
    _ report: inout Report
  ) throws -> String? {
    // Weights are read again for each pass: one is enough.
    let options = Network.Options(threads: RunOptions(jobs: threads.jobs).threads, memory: 0)
    let output: Network
    do {
      output = try Network(of: verifier.directory, options: options)
    } catch let failure as Failure where !verifier.faults.isEmpty {
      verifier.note(.forwardNotRun, "the output was not run: \(failure.message)")
      return nil
    }
    let order = try checkpoint.qkv.get().layout
    let source = try checkpoint.network(order, options)
    let rows = min(
      output.sizes.vocabulary,
      checkpoint.checkpoint.originalVocabularySize ?? source.sizes.vocabulary)
    let ids = try forward.tokens(
      verifier.directory.path, vocabulary: rows, positions: output.sizes.positions)
    let progress = ProgressReporter(shown, verb: "running")
    defer { progress.finish() }
    let check = try ForwardCheck(
      output, source, ids: ids, isExact: !hasAveraged && isExact(verifier, checkpoint.checkpoint)
    ) { progress.update(steps: $0, of: $1) }
    progress.finish()
    report.payload["forward"] = check.json(seed: forward.ids == nil && forward.text == nil)
    let sides =
      "(source: tp \(source.ranks), \(order.rawValue), Linear; output: Conv1D)"
    let size = "\(ids.count) x \(thousands(check.vocabulary)) logits"
    if !check.passes {
      verifier.fault(
        .forwardDiffers,
        "the logits differ by up to \(scientific(check.largest)) on \(size), beginning with "
          + "\(check.place?.text ?? "the logits") \(sides)")
    }
    return check.isExact
      ? "\(check.passes ? "equal" : "DIFFERENT") to \(scientific(check.largest)) on \(size) "
        + sides
      : "\(check.passes ? "close, not equal" : "DIFFERENT"): up to \(scientific(check.largest)) on "
        + "\(size), the same token \(decimal(check.agreement * 100, places: 1)) %, divergence "
        + "\(scientific(check.divergence)) \(sides)"
  }

  /// Whether the output has the same numbers as the checkpoint, whatever their type.
  private func isExact(_ verifier: ModelVerifier, _ checkpoint: Checkpoint) -> Bool {
    let directory = verifier.directory
    let mine = Set(
      directory.names.compactMap { directory[$0].flatMap { FloatFormat($0.declared.dtype) } })
    let theirs = Set(checkpoint.dtypes.compactMap { FloatFormat($0) })
    return mine == [.float32] || mine.count == 1 && mine == theirs
  }

  private func conclude(
    _ verifier: ModelVerifier, _ lines: [(String, String)], _ path: String,
    _ values: ModelVerifier.Values, _ report: inout Report
  ) {
    report.payload["output"] = .string(path)
    report.payload["against"] = against.map { .string($0) } ?? nil
    report.payload["faults"] = .array(verifier.faults.map(\.json))
    report.payload["notes"] = .array(verifier.notes.map(\.json))
    report.status = verifier.faults.isEmpty ? "ok" : "fault"
    report.exitCode = verifier.faults.isEmpty ? 0 : ExitStatus(.fault).rawValue
    var table = TextTable()
    for line in lines { table.add(line.0, line.1) }
    for note in verifier.notes { table.add("note", text(note)) }
    for fault in verifier.faults { table.add("FAULT", text(fault)) }
    report.text = "\(path): \(verdict(verifier, values))\n" + table.text()
    if !verifier.decisions.isEmpty {
      report.text += "\nDECISIONS\n" + DecisionTable(verifier.decisions).text()
    }
  }

  private func verdict(_ verifier: ModelVerifier, _ values: ModelVerifier.Values) -> String {
    guard verifier.faults.isEmpty else { return plural(verifier.faults.count, "fault") }
    if against != nil { return "identical to the checkpoint" }
    switch (values.verified, values.notRecorded) {
    case (0, _): return "names, shapes and sizes agree; values were not checked"
    case (_, 0): return "names, shapes, sizes and values agree"
    case (_, let missing):
      return
        "names, shapes and sizes agree; of \(plural(missing, "tensor")) no checksum was recorded"
    }
  }

  private func text(_ finding: Diagnostic) -> String {
    let place = [finding.file, finding.tensor].compactMap { $0 }.joined(separator: ", ")
    return place.isEmpty ? finding.message : "\(place): \(finding.message)"
  }
}

extension ForwardCheck {
  /// The fields of a JSON document; the seed is there if the tokens follow from it.
  func json(seed isSeeded: Bool) -> JSONValue {
    [
      "passes": .bool(passes), "exact": .bool(isExact), "tokens": .int(ids.count),
      "seed": isSeeded ? .int(Int(ForwardOptions.seed)) : .null,
      "ids": .array(ids.map { .int($0) }), "positions": .array(positions.map { .int($0) }),
      "vocabulary": .int(vocabulary), "max_difference": .double(largest),
      "mean_difference": .double(mean), "divergence": .double(divergence),
      "agreement": .double(agreement),
      "first_layer": place?.layer.map { .int($0) } ?? .null,
      "first_part": place.map { .string($0.part) } ?? .null,
    ]
  }
}

extension ForwardCheck.Place {
  /// The place in words.
  var text: String { layer.map { "\(part) of layer \($0)" } ?? part }
}
