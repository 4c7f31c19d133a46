import Architectures
import ByteIO
public import Diagnostics
public import HuggingFace
import Megatron
import OrderedCollections
import Safetensors
import TorchArchive
import Transfer

/// Turns an index into a plan by the rule table. No tensor is read.
public struct Planner {
  let model: Recognition
  let options: ConversionOptions
  let sizes: ModelSizes
  private let qkv: QKVEvidence
  private let ranks: MergedRanks
  let keepsFormats: Bool
  // In the order in which the plan first needs them.
  private var files: OrderedSet<PlanFile> = []
  private var storages: OrderedSet<PlanStorage> = []
  var warnings: [Diagnostic]
  var decisions: [Decision]

  /// Makes the plan of a conversion.
  ///
  /// - Parameters:
  ///   - model: The model as it was recognised.
  ///   - options: What the user chose.
  ///   - tokenizer: The tokenizer that was given.
  /// - Returns: The plan.
  /// - Throws: `Failure` 69 for a model that cannot be converted exactly, 65 for tensors that are
  ///   missing, left over or of the wrong shape, 78 for arguments that contradict the tensors.
  public static func plan(
    _ model: Recognition, options: ConversionOptions = ConversionOptions(),
    tokenizer: ModelTokenizer? = nil
  ) throws(Failure) -> ConversionPlan {
    try plan(model, options: options, tokenizer: tokenizer, keepsFormats: false)
  }

  // With `keepsFormats`, tensors of several types stay as they are instead of being widened to one.
  private static func plan(
    _ model: Recognition, options: ConversionOptions, tokenizer: ModelTokenizer?,
    keepsFormats: Bool
  ) throws(Failure) -> ConversionPlan {
    try model.requireModel()
    let (qkv, ranks) = (try model.qkv.get(), try model.ranks.get())
    var planner = Planner(
      model, options: options, sizes: try model.sizes.get(), qkv: qkv, ranks: ranks,
      keepsFormats: keepsFormats)
    planner.decisions.append(qkv.decision)
    if let overridden = qkv.overridden {
      planner.warn(
        .qkvOverridden,
        "--qkv-layout \(qkv.layout.rawValue) is against the evidence, which says \(overridden)")
    }
    if let decision = ranks.decision { planner.decisions.append(decision) }
    return try planner.plan(tokenizer)
  }

  /// The plan of the same output from the weights as trained, in the type that each is stored in;
  /// `nil` unless the checkpoint has their masters as well.
  static func trainedPlan(
    _ model: Recognition, options: ConversionOptions, tokenizer: ModelTokenizer?
  ) throws(Failure) -> ConversionPlan? {
    guard let trained = model.ofTrainedWeights else { return nil }
    var options = options
    options.dtype = nil
    return try plan(trained, options: options, tokenizer: tokenizer, keepsFormats: true)
  }

  private mutating func plan(_ tokenizer: ModelTokenizer?) throws(Failure) -> ConversionPlan {
    let rules = model.rules
    try checkLeftovers(rules)
    // In thirds, groups of queries lie in an order that no trainer was seen to write.
    guard sizes.keyValueHeads == sizes.heads || qkv.layout == .heads3HN else {
      throw Failure(
        .model("grouped-query"),
        "\(sizes.heads) heads share \(sizes.keyValueHeads) heads of keys, and their rows are "
          + "\(qkv.layout.rawValue) (\(qkv.reason)): only heads-3-hn is read of such models",
        file: index.folderName)
    }
    let format = try outputFormat()
    var sizes = sizes
    sizes.vocabulary = try vocabularyRows(tokenizer)
    let configuration = try model.architecture.configuration(
      index,
      for: ModelOutput(
        sizes: sizes, isTied: model.isTied, dtype: format.torchName,
        tokens: tokenizer.map { SpecialTokens.Given(bos: $0.bos, eos: $0.eos) }))
    try checkNorms(configuration, format)
    decisions.append(headDecision)
    decisions += configuration.decisions
    let lacking = try lackedBiases()
    var tensors: [TensorPlan] = []
    for rule in rules {
      tensors.append(
        try output(
          rule, format: storedFormat(rule) ?? format, vocabulary: sizes.vocabulary,
          addend: rule.rule.role == .norm ? configuration.normAddend : 0,
          mayLack: lacking.contains(rule.rule)))
    }
    try Planner.validate(tensors)
    try DuplicatedShards.check(model, accepted: options.acceptsDuplicatedShards).map { warning in
      warnings.append(warning)
    }
    let unknown = KnownArguments.telling(in: index.arguments)
    if !unknown.isEmpty, !index.arguments.has(.nemo) {
      let shown = unknown.prefix(6).map { "\($0.key) is \($0.value.quoted)" }.joined(
        separator: ", ")
      warn(
        .argumentsUnfamiliar,
        "arguments that are not known speak of what the model computes: \(shown)"
          + "\(unknown.count > 6 ? " and \(unknown.count - 6) more" : ""); if "
          + "\(model.architecture.format.title) does not "
          + "have it, the logits are wrong")
    }
    decisions.append(tokenizer?.decision ?? Planner.withoutTokenizer(index))
    decisions += model.recordCheck?.decisions ?? []
    warnings += (options.records?.warnings ?? []) + (model.recordCheck?.warnings ?? [])
    warnings += decisions.compactMap(\.warning)
    return ConversionPlan(
      transfer: TransferPlan(
        files: Array(files), storages: Array(storages), tensors: tensors,
        shards: Planner.shards(of: tensors, limit: options.maximumShardSize),
        isWidening: options.dtype == .f32), architecture: model.architecture, sizes: sizes,
      paddedVocabulary: self.sizes.vocabulary, isTied: model.isTied, qkv: qkv,
      configuration: configuration, format: format, options: options,
      recordCheck: model.recordCheck, decisions: decisions, warnings: warnings)
  }

