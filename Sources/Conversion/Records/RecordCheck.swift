public import Architectures
import Diagnostics
import Megatron
import TorchArchive

/// A checkpoint beside the records of its run: what they fill in, what agrees, and what does not.
///
/// Shapes and names of tensors are believed before `--set` and `--config`, these before the
/// checkpoint's arguments, these before the texts of the event files, and these before the script.
public struct RecordCheck: Hashable, Sendable {
  /// What became of an argument.
  public enum Verdict: String, Hashable, Sendable {
    /// No record says anything else than the checkpoint.
    case same
    /// The checkpoint does not have it, and the value of a record was taken.
    case filled
    /// A record says something else, as it may from job to job: the checkpoint is believed.
    case mayChange = "differs, may change"
    /// A record says something else of what cannot change within a run: it is of another one.
    case contradicts
    /// It contradicts if what the script assumes is so.
    case assumed = "differs, if the script's assumptions hold"
  }

  /// An argument that more than one of them names, or that was filled in.
  public struct Row: Hashable, Sendable {
    /// By Megatron's name, with underscores.
    public let name: String
    /// What shapes prove, else what the arguments say; `nil` where the checkpoint says nothing.
    public let checkpoint: ArgumentValue?
    /// What the event files say of the job that wrote the checkpoint; `nil` for nothing.
    public let logs: ArgumentValue?
    /// What the script passes on, as far as it is known; `nil` for nothing.
    public let script: ArgumentValue?
    /// What became of it, or whether the records agree.
    public let verdict: Verdict
    /// The line of the script.
    public let line: Int?
    /// Who filled it.
    public let origin: String?
    /// What has to be true so that what was filled in is right.
    public let assumptions: [String]

    /// The value that was filled in, or would have been.
    var filling: ArgumentValue? { origin == RecordCheck.eventFiles ? logs : script }
  }

  /// The origin of what event files fill in.
  private static let eventFiles = "event files"

  /// In a fixed order: what cannot change within a run comes first.
  public let rows: [Row]
  /// How many options of the script have no value that is known.
  public let unknownCount: Int

  /// What cannot change within a run: another value means another run.
  static let fixed: [ArgumentKey] = [
    .numLayers, .hiddenSize, .ffnHiddenSize, .numAttentionHeads, .kvChannels, .numQueryGroups,
    .maxPositionEmbeddings, .positionEmbeddingType, .useRotaryPositionEmbeddings,
    .addPositionEmbedding, .normalization, .applyLayernorm1p, .embedLayernorm,
    .untieEmbeddingsAndOutputWeights, .applyResidualConnectionPostLayernorm, .swiglu,
    .openaiGelu, .onnxSafe, .gluActivation, .biasGeluFusion, .addBiasLinear, .layernormEpsilon,
    .normEpsilon, .layernormZeroCenteredGamma, .rotaryBase, .ropeTheta, .groupQueryAttention,
    .numKeyValueHeads, .addQkvBias, ArgumentKey("rotary_percent"),
    ArgumentKey("rotary_interleaved"), ArgumentKey("use_rope_scaling"),
    ArgumentKey("rope_scaling_factor"),
    ArgumentKey("rotary_seq_len_interpolation_factor"), ArgumentKey("no_rope_freq"),
    ArgumentKey("qk_layernorm"), ArgumentKey("qk_l2_norm"),
  ]
  /// Later releases of Megatron-core save under the first name what the second option says.
  private static let aliases: [ArgumentKey: ArgumentKey] = [
    .normEpsilon: .layernormEpsilon, .layernormEpsilon: .normEpsilon,
    .applyLayernorm1p: .layernormZeroCenteredGamma,
  ]
  /// What may differ from job to job, and is worth a row.
  private static let free: [ArgumentKey] = [
    ArgumentKey("seq_length"), ArgumentKey("params_dtype"), .tensorModelParallelSize,
    .pipelineModelParallelSize, .initMethodStd, .hiddenDropout, .attentionDropout,
    .tokenizerType, .makeVocabSizeDivisibleBy,
  ]
  /// What records may fill in where the checkpoint says nothing.
  private static let fillable =
    Set(fixed.map(\.name)).union(free.map(\.name)).union([
      "vocab_size", "padded_vocab_size", "num_experts", "tokenizer_name_or_path",
    ]).subtracting(["seq_length", "tensor_model_parallel_size", "pipeline_model_parallel_size"])

  /// What the records fill in: what the checkpoint's arguments do not name.
  static func fills(
    _ records: RunRecords, _ checkpoint: Checkpoint
  ) -> [String: (value: ArgumentValue, origin: String)] {
    var result: [String: (value: ArgumentValue, origin: String)] = [:]
    func fill(_ arguments: RecordedArguments?, _ origin: String) {
      for (name, argument) in arguments?.arguments ?? [:]
      where result[name] == nil && fillable.contains(name) {
        guard let value = argument.value, value != .none,
          !checkpoint.arguments.has(ArgumentKey(name)), !isComplete(checkpoint)
        else { continue }
        result[name] = (value, origin)
      }
    }
    fill(records.logArguments(upTo: checkpoint.iteration), eventFiles)
    fill(records.script?.arguments, records.script?.name ?? "script")
    return result
  }

