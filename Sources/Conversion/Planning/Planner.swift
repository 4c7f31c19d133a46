import Architectures
import ByteIO
public import Diagnostics
public import HuggingFace
public import Megatron
import Safetensors
import TorchArchive
import Transfer

/// Turns an index into a plan by the rule table. No tensor is read.
public struct Planner {
  let index: Checkpoint
  let options: ConversionOptions
  let geometry: GPT2Geometry
  private let qkv: QKVEvidence
  let keepsFormats: Bool
  private var files: [PlanFile] = []
  private var filePositions: [Int: Int] = [:]
  private var storages: [PlanStorage] = []
  private var storagePositions: [PlanStorage: Int] = [:]
  var warnings: [Diagnostic]
  var decisions: [Decision]

  /// Makes the plan of a conversion.
  ///
  /// - Parameters:
  ///   - index: The checkpoint.
  ///   - options: What the user chose.
  ///   - tokenizer: The tokenizer that was given.
  /// - Returns: The plan.
  /// - Throws: ``Failure`` 69 for a model that is not GPT-2, 65 for tensors that are missing,
  ///   left over or of the wrong shape, 78 for arguments that contradict the tensors.
  public static func plan(
    _ index: Checkpoint, options: ConversionOptions = ConversionOptions(),
    tokenizer: ModelTokenizer? = nil
  ) throws(Failure) -> ConversionPlan {
    try plan(index, options: options, tokenizer: tokenizer, keepsFormats: false)
  }

