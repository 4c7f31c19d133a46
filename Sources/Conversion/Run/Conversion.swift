public import Architectures
import ByteIO
public import Diagnostics
public import HuggingFace
import JSON
public import Megatron
import Safetensors
public import SystemPackage
public import Transfer

/// A whole conversion: from a folder of a trainer to a folder of transformers.
///
/// ```swift
/// let checkpoint = try Checkpoint(at: "runs/gpt2")
/// let result = try Conversion(of: checkpoint, options: .init(dtype: .bf16)).run(to: "hf/gpt2")
/// for decision in result.decisions { print(decision.name, decision.text, decision.reason) }
/// ```
public struct Conversion {
  /// What was made, and what was found on the way.
  public struct Result: Sendable {
    /// Whether OUTPUT was made, was there already, or is made later of its parts.
    public let outcome: OutputTransaction.Outcome
    /// A SHA-256 of all that decides about OUTPUT, as hexadecimal digits.
    public let fingerprint: String
    /// What reading the sources brought to light; empty for a part, and when OUTPUT was there.
    public let report: ExecutionReport
    /// Those of the plan, and what reading and writing added.
    public let warnings: [Diagnostic]
    /// What was concluded, with its reasons.
    public let decisions: [Decision]
    /// The files of OUTPUT with their sizes; empty when it was there already.
    public let outputs: [(name: String, size: Int)]
    /// The SHA-256 of each file, when it was asked for.
    public let sha256: [(name: String, digest: String)]
  }

  /// A step of a conversion, for progress displays.
  public enum Event: Sendable {
    /// Comes first, with the number of stored bytes that all files to be made need.
    case started(totalBytes: Int)
    /// So many bytes were read so far.
    case reading(bytes: Int)
    /// A file of weights is written, of so many bytes.
    case finishedFile(name: String, bytes: Int)
    /// A file that an earlier run, or another part, had finished.
    case resumedFile(name: String, bytes: Int)
  }

  /// The model as it was recognised.
  public let model: Recognition
  /// What will be made, and of what.
  public let plan: ConversionPlan
  /// The same output made of the weights as trained, to compare the masters with.
  let trained: ConversionPlan?
  /// The tokenizer that is written along; `nil` for an output without one.
  public let tokenizer: ModelTokenizer?
  /// A SHA-256 of all that decides about the output, but for the checks of a run.
  private let identity: String

  /// Prepares a conversion: all that can be decided without reading a tensor.
  ///
  /// - Throws: `Failure`.
  public init(
    of index: Checkpoint, options: ConversionOptions = ConversionOptions(),
    tokenizer: ModelTokenizer? = nil,
    architectures: [any Architecture] = KnownArchitectures.all
  ) throws(Failure) {
    self.tokenizer = tokenizer
    model = try Recognition(index, options: options, architectures: architectures)
    plan = try Planner.plan(model, options: options, tokenizer: tokenizer)
    trained = try Planner.trainedPlan(model, options: options, tokenizer: tokenizer)
    try tokenizer?.check(rows: plan.vocabulary)
    identity = Conversion.identity(plan, index, tokenizer)
  }

  /// The checkpoint.
  public var index: Checkpoint { model.checkpoint }

  /// What identifies the output of a run: the checks that were asked for are options like others.
  private func fingerprint(_ options: RunOptions) -> String {
    var hasher = SHA256Hasher()
    hasher.update(
      Array(
        "\(identity) \(options.crc.rawValue) \(options.sha256) \(options.check.rawValue)".utf8))
    return hasher.hexDigest()
  }

  /// Whether OUTPUT is there, made of this checkpoint in this way.
  private func isDone(_ output: FilePath, _ options: RunOptions) -> Bool {
    OutputTransaction.fingerprint(of: output) == fingerprint(options)
      && (!options.sha256 || FileSystem.exists(output.appending("SHA256SUMS")))
  }

