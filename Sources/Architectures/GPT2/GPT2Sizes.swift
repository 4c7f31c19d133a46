import Diagnostics

/// The sizes of a GPT-2 model, taken from its tensors and compared with its arguments.
struct GPT2Sizes {
  private let layers: Int
  private let hidden: Int
  private let heads: Int
  private let feedForward: Int
  private let positions: Int
  /// Rows of the embedding as stored, padding included.
  private let paddedVocabulary: Int
  private let tensorParallel: Int
  /// Whether the head is a tensor of its own.
  private let isUntied: Bool
  private let hasDividedPositions: Bool
  private let mergedRanks: Int

  /// The sizes as a value of their own.
  var sizes: ModelSizes {
    ModelSizes(
      layers: layers, hidden: hidden, heads: heads, feedForward: feedForward,
      positions: positions, vocabulary: paddedVocabulary)
  }

  /// Works out the sizes.
  init(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) {
    let arguments = facts.arguments
    func times(_ size: Int, _ name: String) throws(Failure) -> Int {
      let (product, overflow) = size.multipliedReportingOverflow(by: facts.tensorParallel)
      guard !overflow, product < 1 << 60 else {
        throw Failure(
          .tensorUnexpectedShape, "a size of \(size)", tensor: name)
      }
      return product
    }
    let words = try facts.matrix("embedding.word_embeddings.weight")
    hasDividedPositions = facts.has(GPT2Rules.dividedPositions.source)
    let positionName =
      hasDividedPositions ? GPT2Rules.dividedPositions.source : GPT2Rules.positions.source
    let positionRows = try facts.matrix(positionName)[0]
    guard facts.blockCount > 0 else { throw facts.missing("layers.0") }
    let upward = try facts.matrix("layers.0.mlp.dense_h_to_4h.weight")
    tensorParallel = facts.tensorParallel
    self.mergedRanks = mergedRanks
    layers = facts.blockCount
    hidden = words[1]
    paddedVocabulary = try times(words[0], "embedding.word_embeddings.weight")
    positions = hasDividedPositions ? try times(positionRows, positionName) : positionRows
    feedForward = try times(upward[0], "layers.0.mlp.dense_h_to_4h.weight")
    isUntied = facts.has(GPT2Rules.head.source)

    // A missing rank would make everything else look wrong.
    for key in [ArgumentKey.tensorModelParallelSize, .modelParallelSize] where !facts.isWhole {
      guard let said = try arguments.int(key), said > tensorParallel * mergedRanks,
        arguments.source(of: key) == .checkpoint
      else { continue }
      throw Failure(
        .checkpointMissingFiles,
        "the argument \(key) is \(said), but there are \(facts.tensorParallel) tensor-parallel "
          + "ranks",
        file: facts.folderName, hint: "the dump is not whole: copy the missing files")
    }
    guard let heads = try arguments.int(.numAttentionHeads) else {
      throw Failure(
        .argumentsHeads,
        "the number of attention heads is not known, and shapes do not tell it",
        hint: "give it with --set num_attention_heads=N")
    }
    guard heads > 0, hidden.isMultiple(of: heads) else {
      throw Failure(
        .argumentsHeads,
        "a hidden size of \(hidden) cannot be divided into \(heads) heads",
        hint: "correct it with --set num_attention_heads=N")
    }
    guard heads.isMultiple(of: tensorParallel * mergedRanks) else {
      throw Failure(
        .argumentsHeads,
        "\(heads) heads cannot be divided among \(tensorParallel * mergedRanks) "
          + "tensor-parallel ranks",
        hint: "correct it with --set num_attention_heads=N")
    }
    self.heads = heads
    // Views may repeat elements, so a small file can claim any size. Below this bound no product of
    // the sizes can overflow.
    let (h, f) = (Double(hidden), Double(feedForward))
    let estimate =
      Double(paddedVocabulary + positions) * h + Double(layers) * (8 * h * h + 4 * h * f)
    guard estimate < Double(ModelBounds.elements) else {
      throw Failure(
        .tensorUnexpectedShape, "no model has some \(estimate) parameters",
        file: facts.folderName)
    }
    try compare(with: facts)
  }

  // MARK: - Checks

  private func compare(with facts: any ModelFacts) throws(Failure) {
    let arguments = facts.arguments
    func check(_ key: ArgumentKey, _ found: Int, _ what: String) throws(Failure) {
      guard let said = try arguments.int(key), said != found else { return }
      // Without layers or ranks the dump is not whole; other sizes cannot get lost.
      let isLoss =
        [.numLayers, .tensorModelParallelSize, .modelParallelSize].contains(key)
        && said > found && arguments.source(of: key) == .checkpoint
      throw Failure(
        isLoss ? .checkpointMissingFiles : .argumentsContradiction,
        "the argument \(key) is \(said), but \(what) \(found)",
        hint: isLoss
          ? "the dump is not whole: copy the missing files"
          : key == .numLayers && arguments.source(of: key) == .checkpoint
            ? "blocks \(said) to \(found - 1) may be left over from another run: move them away; "
              + "only if all "
              + "\(found) belong to the model: --set num_layers=\(found)"
            : "if the tensors are right: --set \(key)=\(found)")
    }
    // Sizes over all ranks make no sense while a rank is missing, so this comes first.
    for key in [ArgumentKey.tensorModelParallelSize, .modelParallelSize] where !facts.isWhole {
      // A tool that puts ranks together may have written down how many are left.
      if mergedRanks != facts.mergedRanks, try arguments.int(key) == tensorParallel { continue }
      try check(key, tensorParallel * mergedRanks, "the number of tensor-parallel ranks found is")
    }
    try check(.numLayers, layers, "the number of blocks found is")
    try check(.hiddenSize, hidden, "the embedding has a hidden size of")
    try check(.maxPositionEmbeddings, positions, "the position embedding has this many rows:")
    // Universal checkpoints are cut to the rows before padding.
    let padded = try arguments.int(.paddedVocabSize) ?? 0
    if !facts.isCutToVocabulary || paddedVocabulary > padded {
      try check(.paddedVocabSize, paddedVocabulary, "the embedding has this many rows:")
    }
    try check(.ffnHiddenSize, feedForward, "the feed-forward layer has a size of")
    if let untied = try arguments.bool(.untieEmbeddingsAndOutputWeights), untied != isUntied {
      if untied { throw facts.missing(GPT2Rules.head.source) }
      throw Failure(
        .argumentsContradiction,
        "untie_embeddings_and_output_weights is False, but there is a head of its own",
        tensor: GPT2Rules.head.source,
        hint: "if the head is right: --set untie_embeddings_and_output_weights=true")
    }
  }
}
