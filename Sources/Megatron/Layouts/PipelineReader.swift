import Architectures
import ByteIO
import Diagnostics
import OrderedCollections
import Pickle
import SystemPackage
import TorchArchive

/// The pipeline module of DeepSpeed: `layer_XX-model_YY-model_states.pt`, one for each layer and
/// tensor-parallel rank, and `mp_rank_XX_model_states.pt` with the arguments.
///
/// Forks and versions number the layers differently, so a layer is known by what it holds and never
/// by its number (bigscience and deepspeedai `megatron/model/gpt_model.py`, `GPTModelPipe`).
struct PipelineReader: LayoutReader {
  let layout = CheckpointLayout.deepspeedPipeline
  // DeepSpeed runtime/pipe/module.py, ckpt_layer_path
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    (FilePattern("layer_{layer}-model_{tp}-model_states.pt"), .layer)
  ]
  let marks = [CheckpointFileKind.layer]

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readPipeline()
  }
}

extension CheckpointBuilder {
  /// A layer on one rank.
  private struct LayerFile {
    let file: CheckpointFile
    let layer: Int
    let rank: Int
  }

  fileprivate mutating func readPipeline() throws(Failure) {
    let layers = try layerFiles()
    let ranks = layers[0].count
    tensorParallel = ranks
    try readStates()

    var kinds: [(layer: Int, kind: LayerKind)] = []
    var shards: [[(name: String, shards: [RankPart])]] = []
    for layer in layers {
      var merged: OrderedDictionary<String, [RankPart]> = [:]
      var kind: LayerKind?
      for part in layer {
        let tensors = try readLayer(part)
        let found = LayerKind(keys: Set(tensors.map(\.key)))
        if tensors.contains(where: {
          LayerKind.normOfNeoX.contains($0.key) || $0.key == LayerKind.headOfNeoX
        }) {
          names = .neox
        }
        if let kind, found != kind {
          throw Failure(
            .checkpointLayerKind,
            "it holds \(found.rawValue) tensors, but rank 0 of this layer holds \(kind.rawValue)",
            file: part.file.name)
        }
        kind = found
        for shard in tensors {
          guard merged[shard.key]?.last?.rank != shard.rank else {
            throw Failure(
              .checkpointDuplicateTensor, "the file holds it twice",
              file: part.file.name, tensor: shard.key)
          }
          merged[shard.key, default: []].append(shard)
        }
      }
      for (name, parts) in merged where parts.count != ranks {
        let missing = Set(0..<ranks).subtracting(parts.map(\.rank)).sorted()
        throw Failure(
          .checkpointMissingShard,
          "it is missing on tensor-parallel rank "
            + "\(missing.map(String.init).joined(separator: ", "))",
          file: layer.first { missing.contains($0.rank) }?.file.name, tensor: name)
      }
      kinds.append((layer[0].layer, kind ?? .unknown))
      shards.append(merged.map { ($0.key, $0.value) })
    }
    try adoptNeoXSettings()
    try assemble(kinds, shards, layers)
  }

  // MARK: - Files

  /// All layer files by layer and rank; every layer must be there on the same ranks.
  private func layerFiles() throws(Failure) -> [[LayerFile]] {
    var grid = RankGrid<LayerFile>()
    for file in folder.files where file.kind == .layer {
      guard let layer = file.numbers["layer"], let rank = file.numbers["tp"] else { continue }
      if let other = grid.insert(LayerFile(file: file, layer: layer, rank: rank), layer, rank) {
        throw Failure(
          .checkpointDuplicateRank,
          "\(other.file.name) is the same layer \(layer) of the same rank \(rank)",
          file: file.name, hint: "move the one that belongs to another save away")
      }
    }
    if let (layer, rank) = grid.firstGap(rows: grid.rows, columns: grid.columnCount) {
      throw Failure(
        .checkpointMissingRank,
        "layer \(layer) has no file of tensor-parallel rank \(rank)",
        file: "layer_\(padded(layer))-model_\(padded(rank))-model_states.pt",
        hint: "the dump is not whole: copy the missing file")
    }
    return grid.rows.map(grid.row)
  }