  /// A SHA-256 over plan, options, configuration, and the inputs' names, sizes and directories.
  private static func identity(
    _ plan: ConversionPlan, _ index: Checkpoint, _ tokenizer: ModelTokenizer?
  ) -> String {
    var hasher = SHA256Hasher()
    func add(_ text: String) { hasher.update(Array("\(text)\u{0}".utf8)) }
    add(ConversionManifest.schema)
    add(toolVersion)
    add(JSONWriter.text(ConversionManifest.options(plan, index), .compact))
    add(JSONWriter.text(.object(plan.configuration.config), .compact))
    add(plan.qkv.layout.rawValue)
    for file in index.files.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
      add("\(file.name) \(file.identity.size) \(file.directoryDigest)")
    }
    for shard in plan.shards {
      add(shard.fileName)
      hasher.update(shard.header.serialized)
    }
    // Names and shapes do not show where elements come from and what is added to them, which an
    // argument that the user sets can change.
    for tensor in plan.tensors {
      for piece in tensor.pieces { add(plan.transfer.identity(of: piece)) }
    }
    if let records = plan.options.records {
      add(JSONWriter.text(records.json(plan.recordCheck), .compact))
    }
    if let header = plan.options.cardHeader { add(header.merged(with: .none)) }
    for file in tokenizer?.files(positions: plan.sizes.positions) ?? [] {
      add(file.name)
      hasher.update(file.bytes)
    }
    return hasher.hexDigest()
  }

  /// The memory that the buffers of a conversion on so many threads take, in bytes.
  public func bufferSize(threads: Int) -> Int {
    let beside = trained != nil && threads > 1 ? WorkerBuffers.Sizes.reading(threads: 1).total : 0
    return PlanExecutor.sizes(plan.transfer, comparesMasters: trained != nil, threads: threads)
      .total
      + beside + 1 << 20
  }

  /// How far an output is.
  public enum State: Hashable, Sendable {
    /// OUTPUT is there, made of this checkpoint in this way.
    case done
    /// Some of its files are finished.
    case begun(finished: Int, of: Int)
    /// Nothing of it is there yet.
    case absent
    /// Something else is in the place of OUTPUT: what a conversion would say of it.
    case other(Failure)
  }

  /// How far an output is, by what is there.
  ///
  /// - Parameters:
  ///   - output: The folder to make.
  ///   - options: How it is to be done.
  /// - Returns: The state; reading no tensor.
  public func state(of output: FilePath, options: RunOptions = RunOptions()) -> State {
    let fingerprint = fingerprint(options)
    if isDone(output, options) { return .done }
    do {
      _ = try OutputTransaction(
        output, fingerprint: fingerprint, overwrite: options.overwrite,
        inputs: [index.folder.root, index.folder.path])
    } catch {
      return .other(error)
    }
    guard let staging = try? OutputTransaction.places(of: output, fingerprint).staging,
      FileSystem.isOwnFolder(staging)
    else { return .absent }
    let finished = plan.shards.filter { FileSystem.exists(staging.appending($0.fileName)) }.count
    return .begun(finished: finished, of: plan.shards.count)
  }

  /// Makes OUTPUT, or a part of it.
  ///
  /// - Parameters:
  ///   - output: The folder to make.
  ///   - options: How it is done.
  ///   - watcher: Called for each step.
  /// - Returns: What was made, and what was found on the way.
  /// - Throws: `Failure`, or `Interrupted` when a signal asked for a stop.
  public func run(
    to output: FilePath, options: RunOptions = RunOptions(),
    watcher: @escaping (Event) -> Void = { _ in }
  ) throws -> Result {
    let fingerprint = fingerprint(options)
    // When two processes do the same, one can take away from under the other what it was working
    // on. Either OUTPUT is there then, or the loser goes on with what is there.
    for _ in 0..<16 {
      if isDone(output, options) {
        let kept = OutputTransaction.clean(beside: output, fingerprint)
        return Result(
          outcome: .unchanged, fingerprint: fingerprint, report: ExecutionReport(),
          warnings: plan.warnings + OutputTransaction.warnings(about: kept),
          decisions: plan.decisions, outputs: [], sha256: []
        )
      }
      var folder: OutputTransaction?
      do {
        let made = try OutputTransaction(
          output, fingerprint: fingerprint, overwrite: options.overwrite,
          inputs: [index.folder.root, index.folder.path])
        folder = made
        return try run(in: made, options, watcher)
      } catch is OutputTransaction.StagingTaken {
        folder?.abandon()
      } catch {
        let kept = folder?.abandon()
        // Another process may have been quicker with the same.
        if isDone(output, options) { continue }
        guard let kept, var failure = error as? Failure else { throw error }
        let note = "finished files are kept in \(kept.string)"
        failure.hint = failure.hint.map { "\($0); \(note)" } ?? note
        throw failure
      }
    }
    throw Failure(
      .outputContended,
      "other processes keep taking the hidden folder next to it away", file: output.string)
  }

  private func run(
    in folder: OutputTransaction, _ options: RunOptions, _ watcher: @escaping (Event) -> Void
  ) throws -> Result {
    let shards =
      switch options.work {
      case .all: Array(plan.shards.indices)
      case .part(let part): plan.parts(part.count)[part.number - 1]
      case .finish: [Int]()
      }
    watcher(.started(totalBytes: plan.transfer.sourceBytes(of: shards)))
    try folder.begin(bytes: shards.reduce(0) { $0 + plan.shards[$1].size })
    let run = ConversionRun(self, in: folder, options: options, watcher: watcher)
    switch options.work {
    case .all: try run.write(shards)
    case .finish: try run.adoptParts()
    case .part(let part):
      try run.write(shards, part: part)
      return Result(
        outcome: .part, fingerprint: folder.fingerprint, report: ExecutionReport(),
        warnings: plan.warnings, decisions: plan.decisions,
        outputs: shards.map { (plan.shards[$0].fileName, plan.shards[$0].size) }, sha256: [])
    }
    return try run.finish()
  }

  /// Compares the masters with the weights without writing anything; `nil` when there are not both.
  ///
  /// - Parameters:
  ///   - crc: How much of the recorded CRCs is checked.
  ///   - threads: How many threads share the work.
  ///   - progress: Called with the number of bytes that were read.
  /// - Returns: Which tensors differ.
  /// - Throws: `Failure`, or `Interrupted`.
  public func compareMasters(
    crc: CRCMode = .auto, threads: Int = 1, progress: @escaping ExecutionReport.Progress = { _ in }
  ) throws -> MasterComparison? {
    guard let trained else { return nil }
    let masters = TensorHashes(plan.transfer, in: trained.tensors.map(\.format))
    try masters.addAll(of: plan.transfer, crc, threads: threads, progress: progress)
    let comparison = MasterComparison(
      plan, masters: masters.found,
      weights: try TensorHashes.ofAll(trained.transfer, crc, threads: threads))
    try comparison.check(index)
    return comparison
  }

  /// All files of OUTPUT but the weights and the manifest.
  func smallFiles() -> [(name: String, bytes: [UInt8])] {
    var files: [(name: String, bytes: [UInt8])] = []
    func add(_ name: String, _ text: String) { files.append((name, Array(text.utf8))) }
    if plan.shards.count > 1 {
      var map: [String: String] = [:]
      for shard in plan.shards {
        for tensor in shard.header.tensors { map[tensor.name] = shard.fileName }
      }
      let index = ShardIndex(
        weightMap: map, totalSize: plan.tensorBytes, totalParameters: plan.parameterCount)
      add(ShardIndex.fileName, index.serialized)
    }
    add("config.json", JSONWriter.text(.object(plan.configuration.config), .sorted))
    add("generation_config.json", JSONWriter.text(.object(plan.configuration.generation), .sorted))
    files += tokenizer?.files(positions: plan.sizes.positions) ?? []
    if let curves { files.append(("training_loss.png", LossPicture(curves).png)) }
    add("README.md", ModelCard.text(cardFacts))
    return files
  }

  private var cardFacts: ModelCard.Facts {
    var facts = ModelCard.Facts(
      format: plan.architecture.format, sizes: plan.sizes, parameters: plan.parameterCount,
      statedParameters: plan.architecture.statedParameters(plan.sizes),
      activation: plan.activation?.text
        ?? plan.configuration.config["hidden_act"]?.string ?? "not recorded",
      dtype: plan.format.torchName,
      tag: index.folder.tag, iteration: index.iteration, layout: index.folder.layout.title,
      version: toolVersion)
    facts.hasTokenizer = tokenizer != nil
    facts.sample = plan.options.sample
    facts.header = plan.options.cardHeader
    if let records = plan.options.records {
      facts.training = TrainingCard(records, index, curves).text
      facts.hasLogs = plan.options.copiesLogs && !records.logFiles.isEmpty
    }
    return facts
  }

  /// What the user should know of the curves of the run.
  public var recordWarnings: [Diagnostic] {
    guard plan.options.records?.logs != nil else { return [] }
    guard let curves else {
      return [Diagnostic(.logsLoss, "the event files have no curve of a training's loss")]
    }
    var warnings = curves.warnings
    if let logged = curves.sequencesAtMark,
      let own = try? index.arguments.int(ArgumentKey("consumed_train_samples")), own > 0,
      own != logged
    {
      warnings.append(
        Diagnostic(
          .logsLoss,
          "the event files count \(logged) sequences at the checkpoint's iteration, the checkpoint "
            + "\(own): they may be of another run"))
    }
    return warnings
  }

  /// The curves of the run, with the place of the checkpoint.
  public var curves: TrainingCurves? {
    plan.options.records?.logs.flatMap { run in
      TrainingCurves(run) { tags in
        guard tags.countsSamples else { return index.iteration }
        return try? index.arguments.int(ArgumentKey("consumed_train_samples"))
      }
    }
  }
}
