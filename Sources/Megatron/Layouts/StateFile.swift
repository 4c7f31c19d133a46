import Architectures
import Diagnostics
import Pickle
import TorchArchive

/// What the state file of a model-parallel rank says besides weights: arguments, version,
/// iteration (`mp_rank_XX_model_states.pt`; DeepSpeed `runtime/engine.py` `_save_checkpoint`,
/// Megatron `checkpointing.py` `save_checkpoint`).
struct StateFile {
  let file: String
  let arguments: TrainingArguments?
  /// As recorded; what is not a number is an error only where the user has not set it.
  let checkpointVersion: ArgumentValue?
  let iteration: ArgumentValue?
  /// As the states of both kinds of checkpoints that DeepSpeed makes record it.
  let originalVocabularySizes: [ArgumentValue]
  let deepspeedVersion: String?
  /// The angles of rotary positions, which pipeline dumps have among the arguments.
  let rotaryTable: RotaryTable?
  /// What it holds at its root.
  let keys: [String]

  init(_ file: TorchFile, named name: String) throws(Failure) {
    let graph = file.graph
    guard let home = StateFile.home(in: graph) else {
      throw Failure(
        .checkpointNoState,
        "the file holds no dictionary; \(WeightsRoot.holdings(of: file))", file: name)
    }
    func value(_ key: String) -> NodeID? { graph.value(key, in: home) }
    func recorded(_ id: NodeID?) -> ArgumentValue? {
      var budget = 100
      return id.map { ArgumentValue($0, in: file, budget: &budget) }.flatMap {
        $0 == .none ? nil : $0
      }
    }
    self.file = name
    arguments = try StateFile.arguments(in: file, home, name)
    checkpointVersion = recorded(value("checkpoint_version"))
    iteration = recorded(value("iteration")) ?? recorded(value("global_steps"))
    originalVocabularySizes = ["checkpoint_info", "universal_checkpoint_info"].compactMap {
      recorded(value($0).flatMap { graph.value("original_vocab_size", in: $0) })
    }
    deepspeedVersion = value("ds_version").flatMap { graph.text($0) }
    keys = (graph.entries(home) ?? []).prefix(64).map { graph.label($0.key) }
    rotaryTable =
      if let found = value("args") { try RotaryTable(in: file, found, named: name) } else { nil }
  }

  /// What values of a distributed checkpoint say, each by its name: the arguments (`args`), the
  /// iteration and the version.
  init(_ values: [String: TorchFile], named name: String) throws(Failure) {
    func recorded(_ key: String) -> ArgumentValue? {
      var budget = 100
      return values[key].map { ArgumentValue($0.graph.root, in: $0, budget: &budget) }.flatMap {
        $0 == .none ? nil : $0
      }
    }
    file = name
    arguments = values["args"].flatMap { TrainingArguments($0.graph.root, in: $0) }
    if let found = values["args"], arguments == nil {
      throw Failure(
        .argumentsType,
        "the arguments (args) are no Namespace; \(WeightsRoot.holdings(of: found))", file: name)
    }
    checkpointVersion = recorded("checkpoint_version")
    iteration = recorded("iteration")
    originalVocabularySizes = []
    deepspeedVersion = nil
    rotaryTable = nil
    keys = values.keys.sorted()
  }

  /// The dictionary of a state: the root, the only one in a list, or what some programs wrapped as
  /// the only value of another.
  private static func home(in graph: PickleGraph) -> NodeID? {
    var node = graph.root
    for _ in 0..<4 {
      if let items = graph.items(node) {
        let dictionaries = items.filter { graph.entries($0) != nil }
        guard dictionaries.count == 1 else { return nil }
        node = dictionaries[0]
      } else if let entries = graph.entries(node) {
        guard entries.count == 1, let value = entries.first?.value,
          graph.value("args", in: value) ?? graph.value("checkpoint_version", in: value) != nil
            || graph.entries(value)?.count == 1
        else { return node }
        node = value
      } else {
        return nil
      }
    }
    return graph.entries(node) == nil ? nil : node
  }