  private init(
    _ model: Recognition, options: ConversionOptions, sizes: ModelSizes, qkv: QKVEvidence,
    ranks: MergedRanks, keepsFormats: Bool
  ) {
    self.model = model
    self.options = options
    self.sizes = sizes
    self.qkv = qkv
    self.ranks = ranks
    self.keepsFormats = keepsFormats
    let index = model.checkpoint
    warnings = index.warnings
    decisions =
      [Decision("layout", .string(index.folder.layout.rawValue), index.folder.reason)]
      + index.decisions
  }

  var index: Checkpoint { model.checkpoint }

  mutating func warn(_ code: Diagnostic.Code, _ message: String) {
    warnings.append(Diagnostic(code, message))
  }

  // MARK: - Pieces

  private mutating func output(
    _ applied: RuleTable.Applied, format: FloatFormat, vocabulary: Int, addend: Float, mayLack: Bool
  ) throws(Failure) -> TensorPlan {
    let rule = applied.rule
    let arranger = PartitionMap(
      rule, sizes: sizes, qkv: qkv.layout, ranks: (index.tensorParallel, ranks.count),
      vocabulary: vocabulary, areGatesWhole: index.folder.layout == .universal)
    let name = model.architecture.format.name(applied.target, options.keyStyle)
    let pieces: [Piece]
    if let tensor = index.tensor(applied.source) {
      try checkShapes(tensor, rule)
      let copies =
        applied.source == ParameterName.wordEmbeddings
        ? index.tensor(ParameterName.embeddingCopy) : nil
      if let copies { try checkShapes(copies, rule) }
      pieces = try self.pieces(
        tensor, copies, arranger, addend: addend, isSummed: rule.partition == .summed)
    } else if mayLack || rule.presence.isZeros {
      let count = arranger.shape.reduce(1, *)
      pieces = [.fill(0, count: count, Piece.Destination(offset: 0, strides: [1]))]
    } else {
      throw index.missing(applied.source)
    }
    return TensorPlan(
      name: name, format: format, shape: arranger.shape, pieces: pieces, source: applied.source,
      partition: rule.partition.rawValue, arrangement: rule.arrangement,
      isNormWeight: rule.role == .norm)
  }

  /// The pieces of a tensor: replicas are merged, other parts are copied.
  private mutating func pieces(
    _ tensor: IndexedTensor, _ copies: IndexedTensor?, _ arranger: PartitionMap, addend: Float,
    isSummed: Bool
  ) throws(Failure) -> [Piece] {
    /// Shards of the same elements as one list of pieces.
    func merged(
      _ shards: [RankPart], _ rule: Piece.MergeRule
    ) throws(Failure) -> [Piece] {
      // Runs of replicas may be cut in different places; they are cut alike in all of them.
      let cuts = Set(shards.flatMap(\.cuts))
      var boxes: [[(StoredBox, Piece.Destination)]] = []
      for shard in shards { boxes.append(try place(shard, arranger, cuts)) }
      return boxes[0].indices.map { position in
        boxes.count == 1
          ? .copy(boxes[0][position].0, boxes[0][position].1, addend: addend)
          : .merge(boxes.map { $0[position].0 }, boxes[0][position].1, addend: addend, rule)
      }
    }
    if arranger.isReplicated {
      return try merged(tensor.shards, isSummed ? .sum : options.replicas.rule)
    }
    var pieces: [Piece] = []
    for (position, shard) in tensor.shards.enumerated() {
      let copy = copies.map { [$0.shards[position]] } ?? []
      pieces += try merged([shard] + copy, .copies)
    }
    return pieces
  }