  private mutating func readLayer(
    _ part: LayerFile
  ) throws(Failure) -> [RankPart] {
    return try folder.open(part.file.name, limits) { file in
      let position = add(file, named: part.file.name)
      let all = try file.namedTensors()
      noteHolding(of: file, all)
      try file.refuseWeightsOfOtherKinds(part.file.name)
      var shards: [RankPart] = []
      for named in all {
        guard let tensor = try kept(named, of: file, part.file.name) else { continue }
        shards.append(
          RankPart(
            rank: part.rank, file: position, key: ParameterName.normalized(named.name),
            tensor: tensor))
      }
      return shards
    }
  }

  // MARK: - Arguments

  /// Reads the states of all model-parallel ranks; without any, there are no arguments.
  private mutating func readStates() throws(Failure) {
    var states = RankGrid<StateFile>()
    for file in folder.files where file.kind == .modelStates {
      guard let rank = file.numbers["mp"] else { continue }
      try folder.open(file.name, limits) { torchFile in
        _ = add(torchFile, named: file.name)
        let state = try StateFile(torchFile, named: file.name)
        try refuseSecondModel(torchFile, file.name)
        if let other = states.insert(state, 0, rank) {
          throw Failure(
            .checkpointDuplicateRank,
            "\(other.file) is of the same model-parallel rank \(rank)", file: file.name)
        }
      }
    }
    if states.isEmpty {
      warnings.append(
        Diagnostic(
          .argumentsAbsent,
          "there is no mp_rank_XX_model_states.pt: the training arguments are unknown"))
    }
    try adopt(states.row(0))
    guard !states.isEmpty else { return }
    pipelineParallel = try arguments.int(.pipelineModelParallelSize)
    // The file number is stage * tp + rank, so there is one for each of tp * pp.
    let expected = (pipelineParallel ?? 0).multipliedReportingOverflow(by: tensorParallel)
    let count = max(
      states.columnCount,
      expected.overflow || expected.partialValue > ModelBounds.count
        ? 0 : expected.partialValue)
    if let (_, missing) = states.firstGap(rows: 0..<1, columns: min(count, ModelBounds.count)) {
      throw Failure(
        .checkpointMissingRank,
        "there are \(states.row(0).count) of \(count) states of model-parallel ranks",
        file: "mp_rank_\(padded(missing))_model_states.pt",
        hint: "the dump is not whole: copy the missing file")
    }
  }

  /// Refuses states that hold a model, too, next to the layer files: one of the two is of another
  /// run.
  private func refuseSecondModel(_ file: TorchFile, _ name: String) throws {
    guard !folder.isLayoutChosen, let module = file.graph.value("module", in: file.graph.root),
      try file.namedTensors(below: module).contains(where: { ParameterName.isOfModel($0.name) })
    else { return }
    throw Failure(
      .layoutSeveral,
      "it holds a model, and so do the layer files next to it: one of them is of another run",
      file: name,
      hint:
        "choose with --layout deepspeed (this file) or --layout deepspeed-pipeline (the layer "
        + "files)"
    )
  }

  // MARK: - The model