  // With `keepsFormats`, tensors of several types stay as they are instead of being widened to one.
  private static func plan(
    _ index: Checkpoint, options: ConversionOptions, tokenizer: ModelTokenizer?,
    keepsFormats: Bool
  ) throws(Failure) -> ConversionPlan {
    if let refusal = try UnsupportedFeatures.all(of: index).first { throw Failure(refusal) }
    // What is no Megatron model at all is said first.
    let words = GPT2Rules.words.source
    if index.tensor(words) == nil { throw MissingTensor.error(words, in: index) }
    let qkv = try QKVEvidence(index, chosen: options.qkvLayout)
    let ranks = try MergedRanks(index, order: qkv.layout, chosen: options.mergedRanks)
    let geometry = try GPT2Geometry(of: index, mergedRanks: ranks.count)
    var planner = Planner(
      index: index, options: options, geometry: geometry, qkv: qkv, keepsFormats: keepsFormats)
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
  /// `nil` unless the index has their masters as well.
  static func trainedPlan(
    _ index: Checkpoint, options: ConversionOptions, tokenizer: ModelTokenizer?
  ) throws(Failure) -> ConversionPlan? {
    guard let trained = index.withTrainedWeights else { return nil }
    var options = options
    options.dtype = nil
    return try plan(trained, options: options, tokenizer: tokenizer, keepsFormats: true)
  }

  private mutating func plan(_ tokenizer: ModelTokenizer?) throws(Failure) -> ConversionPlan {
    let rules = GPT2Rules.table.applied(blocks: geometry.layers) { index.tensor($0) != nil }
    try checkLeftovers(rules)
    let format = try outputFormat()
    let vocabulary = try vocabularyRows(tokenizer)
    let settings = try GPT2Settings(index, vocabulary: vocabulary, tokenizer: tokenizer)
    decisions.append(headDecision)
    decisions += settings.decisions
    let lacking = try lackedBiases()
    var tensors: [TensorPlan] = []
    for rule in rules {
      tensors.append(
        try output(
          rule, format: storedFormat(rule) ?? format, vocabulary: vocabulary,
          addend: rule.rule.role == .norm ? settings.normAddend : 0,
          mayLack: lacking.contains(rule.rule)))
    }
    try Planner.validate(tensors)
    try DuplicatedShards.check(index, accepted: options.acceptsDuplicatedShards).map { warning in
      warnings.append(warning)
    }
    let unknown = KnownArguments.telling(in: index.arguments)
    if !unknown.isEmpty, !index.arguments.has("nemo") {
      let shown = unknown.prefix(6).map { "\($0.key) is \($0.value.quoted)" }.joined(
        separator: ", ")
      warn(
        .argumentsUnfamiliar,
        "arguments that are not known speak of what the model computes: \(shown)"
          + "\(unknown.count > 6 ? " and \(unknown.count - 6) more" : ""); if GPT-2 does not have it, the "
          + "logits are wrong")
    }
    decisions.append(tokenizer?.decision ?? Planner.withoutTokenizer(index.arguments))
    warnings += decisions.compactMap(\.warning)
    return ConversionPlan(
      transfer: TransferPlan(
        files: files, storages: storages, tensors: tensors,
        shards: Planner.shards(of: tensors, limit: options.maximumShardSize),
        isWidening: options.dtype == .f32), geometry: geometry, qkv: qkv, settings: settings,
      vocabulary: vocabulary, format: format, options: options,
      decisions: decisions, warnings: warnings)
  }

  private init(
    index: Checkpoint, options: ConversionOptions, geometry: GPT2Geometry, qkv: QKVEvidence,
    keepsFormats: Bool
  ) {
    self.keepsFormats = keepsFormats
    self.index = index
    self.options = options
    self.geometry = geometry
    self.qkv = qkv
    warnings = index.warnings
    decisions =
      [Decision("layout", .string(index.directory.layout.rawValue), index.directory.reason)]
      + index.decisions
  }

  mutating func warn(_ code: Diagnostic.Code, _ message: String) {
    warnings.append(Diagnostic(code, message))
  }

  // MARK: - Pieces

  private mutating func output(
    _ applied: RuleTable.Applied, format: FloatFormat, vocabulary: Int, addend: Float, mayLack: Bool
  ) throws(Failure) -> TensorPlan {
    let rule = applied.rule
    let arranger = PartitionMap(rule, geometry: geometry, qkv: qkv.layout, vocabulary: vocabulary)
    let name = options.keyStyle.name(applied.target)
    let pieces: [Piece]
    if let tensor = index.tensor(applied.source) {
      try checkShapes(tensor, rule)
      let copies =
        applied.source == GPT2Rules.words.source
        ? index.tensor(ParameterName.embeddingCopy) : nil
      if let copies { try checkShapes(copies, rule) }
      pieces = try self.pieces(tensor, copies, arranger, addend: addend)
    } else if mayLack {
      let count = arranger.shape.reduce(1, *)
      pieces = [.fill(0, count: count, Piece.Destination(offset: 0, strides: [1]))]
    } else {
      throw MissingTensor.error(applied.source, in: index)
    }
    return TensorPlan(
      name: name, format: format, shape: arranger.shape, pieces: pieces, source: applied.source,
      partition: rule.partition.rawValue, arrangement: rule.arrangement,
      isNormWeight: rule.role == .norm)
  }

  /// The pieces of a tensor: replicas are merged, all else is copied.
  private mutating func pieces(
    _ tensor: IndexedTensor, _ copies: IndexedTensor?, _ arranger: PartitionMap, addend: Float
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
    if arranger.isReplicated { return try merged(tensor.shards, options.replicas.rule) }
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
    guard tensor.shards.map(\.rank) == Array(0..<geometry.tensorParallel) else {
      throw Failure(
        .checkpointMissingShard,
        "it is on \(tensor.shards.count) of \(geometry.tensorParallel) tensor-parallel ranks",
        file: index.files[first.file].name, tensor: tensor.name)
    }
    for shard in tensor.shards where shard.sizes != first.sizes {
      throw Failure(
        .tensorRanksDisagree,
        "its shape is \(shard.sizes), but \(first.sizes) on tensor-parallel rank "
          + "\(first.rank)", file: index.files[shard.file].name, tensor: tensor.name)
    }
    let expected = geometry.sizes.shardShape(rule, ranks: geometry.tensorParallel)
    guard first.sizes == expected else {
      throw Failure(
        .tensorUnexpectedShape,
        "its shape is \(first.sizes); \(expected) was expected from the embedding "
          + "(hidden size \(geometry.hidden)), the first block (feed-forward size "
          + "\(geometry.feedForward)) and \(geometry.tensorParallel) tensor-parallel ranks",
        file: index.files[first.file].name, tensor: tensor.name)
    }
  }

  /// The boxes of a shard with their destinations.
  private mutating func place(
    _ shard: RankPart, _ arranger: PartitionMap, _ cuts: Set<Int>
  ) throws(Failure) -> [(StoredBox, Piece.Destination)] {
    switch shard.content {
    case .whole(let file, let tensor):
      // A view can repeat elements; a weight that takes more room than its storage is none.
      guard tensor.byteCount <= tensor.storage.byteCount else {
        throw Failure(
          TorchFileError.Code.limitOutput.diagnostic,
          "its \(tensor.byteCount) bytes are a view of a storage of \(tensor.storage.byteCount)",
          file: index.files[file].name, tensor: shard.key)
      }
      // Slices of a larger tensor are normal; single elements far apart would take forever.
      guard tensor.box.extent / 64 <= tensor.elementCount + 1 << 20 else {
        throw Failure(
          .limitSpread,
          "its \(tensor.elementCount) elements are spread over \(tensor.box.extent)",
          file: index.files[file].name, tensor: shard.key)
      }
      let box = try stored(tensor, in: file, shard.key, tensor.box, at: tensor.storageOffset)
      return arranger.place(shard.rank, box).map { [$0] } ?? []
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

  /// A box of a stored tensor; notes its file and storage in the plan.
  private mutating func stored(
    _ tensor: TorchTensor, in position: Int, _ key: String, _ box: ElementBox, at offset: Int
  ) throws(Failure) -> StoredBox {
    guard let format = FloatFormat(tensor.dtype), !tensor.isNegative else {
      throw Failure(
        .tensorNotAWeight, "its values are stored negated or are no weights",
        file: index.files[position].name, tensor: key)
    }
    let file: Int
    if let known = filePositions[position] {
      file = known
    } else {
      let source = index.files[position]
      files.append(PlanFile(path: source.path, name: source.name, identity: source.identity))
      file = files.count - 1
      filePositions[position] = file
    }
    let storage = PlanStorage(file: file, entry: tensor.storage.entry)
    let number = storagePositions[storage] ?? storages.count
    if number == storages.count {
      storages.append(storage)
      storagePositions[storage] = number
    }
    return StoredBox(
      storage: number, format: format, isBigEndian: tensor.isBigEndian, offset: offset, box: box)
  }
}
