import Architectures
import ByteIO
import Conversion
import Diagnostics
import JSON
import Megatron
import Transfer

/// What a plan comes to, in a few lines.
struct PlanDescription {
  private let plan: ConversionPlan
  private let index: Checkpoint

  init(_ plan: ConversionPlan, _ index: Checkpoint) {
    self.plan = plan
    self.index = index
  }

  /// What is called how.
  var rows: [(String, String)] {
    let sizes = plan.sizes
    let padding =
      plan.vocabulary == plan.paddedVocabulary
      ? "" : " of \(plan.paddedVocabulary) stored"
    return [
      (
        "source",
        "\(index.folder.layout.title), tp \(index.trainedTensorParallel), pp "
          + (index.pipelineParallel.map { "\($0)" } ?? "unknown")
          + (index.iteration.map { ", iteration \($0)" } ?? "")
      ),
      (
        "model",
        "\(sizes.layers) layers, hidden \(sizes.hidden), \(sizes.heads) heads, "
          + "\(sizes.positions) positions, \(plan.vocabulary)\(padding) tokens"
      ),
      (
        "parameters",
        "\(countText(plan.parameterCount)) (\(thousands(plan.parameterCount))) in "
          + "\(plan.format.torchName)"
          + (index.weights == .fp32Master ? ", from the float32 masters" : "")
      ),
    ]
  }

  /// What was concluded, in lines of their own.
  var decisions: String { DecisionTable(plan.decisions).text() }

  /// The same for programs.
  var json: JSONValue {
    let sizes = plan.sizes
    return [
      "layout": .string(index.folder.layout.rawValue),
      "tag": index.folder.tag.map { .string($0) } ?? nil,
      "iteration": index.iteration.map { .int($0) } ?? nil,
      "tensor_parallel": .int(index.trainedTensorParallel),
      "pipeline_parallel": index.pipelineParallel.map { .int($0) } ?? nil,
      "layers": .int(sizes.layers),
      "hidden": .int(sizes.hidden),
      "heads": .int(sizes.heads),
      "feed_forward": .int(sizes.feedForward),
      "positions": .int(sizes.positions),
      "vocabulary": .int(plan.vocabulary),
      "padded_vocabulary": .int(plan.paddedVocabulary),
      "parameters": .int(plan.parameterCount),
      "dtype": .string(plan.format.torchName),
      "weights": .string(index.weights.rawValue),
      "qkv": ["layout": .string(plan.qkv.layout.rawValue), "evidence": .string(plan.qkv.reason)],
      "activation": plan.activation.map {
        ["name": .string($0.text), "evidence": .string($0.reason)]
      } ?? nil,
      "tied": .bool(plan.isTied),
    ]
  }
}
