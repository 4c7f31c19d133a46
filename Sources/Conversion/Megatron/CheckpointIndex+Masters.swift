import Pickle
import SystemPackage
import TorchArchive

/// The float32 masters of the weights, put together from the shards of the optimizer (DeepSpeed
/// `runtime/zero/stage_1_and_2.py`, `stage3.py`, `runtime/bf16_optimizer.py`,
/// `utils/zero_to_fp32.py`; Megatron `optimizer/optimizer.py`).
extension CheckpointIndex {
  /// What the masters of one model-parallel rank came to.
  private struct RankMasters {
    let tensorRank: Int
    let stage: Int
    let parameters: [(name: String, sizes: [Int], runs: [TensorShard.Run])]
  }

  mutating func readMasters(_ limits: TorchLimits) throws(ConversionError) {
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
    var merged: [String: [TensorShard]] = [:]
    for rank in ranks {
      for parameter in rank.parameters {
        if rank.stage > 0, parameter.name.hasPrefix("tied_modules.") { continue }
        merged[names.shared(parameter.name), default: []].append(
          TensorShard(
            rank: rank.tensorRank, key: parameter.name, dtype: .float32, sizes: parameter.sizes,
            runs: parameter.runs))
      }
    }
    tensors = merged.keys.sorted { a, b in
      MegatronName.precedes(a, b) || !MegatronName.precedes(b, a) && a < b
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
  ) throws(ConversionError) -> [RankMasters] {
    var grid: [Int: [Int: CheckpointFile]] = [:]
    for file in directory.files where file.kind == .optimizerStates {
      guard let mp = file.numbers["mp"], let dp = file.numbers["dp"] else { continue }
      if let other = grid[mp, default: [:]].updateValue(file, forKey: dp) {
        throw ConversionError(
          .malformed, "checkpoint/duplicate-rank", "\(other.name) is of the same ranks",
          file: file.name)
      }
    }
    if grid.isEmpty, let ranks = try readUndividedMasters(limits) { return ranks }
    guard !grid.isEmpty else {
      throw ConversionError(
        .noInput, "masters/none",
        "there is no zero_pp_rank_X_mp_rank_YY_optim_states.pt with float32 masters",
        file: directory.folder.string, hint: "--weights model takes the weights as trained")
    }
    let count = (grid.keys.max() ?? 0) + 1
    var result: [RankMasters] = []
    for mp in 0..<count {
      let shards = grid[mp] ?? [:]
      for dp in 0..<max((shards.keys.max() ?? 0) + 1, 1) where shards[dp] == nil {
        throw ConversionError(
          .malformed, "checkpoint/missing-rank",
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
          throw ConversionError(reading: error, file: path)
        }
      }
      result.append(
        RankMasters(
          tensorRank: mp % tensorParallel, stage: mp / tensorParallel,
          parameters: try assembly.parameters()))
      if !assembly.isMapped { areMastersUnnamed = true }
    }
    guard count.isMultiple(of: tensorParallel) else {
      throw ConversionError(
        .malformed, "checkpoint/missing-rank",
        "\(count) model-parallel ranks cannot be \(tensorParallel) tensor-parallel ones on each stage",
        file: directory.folder.string)
    }
    return result
  }

  /// The names and shapes of a rank's parameters, by optimizer group, from the state of the rank;
  /// `nil` where only the shards have them.
  private func parameterShapes(
    of mp: Int, _ limits: TorchLimits
  ) throws(ConversionError) -> ParameterShapes? {
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
        throw ConversionError(
          .unsupported, "masters/frozen", "some parameters were frozen and have no masters",
          file: file.name, hint: "--weights model takes the weights as trained")
      }
      return ParameterShapes(torchFile, torchFile.graph.root)
    } catch {
      throw ConversionError(reading: error, file: path)
    }
  }

  // MARK: - Without ZeRO

  /// The masters in the states of the ranks, as DeepSpeed's fp16 optimizer leaves them without ZeRO
  /// (`runtime/fp16/fused_optimizer.py`, `unfused_optimizer.py`); `nil` when there are none.
  ///
  /// They have no names. Their order is that of the model on the stage, first the weights, then biases
  /// and layernorms; how many blocks a stage has follows from how many elements it has.
  private mutating func readUndividedMasters(
    _ limits: TorchLimits
  ) throws(ConversionError) -> [RankMasters]? {
    var result: [RankMasters] = []
    areMastersUnnamed = true
    var nextBlock = [Int](repeating: 0, count: tensorParallel)
    let states = directory.files.filter { $0.kind == .modelStates }
      .sorted { ($0.numbers["mp"] ?? 0) < ($1.numbers["mp"] ?? 0) }
    for state in states {
      let mp = state.numbers["mp"] ?? 0
      let (stage, rank) = mp.quotientAndRemainder(dividingBy: tensorParallel)
      let path = directory.folder.appending(state.name)
      do {
        let file = try TorchFile(opening: path, limits: limits)
        guard let flat = try undivided(file) else { return nil }
        let position = add(file, named: state.name)
        var vector = FlatVector(flat.map { (position, $0) })
        let names = try stageNames(
          elements: vector.rest, stage: stage, rank: rank, from: &nextBlock[rank], state.name)
        var parameters: [(name: String, sizes: [Int], runs: [TensorShard.Run])] = []
        for (name, sizes) in names {
          guard let runs = vector.take(sizes.reduce(1, *)) else {
            throw ConversionError(
              .malformed, "masters/mismatch", "the masters end before it", file: state.name,
              tensor: name)
          }
          parameters.append((name, sizes, runs))
        }
        result.append(RankMasters(tensorRank: rank, stage: stage, parameters: parameters))
      } catch {
        throw ConversionError(reading: error, file: path)
      }
    }
    return result.isEmpty ? nil : result
  }

  /// The flat masters in the state of a rank, one for each group, or one for each parameter.
  private func undivided(_ file: TorchFile) throws -> [TorchTensor]? {
    let graph = file.graph
    guard let optimizer = graph.value("optimizer", in: graph.root),
      let groups =
        (graph.value("fp32_groups_flat", in: optimizer)
        ?? graph.value("fp32_groups", in: optimizer)).flatMap({ graph.items($0) })
    else { return nil }
    var tensors: [TorchTensor] = []
    for group in groups {
      for node in file.isTensor(group) ? [group] : graph.items(group) ?? [] {
        guard let tensor = try file.tensor(node), tensor.dtype == .float32, tensor.isPlain else {
          return nil
        }
        tensors.append(tensor)
      }
    }
    return tensors
  }

  /// The weights of a stage by the number of its elements, in the order of the optimizer.
  private func stageNames(
    elements: Int, stage: Int, rank: Int, from next: inout Int, _ file: String
  ) throws(ConversionError) -> [(name: String, sizes: [Int])] {
    func part(_ prefix: String) -> [(name: String, sizes: [Int])] {
      tensors.filter { $0.name.hasPrefix(prefix) }.map { ($0.name, $0.shards[rank].sizes) }
    }
    func count(_ part: [(name: String, sizes: [Int])]) -> Int {
      part.reduce(0) { $0 + $1.sizes.reduce(1, *) }
    }
    let embedding = part("embedding.")
    let ending = part("final_layernorm.") + part("output_layer.")
    let isTied = part("output_layer.").isEmpty
    var blocks: [(name: String, sizes: [Int])] = []
    for last in next...blockCount {
      if last > next { blocks += part("layers.\(last - 1).") }
      for isLast in [false, true] where !isLast || last == blockCount {
        // Behind the first stage a tied embedding comes first as well, for the head; its names are
        // those of no other weight, so that it is passed over.
        let head = isLast && isTied && stage > 0
        let tied = embedding.map { (name: "tied_modules.\($0.name)", sizes: $0.sizes) }
        let all = (stage == 0 ? embedding : head ? tied : []) + blocks + (isLast ? ending : [])
        guard count(all) == elements else { continue }
        next = last
        let isOther: ((name: String, sizes: [Int])) -> Bool = {
          $0.name.hasSuffix(".bias") || $0.name.contains("layernorm")
        }
        return all.filter { !isOther($0) } + all.filter(isOther)
      }
    }
    throw ConversionError(
      .malformed, "masters/mismatch",
      "\(elements) masters are no whole number of blocks of this model", file: file)
  }

  /// The states of a ZeRO-3 checkpoint: arguments, but no weights.
  mutating func readZero3States(_ limits: TorchLimits) throws(ConversionError) {
    var states: [RankState] = []
    var ranks: Set<Int> = []
    for file in directory.files where file.kind == .zeroModelStates {
      guard file.numbers["dp"] == 0, let rank = file.numbers["mp"] else { continue }
      ranks.insert(rank)
      let path = directory.folder.appending(file.name)
      do {
        let torchFile = try TorchFile(opening: path, limits: limits)
        _ = add(torchFile, named: file.name)
        states.append(try RankState(torchFile, named: file.name))
      } catch {
        throw ConversionError(reading: error, file: path)
      }
    }
    try adopt(states)
    // ZeRO-3 does not go with a pipeline, so model-parallel ranks are tensor-parallel ones.
    tensorParallel = (ranks.max() ?? 0) + 1
    pipelineParallel = 1
  }

  // MARK: - Classic Megatron-LM

  /// `optimizer.fp32_from_fp16_params`: the masters as lists of tensors with shapes and without
  /// names, in the order of the model, first those with weight decay.
  private mutating func readClassicMasters(_ limits: TorchLimits) throws(ConversionError) {
    areMastersUnnamed = true
    var masters: [Int: [String: TorchTensor]] = [:]
    for (position, source) in files.enumerated() {
      do {
        let file = try TorchFile(opening: source.path, limits: limits)
        let names = weightNames(in: position)
        let tensors = try classicTensors(file, source.name)
        guard tensors.count == names.count else {
          throw ConversionError(
            .malformed, "masters/mismatch",
            "the optimizer has \(tensors.count) masters of \(names.count) weights",
            file: source.name)
        }
        for (name, tensor) in zip(names, tensors) { masters[position, default: [:]][name] = tensor }
      } catch {
        throw ConversionError(reading: error, file: source.path)
      }
    }
    for index in tensors.indices {
      let shards = tensors[index].shards.map { shard in
        masters[shard.file]?[shard.key].map {
          TensorShard(rank: shard.rank, file: shard.file, key: shard.key, tensor: $0)
        } ?? shard
      }
      tensors[index] = IndexedTensor(name: tensors[index].name, shards: shards)
    }
  }

  /// The names of the weights of a rank's file in the order of the optimizer's groups: weights, then
  /// biases and layernorms, each in the order of the model.
  private func weightNames(in file: Int) -> [String] {
    var decayed: [String] = []
    var others: [String] = []
    var seen: Set<String> = []
    for tensor in tensors {
      // Layers that share their weights share their masters.
      for shard in tensor.shards where shard.file == file && seen.insert(shard.key).inserted {
        let isOther = tensor.name.hasSuffix(".bias") || tensor.name.contains("layernorm")
        if isOther { others.append(shard.key) } else { decayed.append(shard.key) }
      }
    }
    return decayed + others
  }

  private func classicTensors(_ file: TorchFile, _ name: String) throws -> [TorchTensor] {
    let graph = file.graph
    let lists = graph.value("optimizer", in: graph.root).flatMap {
      graph.value("fp32_from_fp16_params", in: $0) ?? graph.value("fp32_from_fp16", in: $0)
    }
    guard let groups = lists.flatMap({ graph.items($0) }) else {
      throw ConversionError(
        .noInput, "masters/none", "the optimizer has no fp32_from_fp16_params", file: name,
        hint: "--weights model takes the weights as trained")
    }
    var result: [TorchTensor] = []
    for group in groups {
      for node in graph.items(group) ?? [] {
        guard let tensor = try file.tensor(node) else {
          throw ConversionError(
            .malformed, "masters/mismatch", "a master that is no tensor", file: name)
        }
        result.append(tensor)
      }
    }
    return result
  }
}
