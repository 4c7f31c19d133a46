import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// The float32 masters of the weights, put together from the shards of the optimizer (DeepSpeed
/// `runtime/zero/stage_1_and_2.py`, `stage3.py`, `runtime/bf16_optimizer.py`,
/// `utils/zero_to_fp32.py`; Megatron `optimizer/optimizer.py`).
extension CheckpointBuilder {
  /// What the masters of one model-parallel rank came to.
  struct RankMasters {
    let tensorRank: Int
    let stage: Int
    let parameters: [(name: String, sizes: [Int], runs: [RankPart.Run])]
  }

  mutating func readZeroShards() throws(Failure) {
    let ranks = try readZeroMasters()
    // Layers are numbered over all stages; a name that is tied is the first stage's alone: the last
    // stage's positions were never trained.
    var all: [String] = []
    for rank in ranks { all += rank.parameters.map(\.name) }
    let names = try PipelineNames(all)
    var merged: [String: [RankPart]] = [:]
    for rank in ranks {
      for parameter in rank.parameters {
        if rank.stage > 0, parameter.name.hasPrefix("tied_modules.") { continue }
        merged[names.shared(parameter.name), default: []].append(
          RankPart(
            rank: rank.tensorRank, key: parameter.name, dtype: .float32, sizes: parameter.sizes,
            runs: parameter.runs))
      }
    }
    tensors = merged.keys.sorted { a, b in
      ParameterName.precedes(a, b) || !ParameterName.precedes(b, a) && a < b
    }.map { name in
      IndexedTensor(name: name, shards: (merged[name] ?? []).sorted { $0.rank < $1.rank })
    }
    blockCount = names.blockCount
    firstBlockLayer = firstBlockLayer ?? names.firstBlock
  }

  // MARK: - ZeRO

  /// The shards of all model-parallel ranks.
  private mutating func readZeroMasters() throws(Failure) -> [RankMasters] {
    var grid = RankGrid<CheckpointFile>()
    for file in folder.files where file.kind == .optimizerStates {
      guard let mp = file.numbers["mp"], let dp = file.numbers["dp"] else { continue }
      if let other = grid.insert(file, mp, dp) {
        throw Failure(
          .checkpointDuplicateRank, "\(other.name) is of the same ranks",
          file: file.name)
      }
    }
    if grid.isEmpty, let ranks = try readUndividedMasters() { return ranks }
    guard !grid.isEmpty else {
      throw Failure(
        .mastersNone,
        "there is no zero_pp_rank_X_mp_rank_YY_optim_states.pt with float32 masters",
        file: folder.path.string, hint: "--weights model takes the weights as trained")
    }
    if let (mp, dp) = grid.firstGap(rows: 0..<grid.rowCount) {
      throw Failure(
        .checkpointMissingRank,
        "the shard of data-parallel rank \(dp) of model-parallel rank \(mp) is missing",
        file: folder.path.string, hint: "the dump is not whole: copy the missing file")
    }
    let count = grid.rowCount
    var result: [RankMasters] = []
    for mp in 0..<count {
      let files = grid.row(mp)
      let shapes = try parameterShapes(of: mp)
      var assembly = ZeroAssembly(shapes: shapes, ranks: files.count)
      for file in files {
        try folder.open(file.name, limits) { torchFile in
          let position = add(torchFile, named: file.name)
          try assembly.add(torchFile, at: position, named: file.name)
        }
      }
      result.append(
        RankMasters(
          tensorRank: mp % tensorParallel, stage: mp / tensorParallel,
          parameters: try assembly.parameters()))
      if !assembly.isMapped { areMastersUnnamed = true }
    }
    guard count.isMultiple(of: tensorParallel) else {
      throw Failure(
        .checkpointMissingRank,
        "\(count) model-parallel ranks cannot be \(tensorParallel) tensor-parallel ones on each "
          + "stage",
        file: folder.path.string)
    }
    return result
  }

  /// The names and shapes of a rank's parameters, by optimizer group, from the state of the rank;
  /// `nil` where only the shards have them.
  private func parameterShapes(
    of mp: Int
  ) throws(Failure) -> ParameterShapes? {
    let candidates = folder.files.filter {
      ($0.kind == .modelStates || $0.kind == .zeroModelStates) && $0.numbers["mp"] == mp
    }
    // All data-parallel ranks say the same.
    guard let file = candidates.min(by: { $0.numbers["dp"] ?? 0 < $1.numbers["dp"] ?? 0 }) else {
      return nil
    }
    return try folder.open(file.name, limits) { torchFile in
      if let frozen = torchFile.graph.value("frozen_param_shapes", in: torchFile.graph.root),
        torchFile.graph.entries(frozen)?.isEmpty == false
      {
        throw Failure(
          .mastersFrozen, "some parameters were frozen and have no masters",
          file: file.name, hint: "--weights model takes the weights as trained")
      }
      return ParameterShapes(torchFile, torchFile.graph.root)
    }
  }
}
