import Architectures
import ByteIO
import Diagnostics
import OrderedCollections
import SystemPackage
import TorchArchive

/// DeepSpeed without the pipeline module: `mp_rank_XX_model_states.pt` holds all weights of a rank.
struct DeepSpeedReader: LayoutReader {
  let layout = CheckpointLayout.deepspeed
  // swift-format-ignore
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    // DeepSpeed runtime/engine.py, _get_ckpt_name
    (FilePattern("mp_rank_{mp}_model_states.pt"),                          .modelStates),
    // DeepSpeed runtime/engine.py, _get_zero_ckpt_prefix
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}_optim_states.pt"),        .optimizerStates),
    (FilePattern("bf16_zero_pp_rank_{dp}_mp_rank_{mp}_optim_states.pt"),   .optimizerStates),
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}optim_states.pt"),         .optimizerStates),
    // DeepSpeed runtime/engine.py, _get_expert_ckpt_name
    (FilePattern("layer_{layer}_expert_{e}_mp_rank_{mp}_model_states.pt"), .expert),
    (FilePattern("expert_{e}_mp_rank_{mp}_model_states.pt"),               .expert),
    (FilePattern("expp_rank_{e}_mp_rank_{mp}_optim_states.pt"),            .expert),
  ]
  let marks = [CheckpointFileKind.modelStates]

  // The states go with other layouts, too.
  func isCompanion(of others: [CheckpointLayout]) -> Bool { !others.isEmpty }

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readRanks()
  }
}

/// Classic Megatron-LM: `mp_rank_XX[_PPP]/model_optim_rng.pt` holds all weights of a rank.
struct ClassicReader: LayoutReader {
  let layout = CheckpointLayout.classic
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    // Megatron-LM checkpointing.py, get_checkpoint_name
    (FilePattern("mp_rank_{tp}"), .rankFolder),
    (FilePattern("mp_rank_{tp}_{pp}"), .rankFolder),
    (FilePattern("mp_rank_{tp}_{pp}_{ep}"), .rankFolder),
    // NeMo 1
    (FilePattern("tp_rank_{tp}_pp_rank_{pp}"), .rankFolder),
    (FilePattern("model_optim_rng.pt"), .rankFile),
    (FilePattern("model_rng.pt"), .rankFile),
  ]
  let marks: [CheckpointFileKind] = [.rankFolder, .rankFile]

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readRanks()
  }

  func readMasters(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readClassicMasters()
  }

  func optimizerFiles(of checkpoint: Checkpoint) -> OptimizerFiles {
    OptimizerFiles(ranksOf: checkpoint.folder)
  }
}

extension CheckpointBuilder {
  /// A file with the weights of a rank.
  struct RankFile: Hashable {
    let tensorRank: Int
    let stage: Int
    let path: FilePath
    /// The name within the checkpoint's folder.
    let name: String
  }

  /// The tensors of a chunk of a stage on one rank, with local numbers of blocks.
  private struct Chunk {
    let tensors: [(local: ParameterName.Local, shard: RankPart)]
    let file: String

    /// The number of blocks.
    var layers: Int { (tensors.compactMap(\.local.layer).max() ?? -1) + 1 }
  }

  fileprivate mutating func readRanks() throws(Failure) {
    let files = try rankFiles()
    tensorParallel = (files.map(\.tensorRank).max() ?? 0) + 1
    let stages = (files.map(\.stage).max() ?? 0) + 1
    pipelineParallel = stages
    var chunks: [Int: [Int: [Chunk]]] = [:]
    var states: [StateFile] = []
    for file in files {
      try CheckpointFolder.open(file.path, limits) { torchFile in
        states.append(try StateFile(torchFile, named: file.name))
        let position = add(torchFile, named: file.name, stage: file.stage)
        chunks[file.tensorRank, default: [:]][file.stage] = try self.chunks(
          of: torchFile, file, at: position)
      }
    }
    try adopt(states)
    try adoptNeoXSettings()
    try assemble(chunks, stages: stages)
    try foldTiedHead()
    try expandSharedLayers()
  }

