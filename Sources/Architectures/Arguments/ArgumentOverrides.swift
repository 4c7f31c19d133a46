public import Diagnostics
public import JSON

/// Training arguments that the user gives with `--set KEY=VALUE` and `--config FILE`.
public struct ArgumentOverrides: Hashable, Sendable {
  public private(set) var values: [String: ArgumentValue] = [:]
  /// The names that something reads.
  private let known: Set<String>

  /// No settings yet.
  ///
  /// - Parameter keys: The names of arguments that the architectures read, besides those that
  ///   are read of every checkpoint.
  public init(architectures keys: some Sequence<String> = []) {
    known = ArgumentOverrides.common.union(keys)
  }

  /// Adds what a JSON object holds, by Megatron's argument names. Single settings that were added
  /// before win. A file may hold all arguments of a run; those that play no part are passed over.
  ///
  /// - Throws: `Failure` 64 when none plays a part.
  public mutating func add(config: JSONObject, file: String) throws(Failure) {
    let decisive = config.members.filter { known.contains($0.key) }
    guard !decisive.isEmpty else {
      throw Failure(
        .argumentsUnknown, "it holds no argument that a conversion depends on",
        file: file)
    }
    for member in decisive {
      guard let value = ArgumentValue(member.value) else {
        throw Failure(
          .argumentsConfig, "the value of \(member.key) is an object", file: file)
      }
      if values[member.key] == nil { values[member.key] = value }
    }
  }

  /// Adds a text of the form `KEY=VALUE`.
  ///
  /// - Throws: `Failure` 64.
  public mutating func add(setting text: String) throws(Failure) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw Failure(
        .argumentsSet, "\"\(text)\" is not of the form KEY=VALUE",
        hint: "for example --set num_attention_heads=16")
    }
    let key = String(parts[0])
    try check(key, file: nil)
    values[key] = ArgumentValue(parsing: String(parts[1]))
  }

  /// A name that nothing reads would be a setting without effect.
  private func check(_ key: String, file: String?) throws(Failure) {
    guard !known.contains(key) else { return }
    throw Failure(
      .argumentsUnknown, "no conversion depends on an argument \"\(key)\"", file: file,
      hint: suggestion(for: key))
  }

  /// The names that were probably meant.
  private func suggestion(for key: String) -> String {
    if let near = Spelling.nearest(to: key, in: known) { return "did you mean \(near)?" }
    let parts = known.sorted().filter { name in
      key.split(separator: "_").contains { $0.count > 2 && name.contains($0) }
    }
    if !parts.isEmpty { return "did you mean \(parts.prefix(4).joined(separator: ", "))?" }
    return "those that most often help: num_attention_heads, bias_gelu_fusion, layernorm_epsilon, "
      + "apply_layernorm_1p, checkpoint_version"
  }

  /// The arguments that are read of every checkpoint.
  package static let common: Set<String> = Set(
    ([
      .numLayers, .hiddenSize, .ffnHiddenSize, .numAttentionHeads, .kvChannels,
      .numKeyValueHeads, .numQueryGroups, .groupQueryAttention, .maxPositionEmbeddings,
      .paddedVocabSize, .layernormEpsilon, .normEpsilon, .normalization, .applyLayernorm1p,
      .layernormZeroCenteredGamma, .applyResidualConnectionPostLayernorm, .embedLayernorm,
      .addBiasLinear, .addQkvBias, .swiglu, .openaiGelu, .onnxSafe, .biasGeluFusion,
      .gluActivation, .positionEmbeddingType, .addPositionEmbedding,
      .useRotaryPositionEmbeddings, .untieEmbeddingsAndOutputWeights, .attentionDropout,
      .hiddenDropout, .initMethodStd, .tensorModelParallelSize, .modelParallelSize,
      .pipelineModelParallelSize, .dataParallelSize, .contextParallelSize,
      .dsSequenceParallelSize, .worldSize, .numExperts, .checkpointVersion,
      .originalVocabSize, .origVocabSize, .vocabSize, .makeVocabSizeDivisibleBy,
      .tokenizerType, .tokenizerNameOrPath, .tokenizerModel, .dsSequenceParallelFpdt,
      .pretrainCausalAttention, .numUniqueLayers, .paramSharingStyle, .iteration,
    ] as [ArgumentKey]).map(\.name))
}
