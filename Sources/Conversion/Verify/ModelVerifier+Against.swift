public import Architectures
import Diagnostics
public import HuggingFace
import JSON
public import Megatron
import Safetensors
public import Transfer

/// What the user chose about a comparison with the source; `nil` where the output itself tells.
public struct VerificationChoices: Hashable, Sendable {
  /// The order of the query, key and value rows; `nil` for the one that the checkpoint tells.
  public var qkvLayout: QKVOrder?
  /// What was done about replicas; `nil` for what the manifest says, else their mean.
  public var replicas: ConversionOptions.Replicas?
  /// How much of the recorded CRCs is checked.
  public var crc = CRCMode.auto
  /// How many tensor-parallel ranks a tool put together in each file of the checkpoint.
  public var mergedRanks: Int?
  /// Whether partitions of two ranks that are bit for bit the same are accepted.
  public var acceptsDuplicatedShards = false
  /// What was kept of the run besides its checkpoints.
  public var records: RunRecords?
  /// How many threads share the work.
  public var threads = 1

  /// Nothing is chosen, and one thread does the work.
  public init() {}
}

extension ModelVerifier {
  /// Recomputes every tensor from the checkpoint and compares all bytes with the output.
  ///
  /// Options come from the manifest; without one, type, names and vocabulary come from the output
  /// itself. The order of query, key and value is derived again.
  ///
  /// - Returns: What the pass over the sources found out.
  /// - Throws: `Failure` when the checkpoint cannot be read.
  public mutating func compare(
    with index: Checkpoint, choices: VerificationChoices = VerificationChoices(),
    progress: @escaping ExecutionReport.Progress = { _ in },
    started: (ConversionPlan) -> Void = { _ in }
  ) throws -> ExecutionReport {
    let manifest = manifest
    let options = try options(manifest, choices)
    // A family may have several tables for the names of one output: the checkpoint tells which.
    let family = KnownArchitectures.all.filter {
      $0.format.modelType == architecture.format.modelType
    }
    let plan = try Planner.plan(
      Recognition(index, options: options, architectures: family + [architecture]),
      options: options)
    started(plan)
    // Type and rows are those of the output; its tokens are its own affair.
    decisions = plan.decisions.compactMap { decision in
      switch decision.name {
      case "tokenizer", "bos_token_id", "eos_token_id": nil
      case "dtype", "vocab_size": Decision(decision.name, decision.value, "as the output has it")
      default: decision
      }
    }
    for warning in plan.warnings { judge(warning, choices) }
    compareDecisions(plan, manifest)
    try compareConfig(plan, index)
    var places: [Int: ComparisonSink.Place] = [:]
    for (position, tensor) in plan.tensors.enumerated() {
      guard let found = directory[tensor.name] else {
        if !faults.contains(where: { $0.tensor == tensor.name }) {
          fault(
            .outputMissingTensor, "the checkpoint has it, the output has not",
            tensor: tensor.name)
        }
        continue
      }
      guard found.declared.shape == tensor.shape, found.declared.dtype == tensor.dtype else {
        fault(
          .outputShape,
          "it is \(found.declared.dtype.rawValue) \(found.declared.shape); the checkpoint gives "
            + "\(tensor.dtype.rawValue) \(tensor.shape)", tensor: tensor.name)
        continue
      }
      places[position] = ComparisonSink.Place(file: found.file.file, start: found.start)
    }
    let sink = ComparisonSink(plan.transfer, places: places)
    let executor = PlanExecutor(
      plan.transfer, crc: choices.crc, threads: choices.threads, progress: progress)
    try executor.run(into: sink)
    try executor.finish()
    for (position, difference) in sink.differences.sorted(by: { $0.key < $1.key }) {
      let tensor = plan.tensors[position]
      let count = tensor.shape.reduce(1, *)
      fault(
        .outputValues,
        "\(difference.elements) of \(count) elements differ from the checkpoint, the first at "
          + "\(ModelVerifier.place(of: difference.first, in: tensor.shape)), by up to "
          + "\(difference.largest)", tensor: tensor.name)
    }
    for warning in plan.warnings(about: executor.report) {
      judge(warning, choices)
    }
    return executor.report
  }

  /// Takes a warning about the checkpoint over as a note; the same wrong file on both sides proves
  /// nothing.
  private mutating func judge(_ warning: Diagnostic, _ choices: VerificationChoices) {
    if warning.code == .checkpointDuplicatedShards, !choices.acceptsDuplicatedShards {
      fault(warning.code, warning.message, tensor: warning.tensor)
    } else {
      note(warning.code, warning.message, tensor: warning.tensor)
    }
  }

  /// The index of an element along each dimension.
  private static func place(of element: Int, in shape: [Int]) -> String {
    var rest = element
    var place: [Int] = []
    for size in shape.reversed() where size > 0 {
      place.insert(rest % size, at: 0)
      rest /= size
    }
    return "\(place)"
  }

  private func options(
    _ manifest: ConversionManifest?, _ choices: VerificationChoices
  ) throws(Failure) -> ConversionOptions {
    var options = ConversionOptions()
    options.maximumShardSize = nil
    options.qkvLayout = choices.qkvLayout
    options.mergedRanks = choices.mergedRanks ?? manifest?.mergedRanks
    options.acceptsDuplicatedShards = true
    options.records = choices.records
    options.keyStyle = keyStyle
    let stated = manifest?.json.object?["options"]?.object
    let replicas = stated?["replicas"]?.string.flatMap { ConversionOptions.Replicas(rawValue: $0) }
    options.replicas = choices.replicas ?? replicas ?? .mean
    // The output's own rows and type are what is compared; the manifest cannot know better.
    if let words = directory[architecture.format.name(architecture.format.embedding, keyStyle)]?
      .declared
    {
      if let rows = words.shape.first { options.vocabulary = .rows(rows) }
      options.dtype = words.dtype
    }
    return options
  }

  /// What a manifest says was decided must be what the checkpoint says today.
  private mutating func compareDecisions(_ plan: ConversionPlan, _ manifest: ConversionManifest?) {
    if let layout = manifest?.qkvLayout, layout != plan.qkv.layout.rawValue {
      fault(
        .qkvDisagrees,
        "the output was made with query, key and value as \(layout), but the checkpoint says "
          + "\(plan.qkv.layout.rawValue) (\(plan.qkv.reason))", file: OutputTransaction.manifestName
      )
    }
  }

  /// The fields of `config.json` that are a part of the function that the model computes.
  private mutating func compareConfig(
    _ plan: ConversionPlan, _ index: Checkpoint
  ) throws(Failure) {
    guard let config else { return }
    let (expected, format) = (plan.configuration.config, plan.architecture.format)
    for key in format.functionFields {
      // transformers 5 saves them within rope_parameters alone, which are compared, too.
      let isWithin =
        config[key] == nil && config["rope_parameters"] != nil
        && ["rotary_pct", "rotary_emb_base", "rope_theta"].contains(key)
      if isWithin { continue }
      guard let wanted = expected[key], let found = config[key] ?? format.defaults[key] else {
        continue
      }
      let tanh: [JSONValue] = ["gelu_fast", "gelu_new", "gelu_pytorch_tanh"]
      if found == wanted || tanh.contains(found) && tanh.contains(wanted) { continue }
      if let a = found.number, let b = wanted.number, a == b { continue }
      fault(
        .configDisagrees,
        "\(key) is \(JSONWriter.text(found, .compact)); the checkpoint gives "
          + JSONWriter.text(wanted, .compact), file: "config.json")
    }
  }
}