  // MARK: - Files

  /// The files of all ranks, which must form a whole grid.
  func rankFiles() throws(Failure) -> [RankFile] {
    var found: [RankFile] = []
    if folder.layout == .deepspeed {
      for file in folder.files where file.kind == .modelStates {
        found.append(
          RankFile(
            tensorRank: file.numbers["mp"] ?? 0, stage: 0,
            path: folder.path.appending(file.name), name: file.name))
      }
    } else {
      found = try classicFiles()
    }
    var grid = RankGrid<RankFile>()
    for file in found {
      if let other = grid.insert(file, file.tensorRank, file.stage) {
        throw Failure(
          .checkpointDuplicateRank, "\(other.name) is of the same rank",
          file: file.name, hint: "move the one that belongs to another save away")
      }
    }
    if let (rank, stage) = grid.firstGap(rows: 0..<grid.rowCount, columns: grid.columnCount) {
      throw Failure(
        .checkpointMissingRank,
        "there is nothing of tensor-parallel rank \(rank) of pipeline stage \(stage)",
        file: folder.path.string, hint: "the dump is not whole: copy the missing files")
    }
    return found.sorted { ($0.stage, $0.tensorRank) < ($1.stage, $1.tensorRank) }
  }

  /// The files in the folders of the ranks; a folder that holds optimizer shards only is passed
  /// over.
  private func classicFiles() throws(Failure) -> [RankFile] {
    var found: [RankFile] = []
    var empty: [(name: String, files: [String])] = []
    for file in folder.files {
      if file.kind == .rankFile {
        found.append(
          RankFile(
            tensorRank: 0, stage: 0, path: folder.path.appending(file.name), name: file.name))
      }
      guard file.kind == .rankFolder else { continue }
      let rank = folder.path.appending(file.name)
      if file.numbers["ep"] != nil, FileSystem.exists(rank.appending("model_optim_rng.pt")) {
        throw Failure(
          .modelExperts, "\(file.name) is the folder of an expert-parallel rank",
          file: folder.path.string)
      }
      let names = (try? FileSystem.list(rank))?.map(\.string) ?? []
      if let name = try CheckpointBuilder.weightsFile(names, in: "\(file.name)") {
        found.append(
          RankFile(
            tensorRank: file.numbers["tp"] ?? 0, stage: file.numbers["pp"] ?? 0,
            path: rank.appending(name), name: "\(file.name)/\(name)"))
      } else if names != ["optim.pt"] {
        // `mp_rank_XX_DDD` of a distributed optimizer holds nothing but its part of that.
        empty.append((file.name, names))
      }
    }
    if let (name, names) = empty.first, !found.isEmpty {
      throw Failure(
        .checkpointMissingRank,
        "\"\(name)\" holds no model_optim_rng.pt, as the other ranks do; it holds "
          + PathAdvice.listed(names), file: folder.path.appending(name).string,
        hint: "the dump is not whole: copy the file of this rank, or save it again")
    }
    guard !found.isEmpty else {
      throw Failure(
        .checkpointNone, "no folder of a rank holds a model_optim_rng.pt",
        file: folder.path.string,
        hint: empty.first.map { "\"\($0.name)\" holds \(PathAdvice.listed($0.files))" })
    }
    return found
  }

  /// The file with the weights of a rank among the names in its folder: that of Megatron, or the
  /// only one of Lightning, which NeMo 1 wrote.
  private static func weightsFile(
    _ names: [String], in folder: String
  ) throws(Failure) -> String? {
    if let name = ["model_optim_rng.pt", "model_rng.pt"].first(where: names.contains) {
      return name
    }
    let others = names.filter { $0.hasSuffix(".ckpt") }
    guard others.count <= 1 else {
      throw Failure(
        .checkpointSeveralSteps,
        "several files of weights are in it: \(PathAdvice.listed(others))", file: folder,
        hint: "put those of one step into folders of their own, and give that")
    }
    return others.first
  }

