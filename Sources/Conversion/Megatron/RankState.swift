import Pickle
import SystemPackage
import TorchArchive

/// What the state file of a model-parallel rank says besides weights: arguments, version,
/// iteration (`mp_rank_XX_model_states.pt`; DeepSpeed `runtime/engine.py` `_save_checkpoint`,
/// Megatron `checkpointing.py` `save_checkpoint`).
struct RankState {
  let file: String
  let arguments: TrainingArguments?
  let checkpointVersion: Double?
  let iteration: Int?
  let originalVocabularySize: Int?
  let deepspeedVersion: String?

  init(_ file: TorchFile, named name: String) throws(ConversionError) {
    let graph = file.graph
    guard graph.entries(graph.root) != nil else {
      throw ConversionError(
        .malformed, "checkpoint/no-state", "the file holds no dictionary", file: name)
    }
    func value(_ key: String) -> NodeID? { graph.value(key, in: graph.root) }
    self.file = name
    arguments = value("args").flatMap { TrainingArguments($0, in: graph) }
    checkpointVersion = value("checkpoint_version").flatMap { RankState.number($0, graph) }
    iteration =
      value("iteration").flatMap { graph.int($0) }
      ?? value("global_steps").flatMap { graph.int($0) }
    let vocabularies = ["checkpoint_info", "universal_checkpoint_info"].compactMap {
      value($0).flatMap { graph.value("original_vocab_size", in: $0) }.flatMap { graph.int($0) }
    }
    originalVocabularySize = vocabularies.first
    deepspeedVersion = value("ds_version").flatMap { graph.text($0) }
  }

  private static func number(_ id: NodeID, _ graph: PickleGraph) -> Double? {
    switch graph[id] {
    case .int(let value): Double(value)
    case .float(let value): value
    default: nil
    }
  }

  /// The arguments that must be the same on all ranks of one checkpoint.
  private static let shared = [
    "num_layers", "hidden_size", "num_attention_heads", "padded_vocab_size",
    "tensor_model_parallel_size", "pipeline_model_parallel_size", "max_position_embeddings",
    "bias_gelu_fusion", "openai_gelu", "onnx_safe", "layernorm_epsilon", "apply_layernorm_1p",
    "ds_sequence_parallel_fpdt",
  ]

  /// Compares the states of all ranks: files of several checkpoints may lie in one folder.
  static func checkAgreement(_ states: [RankState]) throws(ConversionError) {
    guard let first = states.first else { return }
    for state in states.dropFirst() {
      func differ(_ what: String, _ a: String, _ b: String) -> ConversionError {
        ConversionError(
          .malformed, "checkpoint/mixed-files",
          "its \(what) is \(b), but that of \(first.file) is \(a): "
            + "files of several checkpoints lie in this folder", file: state.file)
      }
      if state.iteration != first.iteration {
        throw differ(
          "iteration", first.iteration.map { "\($0)" } ?? "unknown",
          state.iteration.map { "\($0)" } ?? "unknown")
      }
      if state.checkpointVersion != first.checkpointVersion {
        throw differ(
          "checkpoint_version", first.checkpointVersion.map { "\($0)" } ?? "absent",
          state.checkpointVersion.map { "\($0)" } ?? "absent")
      }
      for key in shared {
        let (a, b) = (first.arguments?[key], state.arguments?[key])
        if a != b { throw differ(key, a?.text ?? "unset", b?.text ?? "unset") }
      }
    }
  }
}