  /// Puts the layers into the order of the model and gives their tensors the names that all layouts
  /// share.
  private mutating func assemble(
    _ kinds: [(layer: Int, kind: LayerKind)],
    _ shards: [[(name: String, shards: [RankPart])]], _ layers: [[LayerFile]]
  ) throws(Failure) {
    func one(_ kind: LayerKind) throws(Failure) -> Int? {
      let found = kinds.indices.filter { kinds[$0].kind == kind }
      guard found.count <= 1 else {
        throw Failure(
          .checkpointTwoLayers,
          "layers \(kinds[found[0]].layer) and \(kinds[found[1]].layer) both hold the "
            + kind.rawValue, file: layers[found[1]][0].file.name)
      }
      return found.first
    }
    let blocks = kinds.indices.filter { kinds[$0].kind == .block }
    try refuseLeftovers(kinds, blocks, layers)
    for kind in [LayerKind.embedding, .finalLayernorm, .head] { _ = try one(kind) }
    for (one, next) in zip(blocks, blocks.dropFirst())
    where kinds[next].layer != kinds[one].layer + 1 {
      throw Failure(
        .checkpointMissingLayer,
        "the blocks are not contiguous: layer \(kinds[one].layer) is followed by layer "
          + "\(kinds[next].layer)",
        file: "layer_\(padded(kinds[one].layer + 1))-model_00-model_states.pt",
        hint: "the dump is not whole: copy the missing layer")
    }
    // What stands elsewhere than in a GPT has another meaning, whatever it is called.
    let order: [LayerKind] = [.embedding, .block, .finalLayernorm, .head]
    let places = kinds.compactMap { order.firstIndex(of: $0.kind) }
    if let wrong = places.indices.dropFirst().first(where: { places[$0] < places[$0 - 1] }) {
      throw Failure(
        .checkpointLayerOrder,
        "the \(order[places[wrong]].rawValue) comes after the "
          + "\(order[places[wrong - 1]].rawValue)",
        file: folder.path.string)
    }
    if !arguments.isPresent, let last = blocks.last, let norm = try one(.finalLayernorm) {
      try checkNumbering(
        first: kinds[blocks[0]].layer, last: kinds[last].layer, norm: kinds[norm].layer)
    }
    blockCount = blocks.count
    firstBlockLayer = blocks.first.map { kinds[$0].layer }

    func take(_ index: Int, _ prefix: String) {
      for (name, parts) in shards[index] {
        tensors.append(IndexedTensor(name: prefix + name, shards: parts))
      }
    }
    if let embedding = try one(.embedding) { take(embedding, "embedding.") }
    for (number, block) in blocks.enumerated() { take(block, "layers.\(number).") }
    if let norm = try one(.finalLayernorm) {
      for (name, parts) in shards[norm] {
        tensors.append(
          IndexedTensor(name: "final_layernorm.\(LayerKind.normName(name))", shards: parts))
      }
    }
    if let head = try one(.head) {
      for (name, parts) in shards[head] {
        tensors.append(
          IndexedTensor(
            name: name == "lm_head.weight" || name == LayerKind.headOfNeoX
              ? "output_layer.weight" : name, shards: parts))
      }
    }
    for index in kinds.indices where kinds[index].kind == .unknown {
      take(index, "layer_\(kinds[index].layer).")
    }
  }

  /// Files of an earlier, deeper run in the same folder: there are more blocks, or more final
  /// layernorms, than the arguments say.
  private func refuseLeftovers(
    _ kinds: [(layer: Int, kind: LayerKind)], _ blocks: [Int], _ layers: [[LayerFile]]
  ) throws(Failure) {
    guard let depth = try arguments.int(.numLayers), depth > 0, depth < ModelBounds.count,
      arguments.source(of: .numLayers) == .checkpoint, let first = blocks.first
    else { return }
    let norms = kinds.indices.filter { kinds[$0].kind == .finalLayernorm }
    guard blocks.count > depth || norms.count > 1 && blocks.count >= depth else { return }
    let end = kinds[first].layer + depth
    let norm = norms.first { kinds[$0].layer >= end }
    let last = norm.map { kinds[$0].layer + 1 } ?? end
    let surplus = kinds.indices.filter { index in
      switch kinds[index].kind {
      case .block: kinds[index].layer >= end
      case .finalLayernorm: index != norm
      case .embedding: false
      case .head, .unknown: kinds[index].layer > last
      }
    }
    guard let one = surplus.first else { return }
    let numbers = surplus.map { padded(kinds[$0].layer) }.joined(separator: ", ")
    throw Failure(
      .checkpointLeftOverLayers,
      "num_layers is \(depth), but there are files of \(blocks.count) blocks and \(norms.count) "
        + "final "
        + "layernorms: layers \(numbers) are left over from an earlier run or another one",
      file: layers[one][0].file.name,
      hint: "move the files of layers \(numbers) away")
  }

  /// Without arguments only the numbers tell whether blocks are missing at either end: they begin
  /// at 3 with one number left free before the final layernorm, or at 2 with none.
  private func checkNumbering(first: Int, last: Int, norm: Int) throws(Failure) {
    guard (first, norm - last) == (3, 2) || (first, norm - last) == (2, 1) else {
      throw Failure(
        .checkpointMissingLayer,
        "layers \(first) to \(last) with a final layernorm at \(norm) match no trainer's "
          + "numbering: some layers are missing", file: folder.path.string,
        hint: "the dump is not whole: copy the missing layers, or the mp_rank_XX_model_states.pt")
    }
  }

  private func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