  // MARK: - Tensors

  /// The chunks of a rank: one, or `model0`, `model1`, ... with a virtual pipeline.
  private mutating func chunks(
    of file: TorchFile, _ source: RankFile, at position: Int
  ) throws -> [Chunk] {
    let roots = try WeightsRoot.all(in: file, named: source.name)
    if let key = roots.first?.key, roots.count == 1, !["model", "module"].contains(key) {
      note(
        Decision(
          "state_dict", .string(key.isEmpty ? "the whole file" : key),
          "it is what holds tensors of a model"))
    }
    if let front = roots.first?.front, !front.isEmpty {
      note(
        Decision(
          "name_prefix", .string(front), "all names begin with it, and it is not one of the model's"
        ))
    }
    // GPT-NeoX without a pipeline has the names of its layers all the same.
    let sequential = roots.flatMap { $0.named.map(\.name) }.filter {
      $0.hasPrefix("sequential.")
    }
    let layerNames = sequential.isEmpty ? nil : try PipelineNames(sequential)
    if layerNames != nil { names = .neox }
    noteHolding(of: file, try file.namedTensors())
    try file.refuseWeightsOfOtherKinds(source.name)
    return try roots.map { root in
      // The chunks of a virtual pipeline have the same names within.
      let prefix = roots.count > 1 ? "\(root.key)." : ""
      var tensors: [(local: ParameterName.Local, shard: RankPart)] = []
      for named in root.named {
        guard let tensor = try kept(named, of: file, source.name) else { continue }
        if ParameterName.isCore(named.name) { names = .core }
        tensors.append(
          (
            ParameterName.local(layerNames?.shared(root.inner(named)) ?? root.inner(named)),
            RankPart(
              rank: source.tensorRank, file: position, key: prefix + named.name, tensor: tensor)
          ))
      }
      return Chunk(tensors: tensors, file: source.name)
    }
  }

  /// Gives the blocks of all chunks their numbers in the model: chunks are the outer order, stages
  /// the inner one (Megatron `transformer.py`, `ParallelTransformer`).
  private mutating func assemble(
    _ chunks: [Int: [Int: [Chunk]]], stages: Int
  ) throws(Failure) {
    let first = chunks[0] ?? [:]
    let depth = first.values.map(\.count).max() ?? 1
    var offsets: [[Int]] = []
    var next = 0
    for chunk in 0..<depth {
      offsets.append([])
      for stage in 0..<stages {
        offsets[chunk].append(next)
        let parts = first[stage] ?? []
        next += parts.indices.contains(chunk) ? parts[chunk].layers : 0
      }
    }
    blockCount = next
    var merged: OrderedDictionary<String, [RankPart]> = [:]
    for rank in 0..<tensorParallel {
      for stage in 0..<stages {
        for (number, chunk) in (chunks[rank]?[stage] ?? []).enumerated() {
          guard offsets.indices.contains(number) else {
            throw Failure(
              .checkpointChunks, "rank 0 has fewer chunks", file: chunk.file)
          }
          for (local, shard) in chunk.tensors {
            let name =
              local.layer.map { "layers.\(offsets[number][stage] + $0).\(local.name)" }
              ?? local.name
            guard merged[name, default: []].count <= rank else {
              throw Failure(
                .checkpointDuplicateTensor,
                "it is there twice on tensor-parallel rank \(rank), as \"\(shard.key)\" and "
                  + "\"\(merged[name]?.last?.key ?? "")\"", file: chunk.file,
                tensor: name, hint: "save it with one of the two")
            }
            merged[name, default: []].append(shard)
          }
        }
      }
    }
    tensors = merged.enumerated().sorted { a, b in
      ParameterName.precedes(a.element.key, b.element.key)
        || !ParameterName.precedes(b.element.key, a.element.key) && a.offset < b.offset
    }.map { IndexedTensor(name: $0.element.key, shards: $0.element.value) }
  }
}