  /// Whether a checkpoint has all arguments of its trainer: what is not among them, the trainer did
  /// not have, and nothing is filled in.
  private static func isComplete(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.arguments.isPresent && checkpoint.arguments.values.count > 60
  }

  /// Values that change nothing where an argument is not there at all.
  private static func isOff(_ value: ArgumentValue, _ key: ArgumentKey) -> Bool {
    switch value.literal {
    case .bool(let isOn): isOn == (key == .addBiasLinear || key == .addPositionEmbedding)
    case .none: true
    case .string(let text), .name(let text), .member(_, let text):
      ["layernorm", "absolute", "learned_absolute"].contains(text.lowercased())
    default: false
    }
  }

  /// Compares them.
  ///
  /// - Parameters:
  ///   - records: The records.
  ///   - checkpoint: The checkpoint as it is, without what the records fill in.
  ///   - sizes: The sizes that its shapes tell, if they could be worked out.
  ///   - fills: What was filled in.
  init(
    _ records: RunRecords, _ checkpoint: Checkpoint, _ sizes: ModelSizes?,
    _ fills: [String: (value: ArgumentValue, origin: String)]
  ) {
    let logs = records.logArguments(upTo: checkpoint.iteration)
    let script = records.script?.arguments
    unknownCount = script?.unknownCount ?? 0
    var rows: [Row] = []
    let known = RecordCheck.shapes(checkpoint, sizes)
    for key in RecordCheck.fixed + RecordCheck.free {
      let name = key.name
      let (fromLogs, fromScript) = (logs?[name], script?[name])
      guard fromLogs != nil || fromScript != nil else { continue }
      let filled = fills[name]
      // A value that the user set does not come from the checkpoint, and it beats the records.
      let isSet = checkpoint.arguments.source(of: key) == .user
      let own =
        known[name]
        ?? (isSet ? checkpoint.arguments.replaced[name] : checkpoint.arguments[key])
        ?? RecordCheck.aliases[key].flatMap { checkpoint.arguments[$0] }
      if isSet, known[name] == nil { continue }
      func differs(_ other: RecordedArguments.Argument?) -> Bool {
        guard let own, let value = other?.value, value != .none else { return false }
        return !RecordCheck.equal(own, value)
      }
      let isFixed = RecordCheck.fixed.contains(key)
      let telling = [fromLogs, fromScript].compactMap { $0 }.filter { argument in
        argument.value.map { !RecordCheck.isOff($0, key) } ?? false
      }
      let verdict: Verdict
      if own == nil, isFixed, filled == nil, RecordCheck.isComplete(checkpoint), !telling.isEmpty {
        // The arguments are all there, and this one is not: another trainer, or another run.
        verdict = telling.contains { !$0.isAssumed } ? .contradicts : .assumed
      } else if differs(fromLogs) || differs(fromScript) {
        let isSure = differs(fromLogs) || fromScript?.isAssumed == false
        verdict = !isFixed ? .mayChange : isSure ? .contradicts : .assumed
      } else if own == nil, let filled {
        // Event files are believed before the script, but only one of them can be of this run.
        let isOther =
          fromScript.map { script in
            script.value.map { $0 != .none && !RecordCheck.equal($0, filled.value) } ?? false
              && !script.isAssumed
          } ?? false
        verdict = isFixed && isOther ? .contradicts : .filled
      } else if own == nil {
        continue
      } else {
        verdict = .same
      }
      rows.append(
        Row(
          name: name, checkpoint: own, logs: fromLogs?.value, script: fromScript?.value,
          verdict: verdict, line: fromScript?.line, origin: filled?.origin,
          assumptions: filled.map { $0.origin == RecordCheck.eventFiles } ?? true
            ? [] : fromScript?.assumptions ?? []))
    }
    self.rows = rows
  }