  /// What a state holds as `args`, or, in files of NeMo, as `hyper_parameters`.
  private static func arguments(
    in file: TorchFile, _ home: NodeID, _ name: String
  ) throws(Failure) -> TrainingArguments? {
    let graph = file.graph
    if let id = graph.value("args", in: home), graph[id] != .none {
      if let arguments = TrainingArguments(id, in: file) { return arguments }
      if graph.entries(id)?.isEmpty == true { return nil }
      var budget = 100
      throw Failure(
        .argumentsType,
        "the arguments (args) are \(ArgumentValue(id, in: file, budget: &budget).quoted); a "
          + "Namespace or "
          + "a dictionary was expected", file: name,
        hint: "a file without args is read with --set num_attention_heads=N and --config FILE")
    }
    guard let id = graph.value("hyper_parameters", in: home) else { return nil }
    return TrainingArguments(id, in: file).map {
      NeMoArguments.arguments(TrainingArguments(graph.value("cfg", in: id) ?? id, in: file) ?? $0)
    }
  }

  /// The arguments that must be the same on all ranks of one checkpoint.
  private static let shared: [ArgumentKey] = [
    .numLayers, .hiddenSize, .numAttentionHeads, .paddedVocabSize,
    .tensorModelParallelSize, .pipelineModelParallelSize, .maxPositionEmbeddings,
    .biasGeluFusion, .openaiGelu, .onnxSafe, .layernormEpsilon, .normEpsilon, .applyLayernorm1p,
    .layernormZeroCenteredGamma, .dsSequenceParallelFpdt,
  ]

  /// Compares the states of all ranks: files of several checkpoints may lie in one folder.
  static func checkAgreement(_ states: [StateFile]) throws(Failure) {
    guard let first = states.first else { return }
    for state in states.dropFirst() {
      func differ(_ what: String, _ a: String, _ b: String) -> Failure {
        Failure(
          .checkpointMixedFiles,
          "its \(what) is \(b), but that of \(first.file) is \(a): "
            + "files of several checkpoints lie in this folder", file: state.file,
          hint: "move the files of the other checkpoint away")
      }
      if state.iteration?.number != first.iteration?.number {
        throw differ(
          "iteration", first.iteration?.text ?? "unknown", state.iteration?.text ?? "unknown")
      }
      if state.checkpointVersion?.number != first.checkpointVersion?.number {
        throw differ(
          "checkpoint_version", first.checkpointVersion?.text ?? "absent",
          state.checkpointVersion?.text ?? "absent")
      }
      for key in shared {
        let (a, b) = (first.arguments?[key], state.arguments?[key])
        if a != b { throw differ(key.name, a?.quoted ?? "unset", b?.quoted ?? "unset") }
      }
    }
  }
}

extension CheckpointBuilder {
  /// Takes over what the states of all ranks agree on.
  mutating func adopt(_ states: [StateFile]) throws(Failure) {
    try StateFile.checkAgreement(states)
    guard let first = states.first else { return try applyOverrides() }
    arguments = first.arguments ?? .absent
    deepspeedVersion = first.deepspeedVersion
    rotaryTable = first.rotaryTable
    stateKeys = first.keys
    if !arguments.isPresent {
      warnings.append(
        Diagnostic(
          .argumentsAbsent, "the checkpoint holds no training arguments"))
    }
    try applyOverrides()
    // What the user set need not be readable in the file.
    func recorded(_ value: ArgumentValue?, _ key: ArgumentKey) throws(Failure) -> Double? {
      guard arguments.source(of: key) == .checkpoint else { return try arguments.double(key) }
      return try TrainingArguments.recorded(value, as: key, in: first.file)
    }
    checkpointVersion = try recorded(first.checkpointVersion, .checkpointVersion)
    iteration = try recorded(first.iteration, .iteration).flatMap { Int(exactly: $0) }
    if let step = folder.stepNumber, let iteration, step != iteration,
      arguments.source(of: .iteration) == .checkpoint
    {
      warnings.append(
        Diagnostic(
          .checkpointOtherIteration,
          "the folder is named \"\(folder.tag ?? "")\", but its files are of iteration "
            + "\(iteration): was it "
            + "renamed, or were files of another step copied into it?"))
    }
    let sizes = try first.originalVocabularySizes.map { value throws(Failure) in
      try recorded(value, .originalVocabSize).flatMap { Int(exactly: $0) }
    }.compactMap { $0 }
    guard Set(sizes).count <= 1 else {
      throw Failure(
        .vocabularyAmbiguous,
        "it records a vocabulary of \(sizes[0]) tokens and one of \(sizes[1]) before padding",
        file: first.file, hint: "say which with --set original_vocab_size=N")
    }
    originalVocabularySize = sizes.first
  }
}
