import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// The float32 masters of the weights, put together from the shards of the optimizer (DeepSpeed
/// `runtime/zero/stage_1_and_2.py`, `stage3.py`, `runtime/bf16_optimizer.py`,
/// `utils/zero_to_fp32.py`; Megatron `optimizer/optimizer.py`).
extension Checkpoint {
  /// What the masters of one model-parallel rank came to.
  struct RankMasters {
    let tensorRank: Int
    let stage: Int
    let parameters: [(name: String, sizes: [Int], runs: [RankPart.Run])]
  }

  mutating func readMasters(_ limits: TorchLimits) throws(Failure) {
    let ranks: [RankMasters]
    if directory.layout == .classic {
      return try readClassicMasters(limits)
    }
    ranks = try readZeroMasters(limits)
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
  private mutating func readZeroMasters(
    _ limits: TorchLimits
  ) throws(Failure) -> [RankMasters] {
    var grid: [Int: [Int: CheckpointFile]] = [:]
    for file in directory.files where file.kind == .optimizerStates {
      guard let mp = file.numbers["mp"], let dp = file.numbers["dp"] else { continue }
      if let other = grid[mp, default: [:]].updateValue(file, forKey: dp) {
        throw Failure(
          .checkpointDuplicateRank, "\(other.name) is of the same ranks",
          file: file.name)
      }
    }
    if grid.isEmpty, let ranks = try readUndividedMasters(limits) { return ranks }
    guard !grid.isEmpty else {
      throw Failure(
        .mastersNone,
        "there is no zero_pp_rank_X_mp_rank_YY_optim_states.pt with float32 masters",
        file: directory.folder.string, hint: "--weights model takes the weights as trained")
    }
    let count = (grid.keys.max() ?? 0) + 1
    var result: [RankMasters] = []
    for mp in 0..<count {
      let shards = grid[mp] ?? [:]
      for dp in 0..<max((shards.keys.max() ?? 0) + 1, 1) where shards[dp] == nil {
        throw Failure(
          .checkpointMissingRank,
          "the shard of data-parallel rank \(dp) of model-parallel rank \(mp) is missing",
          file: directory.folder.string, hint: "the dump is not whole: copy the missing file")
      }
      let files = shards.keys.sorted().compactMap { shards[$0] }
      let shapes = try parameterShapes(of: mp, limits)
      var assembly = ZeroAssembly(shapes: shapes, ranks: files.count)
      for file in files {
        let path = directory.folder.appending(file.name)
        do {
          let torchFile = try TorchFile(opening: path, limits: limits)
          let position = add(torchFile, named: file.name)
          try assembly.add(torchFile, at: position, named: file.name)
        } catch {
          throw Failure(reading: error, file: path)
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
        "\(count) model-parallel ranks cannot be \(tensorParallel) tensor-parallel ones on each stage",
        file: directory.folder.string)
    }
    return result
  }

  /// The names and shapes of a rank's parameters, by optimizer group, from the state of the rank;
  /// `nil` where only the shards have them.
  private func parameterShapes(
    of mp: Int, _ limits: TorchLimits
  ) throws(Failure) -> ParameterShapes? {
    let candidates = directory.files.filter {
      ($0.kind == .modelStates || $0.kind == .zeroModelStates) && $0.numbers["mp"] == mp
    }
    // All data-parallel ranks say the same.
    guard let file = candidates.min(by: { $0.numbers["dp"] ?? 0 < $1.numbers["dp"] ?? 0 }) else {
      return nil
    }
    let path = directory.folder.appending(file.name)
    do {
      let torchFile = try TorchFile(opening: path, limits: limits)
      if let frozen = torchFile.graph.value("frozen_param_shapes", in: torchFile.graph.root),
        torchFile.graph.entries(frozen)?.isEmpty == false
      {
        throw Failure(
          .mastersFrozen, "some parameters were frozen and have no masters",
          file: file.name, hint: "--weights model takes the weights as trained")
      }
      return ParameterShapes(torchFile, torchFile.graph.root)
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  /// The states of a ZeRO-3 checkpoint: arguments, but no weights.
  mutating func readZero3States(_ limits: TorchLimits) throws(Failure) {
    var states: [StateFile] = []
    var ranks: Set<Int> = []
    for file in directory.files where file.kind == .zeroModelStates {
      guard file.numbers["dp"] == 0, let rank = file.numbers["mp"] else { continue }
      ranks.insert(rank)
      let path = directory.folder.appending(file.name)
      do {
        let torchFile = try TorchFile(opening: path, limits: limits)
        _ = add(torchFile, named: file.name)
        states.append(try StateFile(torchFile, named: file.name))
      } catch {
        throw Failure(reading: error, file: path)
      }
    }
    try adopt(states)
    // ZeRO-3 does not go with a pipeline, so model-parallel ranks are tensor-parallel ones.
    tensorParallel = (ranks.max() ?? 0) + 1
    pipelineParallel = 1
  }
}
