import Diagnostics

/// What makes a model a BLOOM, what keeps one from being converted, and its sizes.
enum BloomFeatures {
  /// Alibi by the arguments, and a norm after the embedding by the arguments or the tensors.
  static func isOfFamily(_ facts: any ModelFacts) -> Bool {
    isAlibi(facts.arguments)
      && (((try? facts.arguments.bool(.embedLayernorm)) ?? nil) == true
        || facts.has(BloomRules.norm))
  }

  /// By name, or by the value that the enumeration had (bigscience `megatron/enums.py`).
  private static func isAlibi(_ arguments: TrainingArguments) -> Bool {
    switch arguments[.positionEmbeddingType] {
    case .member(_, let value)?: value == "3" || value == "alibi"
    case .string(let name)?: name == "alibi" || name.hasSuffix(".alibi")
    default: false
    }
  }

  static func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    let arguments = facts.arguments
    var result: [Diagnostic] = []
    func refuse(_ code: String, _ reason: String, tensor: String? = nil) {
      guard !result.contains(where: { $0.code == .model(code) }) else { return }
      result.append(Diagnostic(.model(code), reason, tensor: tensor))
    }
    let said = try arguments.bool(.embedLayernorm)
    let isSaid = said == true || said == nil && !arguments.isPresent
    if isSaid != facts.has(BloomRules.norm), facts.has(BloomRules.words.source) {
      refuse(
        "embedding-layernorm",
        isSaid
          ? "embed_layernorm is True, but the checkpoint has no layernorm after the embedding"
          : "there is a layernorm after the embedding, but embed_layernorm is not True",
        tensor: BloomRules.norm)
    }
    if facts.tensorNames.contains(where: { $0.contains("position_embeddings") }) {
      refuse("positions", "the arguments say alibi, but there is a table of learned positions")
    }
    let activation = try GPT2Activation(arguments, isCore: facts.isNamedByCore)
    if activation.name != "gelu_fast" {
      refuse("activation", "\(activation.reason): BLOOM has the tanh form")
    }
    if try arguments.bool(.swiglu) == true {
      refuse("glu", "swiglu: BLOOM has no gated feed-forward layer")
    }
    if let glu = arguments[.gluActivation], glu.literal != .none, glu != .string("") {
      refuse("glu", "glu_activation is \(glu.text): BLOOM has no gated feed-forward layer")
    }
    for key in [ArgumentKey.layernormEpsilon, .normEpsilon] {
      if let epsilon = try arguments.double(key), epsilon != 1e-5 {
        refuse(
          "epsilon",
          "\(key) is \(epsilon), but the trainer took 1e-05 for the norm after the embedding "
            + "whatever it said, and BLOOM has one for all norms")
      }
    }
    if let normalization = arguments[.normalization]?.text.lowercased(),
      normalization != "layernorm"
    {
      refuse("norm", "normalization is \(normalization): BLOOM has LayerNorm")
    }
    for key in [ArgumentKey.applyLayernorm1p, .layernormZeroCenteredGamma]
    where try arguments.bool(key) == true {
      refuse("norm-minus-one", "\(key) is True: of BLOOM norms are read as they are")
    }
    if let heads = try arguments.int(.numAttentionHeads), heads > 0,
      let hidden = try arguments.int(.hiddenSize)
    {
      if let channels = try arguments.int(.kvChannels), channels != hidden / heads {
        refuse("kv-channels", "kv_channels is \(channels): BLOOM's heads share the hidden size")
      }
      if let inner = try arguments.int(.ffnHiddenSize), inner / 4 != hidden || inner % 4 != 0 {
        refuse("feed-forward", "ffn_hidden_size is \(inner): BLOOM's is four times \(hidden)")
      }
      if let groups = try arguments.int(.numKeyValueHeads), groups != heads {
        refuse(
          "grouped-query",
          "num_key_value_heads is \(groups) of \(heads): BLOOM has as many keys as queries")
      }
    }
    if let reason = try eraOfWrongSlopes(facts) { refuse("positions", reason) }
    if let reason = Experts.refusal(arguments, "BLOOM") { refuse("experts", reason) }
    for refusal in try FunctionArguments.refusals(
      arguments, title: "BLOOM",
      besides: ["use_alibi", "alibi", "use_alibi_position_embeddings", "alibi_bias"])
    {
      refuse(refusal.code, refusal.reason)
    }
    if let reason = try AttentionMask.refusal(facts) { refuse("attention-mask", reason) }
    for file in facts.expertFiles { refuse("experts", "\(file) belongs to a mixture of experts") }
    return result
  }

  /// Until February 2022 the trainer said alibi and computed something else: its pipeline had no
  /// positions at all, and other ranks than the first took the slopes of wrong heads (bigscience
  /// c839a8aa, 7ab5c05a, 40e8b2a0). The arguments that came meanwhile tell its age.
  private static func eraOfWrongSlopes(_ facts: any ModelFacts) throws(Failure) -> String? {
    let arguments = facts.arguments
    guard !arguments.has(.killSwitchPath) else { return nil }
    if facts.trainedTensorParallel == 1, arguments.has(ArgumentKey("log_path")) { return nil }
    guard arguments.isPresent else {
      return
        "there are no arguments to tell whether the trainer is from before February 2022, when "
        + "its alibi was missing, or that of wrong heads; if it is not: --set kill_switch_path=x"
    }
    return "the arguments have no kill_switch_path, so the trainer is from before February 2022: "
      + "its alibi was missing, or that of wrong heads; if it was right: --set kill_switch_path=x"
  }

  /// The sizes, from the tensors.
  ///
  /// - Throws: `Failure` 65 when tensors are missing, 78 when they contradict the arguments.
  static func sizes(
    _ facts: any ModelFacts, mergedRanks: Int
  ) throws(Failure) -> ModelSizes {
    let arguments = facts.arguments
    let words = try facts.matrix(BloomRules.words.source)
    guard facts.blockCount > 0 else { throw facts.missing("layers.0") }
    let up = try facts.matrix("layers.0.mlp.dense_h_to_4h.weight")
    guard let heads = try arguments.int(.numAttentionHeads) else {
      throw Failure(
        .argumentsHeads, "the number of attention heads is not known, and shapes do not tell it",
        hint: "give it with --set num_attention_heads=N")
    }
    let ranks = facts.tensorParallel
    guard heads > 0, words[1].isMultiple(of: heads), heads.isMultiple(of: ranks * mergedRanks)
    else {
      throw Failure(
        .argumentsHeads,
        "a hidden size of \(words[1]) on \(ranks * mergedRanks) ranks cannot be divided into "
          + "\(heads) heads", hint: "correct it with --set num_attention_heads=N")
    }
    var length = try arguments.int(ArgumentKey("seq_length"))
    if length == nil { length = try arguments.int(.maxPositionEmbeddings) }
    let sizes = ModelSizes(
      layers: facts.blockCount, hidden: words[1], heads: heads, feedForward: up[0] * ranks,
      positions: length ?? 2048, vocabulary: words[0] * ranks)
    try facts.requirePlausible(sizes)
    guard sizes.feedForward == 4 * sizes.hidden else {
      throw Failure(
        .model("feed-forward"),
        "the feed-forward layer has \(sizes.feedForward) channels: BLOOM's has four times "
          + "\(sizes.hidden)", file: facts.folderName)
    }
    for (key, found) in [
      (ArgumentKey.numLayers, sizes.layers), (.hiddenSize, sizes.hidden),
      (.ffnHiddenSize, sizes.feedForward), (.tensorModelParallelSize, ranks * mergedRanks),
      (.paddedVocabSize, facts.isCutToVocabulary ? nil : sizes.vocabulary),
    ] as [(ArgumentKey, Int?)] {
      guard let found, let said = try arguments.int(key), said != found else { continue }
      if key == .tensorModelParallelSize, facts.isWhole { continue }
      let isLoss = [.numLayers, .tensorModelParallelSize].contains(key) && said > found
      throw Failure(
        isLoss ? .checkpointMissingFiles : .argumentsContradiction,
        "the argument \(key) is \(said), but the tensors say \(found)",
        hint: isLoss
          ? "the dump is not whole: copy the missing files"
          : "if the tensors are right: --set \(key)=\(found)")
    }
    return sizes
  }
}