  /// All ranks must hold the same shape, and the one that follows from the model.
  private func checkShapes(
    _ tensor: IndexedTensor, _ rule: TensorRule
  ) throws(Failure) {
    let first = tensor.shards[0]
    guard tensor.shards.map(\.rank) == Array(0..<index.tensorParallel) else {
      throw Failure(
        .checkpointMissingShard,
        "it is on \(tensor.shards.count) of \(index.tensorParallel) tensor-parallel ranks",
        file: index.files[first.file].name, tensor: tensor.name)
    }
    for shard in tensor.shards where shard.sizes != first.sizes {
      throw Failure(
        .tensorRanksDisagree,
        "its shape is \(shard.sizes), but \(first.sizes) on tensor-parallel rank "
          + "\(first.rank)", file: index.files[shard.file].name, tensor: tensor.name)
    }
    let expected = sizes.shardShape(rule, ranks: index.tensorParallel)
    guard first.sizes == expected else {
      throw Failure(
        .tensorUnexpectedShape,
        "its shape is \(first.sizes); \(expected) was expected from the embedding "
          + "(hidden size \(sizes.hidden)), the first block (feed-forward size "
          + "\(sizes.feedForward)) and \(index.tensorParallel) tensor-parallel ranks",
        file: index.files[first.file].name, tensor: tensor.name)
    }
  }

  /// The boxes of a shard with their destinations.
  private mutating func place(
    _ shard: RankPart, _ arranger: PartitionMap, _ cuts: Set<Int>
  ) throws(Failure) -> [(StoredBox, Piece.Destination)] {
    switch shard.content {
    case .whole(let file, let tensor):
      let box = try storedView(tensor, in: file, shard.key)
      return arranger.place(shard.rank, box)
    case .boxes(let boxes):
      var result: [(StoredBox, Piece.Destination)] = []
      for part in boxes {
        let box = try storedView(part.tensor, in: part.file, shard.key)
        result += arranger.place(shard.rank, at: part.offsets, box)
      }
      return result
    case .runs(let runs):
      var result: [(StoredBox, Piece.Destination)] = []
      for run in runs {
        let inner = cuts.filter { run.elements.contains($0) && $0 > run.elements.lowerBound }
        let bounds = [run.elements.lowerBound] + inner.sorted() + [run.elements.upperBound]
        for (lower, upper) in zip(bounds, bounds.dropFirst()) {
          let offset = run.tensor.storageOffset + run.start + lower - run.elements.lowerBound
          let box = try stored(
            run.tensor, in: run.file, shard.key,
            ElementBox(sizes: [upper - lower], strides: [1]), at: offset)
          result += arranger.place(shard.rank, run: lower..<upper, box)
        }
      }
      return result
    }
  }

  /// A stored tensor as a box, if it is one that a weight can be.
  private mutating func storedView(
    _ tensor: TorchTensor, in file: Int, _ key: String
  ) throws(Failure) -> StoredBox {
    // A view can repeat elements; a weight is never larger than its storage.
    guard tensor.byteCount <= tensor.storage.byteCount else {
      throw Failure(
        TorchFileError.Code.limitOutput.diagnostic,
        "its \(tensor.byteCount) bytes are a view of a storage of \(tensor.storage.byteCount)",
        file: index.files[file].name, tensor: key)
    }
    // Slices of a larger tensor are normal; single elements far apart would take forever.
    guard tensor.box.extent / 64 <= tensor.elementCount + 1 << 20 else {
      throw Failure(
        .limitSpread,
        "its \(tensor.elementCount) elements are spread over \(tensor.box.extent)",
        file: index.files[file].name, tensor: key)
    }
    return try stored(tensor, in: file, key, tensor.box, at: tensor.storageOffset)
  }

  /// A box of a stored tensor; notes its file and storage in the plan.
  private mutating func stored(
    _ tensor: TorchTensor, in position: Int, _ key: String, _ box: ElementBox, at offset: Int
  ) throws(Failure) -> StoredBox {
    guard let format = FloatFormat(tensor.dtype), !tensor.isNegative else {
      throw Failure(
        .tensorNotAWeight, "its values are stored negated or are not weights",
        file: index.files[position].name, tensor: key)
    }
    let source = index.files[position]
    let file = files.append(
      PlanFile(path: source.path, name: source.name, identity: source.identity)
    ).index
    let number = storages.append(PlanStorage(file: file, entry: tensor.storage.entry)).index
    return StoredBox(
      storage: number, format: format, isBigEndian: tensor.isBigEndian, offset: offset, box: box)
  }
}
