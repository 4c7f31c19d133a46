import Diagnostics

/// The sizes of a model without a table of positions, taken from its tensors and compared with its
/// arguments.
struct DecoderSizes {
  let sizes: ModelSizes
  /// A head that is not tied to the embedding.
  private static let head = "output_layer.weight"

  /// Works out the sizes.
  ///
  /// - Throws: `Failure` 65 when tensors are missing or disagree, 78 when they contradict the
  ///   arguments or the arguments leave a size open.
  init(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) {
    let arguments = facts.arguments
    let ranks = facts.tensorParallel
    func required(_ key: ArgumentKey, _ what: String) throws(Failure) -> Int {
      guard let value = try arguments.int(key) else {
        throw Failure(
          .argumentsSize, "\(what) is not known, and no tensor tells it",
          hint: "give it with --set \(key)=N")
      }
      guard (1...ModelBounds.size).contains(value) else {
        throw Failure(
          .argumentsContradiction, "the argument \(key) is \(value)",
          hint: "correct it with --set \(key)=N")
      }
      return value
    }
    let words = try facts.matrix("embedding.word_embeddings.weight")
    guard facts.blockCount > 0 else { throw facts.missing("layers.0") }
    let down = try facts.matrix("layers.0.mlp.dense_4h_to_h.weight")
    let out = try facts.matrix("layers.0.self_attention.dense.weight")
    let hidden = words[1]
    let heads = try required(.numAttentionHeads, "the number of attention heads")
    let groups = try DecoderSizes.groups(arguments) ?? heads
    let headSize: Int
    if let channels = try arguments.int(.kvChannels) {
      headSize = channels
    } else {
      guard hidden.isMultiple(of: heads) else {
        throw Failure(
          .argumentsHeads, "a hidden size of \(hidden) cannot be divided into \(heads) heads",
          hint: "correct it with --set num_attention_heads=N")
      }
      headSize = hidden / heads
    }
    guard groups > 0, heads.isMultiple(of: groups), (1...ModelBounds.size).contains(headSize) else {
      throw Failure(
        .argumentsHeads, "\(heads) heads of \(headSize) cannot share \(groups) heads of keys",
        hint: "correct it with --set num_attention_heads=N, num_query_groups or kv_channels")
    }
    sizes = ModelSizes(
      layers: facts.blockCount, hidden: hidden, heads: heads, keyValueHeads: groups,
      headSize: headSize, feedForward: down[1] * ranks,
      positions: try required(.maxPositionEmbeddings, "the number of positions"),
      vocabulary: words[0] * ranks)
    let isCut = facts.has("layers.0.self_attention.key_value.weight")
    guard heads.isMultiple(of: ranks), !isCut || groups.isMultiple(of: ranks) else {
      throw Failure(
        .argumentsHeads,
        "\(heads) heads and \(groups) heads of keys cannot be divided among \(ranks) ranks",
        hint: "correct it with --set num_attention_heads=N or num_query_groups")
    }
    try facts.requirePlausible(sizes)
    guard out[1] * ranks == heads * headSize else {
      throw Failure(
        .argumentsContradiction,
        "the attention has \(out[1] * ranks) channels, but \(heads) heads of \(headSize) are "
          + "\(heads * headSize)", tensor: "layers.0.self_attention.dense.weight",
        hint: "correct it with --set num_attention_heads=N or --set kv_channels=N")
    }
    try compare(facts, mergedRanks)
  }

  /// The heads of keys: believed of Megatron-core only together with `group_query_attention`.
  static func groups(_ arguments: TrainingArguments) throws(Failure) -> Int? {
    if try arguments.bool(.groupQueryAttention) == true {
      return try arguments.int(.numQueryGroups)
    }
    return try arguments.int(.numKeyValueHeads)
  }

  private func compare(_ facts: any ModelFacts, _ mergedRanks: Int) throws(Failure) {
    let arguments = facts.arguments
    func check(_ key: ArgumentKey, _ found: Int, _ what: String) throws(Failure) {
      guard let said = try arguments.int(key), said != found else { return }
      let isLoss =
        [.numLayers, .tensorModelParallelSize].contains(key) && said > found
        && arguments.source(of: key) == .checkpoint
      throw Failure(
        isLoss ? .checkpointMissingFiles : .argumentsContradiction,
        "the argument \(key) is \(said), but \(what) \(found)",
        hint: isLoss
          ? "the dump is not whole: copy the missing files"
          : "if the tensors are right: --set \(key)=\(found)")
    }
    if !facts.isWhole {
      try check(
        .tensorModelParallelSize, facts.tensorParallel * mergedRanks,
        "the number of tensor-parallel ranks found is")
    }
    try check(.numLayers, sizes.layers, "the number of blocks found is")
    try check(.hiddenSize, sizes.hidden, "the embedding has a hidden size of")
    let padded = try arguments.int(.paddedVocabSize) ?? 0
    if !facts.isCutToVocabulary || sizes.vocabulary > padded {
      try check(.paddedVocabSize, sizes.vocabulary, "the embedding has this many rows:")
    }
    try check(.ffnHiddenSize, sizes.feedForward, "the feed-forward layer has a size of")
    let isUntied = facts.has(DecoderSizes.head)
    if let untied = try arguments.bool(.untieEmbeddingsAndOutputWeights), untied != isUntied {
      if untied { throw facts.missing(DecoderSizes.head) }
      throw Failure(
        .argumentsContradiction,
        "untie_embeddings_and_output_weights is False, but there is a head of its own",
        tensor: DecoderSizes.head,
        hint: "if the head is right: --set untie_embeddings_and_output_weights=true")
    }
  }
}