  /// What shapes and names prove, whatever arguments say.
  private static func shapes(
    _ checkpoint: Checkpoint, _ sizes: ModelSizes?
  ) -> [String: ArgumentValue] {
    var known: [String: ArgumentValue] = [
      "tensor_model_parallel_size": .int(checkpoint.trainedTensorParallel)
    ]
    if let stages = checkpoint.pipelineParallel {
      known["pipeline_model_parallel_size"] = .int(stages)
    }
    if checkpoint.dtypes.count == 1, let dtype = checkpoint.dtypes.first {
      known["params_dtype"] = .name("torch.\(dtype.rawValue)")
    }
    let names = checkpoint.tensorNames
    func has(_ suffix: String) -> Bool { names.contains { $0.hasSuffix(suffix) } }
    known["add_bias_linear"] = .bool(has("dense_h_to_4h.bias"))
    known["untie_embeddings_and_output_weights"] = .bool(has("output_layer.weight"))
    if has("position_embeddings.weight") {
      known["position_embedding_type"] = .string("absolute")
      known["use_rotary_position_embeddings"] = .bool(false)
      known["add_position_embedding"] = .bool(true)
    }
    if has("input_layernorm.bias") { known["normalization"] = .string("LayerNorm") }
    guard let sizes else { return known }
    known["num_layers"] = .int(sizes.layers)
    known["hidden_size"] = .int(sizes.hidden)
    known["ffn_hidden_size"] = .int(sizes.feedForward)
    known["max_position_embeddings"] = .int(sizes.positions)
    return known
  }

  /// Whether two values mean the same: numbers by their value, types with or without `torch.`,
  /// members of enumerations by their names.
  static func equal(_ a: ArgumentValue, _ b: ArgumentValue) -> Bool {
    if let first = a.number, let second = b.number { return first == second }
    func truth(_ value: ArgumentValue) -> Bool? {
      switch value.literal {
      case .bool(let value): value
      case .int(0): false
      case .int(1): true
      default: nil
      }
    }
    if let first = truth(a), let second = truth(b) { return first == second }
    func plain(_ value: ArgumentValue) -> String {
      switch value {
      // bigscience's enumeration of positions, by numbers in pickles and by names in texts.
      case .member(_, let value): ["1": "rotary", "2": "absolute", "3": "alibi"][value] ?? value
      case .name(let name): String(name.split(separator: ".").last ?? "")
      default: String(value.text.split(separator: ".").last ?? "")
      }
    }
    let types = ["half": "float16", "fp16": "float16", "bf16": "bfloat16", "float": "float32"]
    let (first, second) = (types[plain(a)] ?? plain(a), types[plain(b)] ?? plain(b))
    let absolute = ["absolute", "learned_absolute"]
    return first == second || absolute.contains(first) && absolute.contains(second)
  }

  /// Makes sure that nothing that cannot change within a run differs.
  ///
  /// - Parameter records: The records, by whose names messages call them.
  /// - Throws: `Failure` 78 with all that differ.
  func requireAgreement(_ records: RunRecords) throws(Failure) {
    let wrong = rows.filter { $0.verdict == .contradicts }
    guard !wrong.isEmpty else { return }
    let isScript = wrong.contains { row in
      guard let script = row.script else { return false }
      return row.checkpoint.map { !RecordCheck.equal($0, script) } ?? true
    }
    let name = isScript ? records.script?.name ?? "the script" : "the event files"
    let lines = wrong.map { row in
      var line = "\(row.name): checkpoint \(row.checkpoint?.text ?? "has no such argument")"
      if let logs = row.logs { line += ", event files \(logs.text)" }
      if let script = row.script { line += ", script \(script.text)" }
      return line + (row.line.map { " (line \($0))" } ?? "")
    }
    throw Failure(
      isScript ? .scriptContradicts : .logsContradict,
      "\(name) did not train this checkpoint, or not as it is now: "
        + lines.joined(separator: "; "),
      hint: isScript
        ? "give the right --training-script, or leave it out"
        : "give the right --training-logs, or leave them out")
  }

  /// What was filled in and what differs, as decisions.
  var decisions: [Decision] {
    rows.compactMap { row in
      switch row.verdict {
      case .filled:
        guard let value = row.filling else { return nil }
        return Decision(
          row.name, .string(value.text),
          "\(row.origin ?? ""): the checkpoint does not say"
            + (row.origin == RecordCheck.eventFiles ? "" : row.line.map { "; line \($0)" } ?? "")
            + (row.assumptions.isEmpty ? "" : "; if \(row.assumptions.joined(separator: ", "))"),
          row.assumptions.isEmpty ? .fact : .guess,
          hint: row.assumptions.isEmpty
            ? nil : "--set \(row.name)=N, or --script-args and --script-env, settle it")
      case .mayChange:
        let others = [
          row.logs.map { "event files \($0.text)" }, row.script.map { "script \($0.text)" },
        ].compactMap { $0 }
        return Decision(
          row.name, .string(row.checkpoint?.text ?? ""),
          "the checkpoint's; \(others.joined(separator: ", ")): it may change at a restart")
      default: return nil
      }
    }
  }

  /// What would contradict if the script's assumptions hold.
  var warnings: [Diagnostic] {
    rows.filter { $0.verdict == .assumed }.map { row in
      Diagnostic(
        .scriptDiffers,
        "\(row.name) is \(row.checkpoint?.text ?? "") in the checkpoint, and would be "
          + "\(row.script?.text ?? "") by the script, if what it leaves open is as assumed")
    }
  }
}
