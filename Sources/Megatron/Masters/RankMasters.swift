import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// The float32 masters in the folders of ranks: lists without names in the file of the weights, or,
/// with Megatron-core's distributed optimizer, flat vectors in `distrib_optim.pt` beside it.
extension CheckpointBuilder {
  /// `optimizer.fp32_from_fp16_params`: the masters as lists of tensors with shapes and without
  /// names, in the order of the model, first those with weight decay.
  mutating func readClassicMasters() throws(Failure) {
    areMastersUnnamed = true
    if names == .core, files.contains(where: { FileSystem.exists(vectors(beside: $0)) }) {
      return try readVectorsOfRanks()
    }
    // One that lies in the place of another of its shape would be a wrong number.
    mustMastersFit = names == .core
    var masters: [Int: [String: TorchTensor]] = [:]
    for (position, source) in files.enumerated() {
      try CheckpointFolder.open(source.path, limits) { file in
        let names = weightNames(in: position)
        let tensors = try classicTensors(file, source.name)
        guard tensors.count == names.count else {
          throw Failure(
            .mastersMismatch,
            "the optimizer has \(tensors.count) masters of \(names.count) weights",
            file: source.name)
        }
        for (name, tensor) in zip(names, tensors) { masters[position, default: [:]][name] = tensor }
      }
    }
    for index in tensors.indices {
      let shards = tensors[index].shards.map { shard in
        masters[shard.file]?[shard.key].map {
          RankPart(rank: shard.rank, file: shard.file, key: shard.key, tensor: $0)
        } ?? shard
      }
      tensors[index] = IndexedTensor(name: tensors[index].name, shards: shards)
    }
  }

  /// The names of the weights of a rank's file in the order of the optimizer's groups: weights,
  /// then biases and layernorms, each in the order of the model.
  private func weightNames(in file: Int) -> [String] {
    var decayed: [String] = []
    var others: [String] = []
    var seen: Set<String> = []
    for tensor in tensors {
      // Layers that share their weights share their masters.
      for shard in tensor.shards where shard.file == file && seen.insert(shard.key).inserted {
        if shard.sizes.count > 1 { decayed.append(shard.key) } else { others.append(shard.key) }
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
      throw Failure(
        .mastersNone, "the optimizer has no fp32_from_fp16_params", file: name,
        hint: "--weights model takes the weights as trained")
    }
    var result: [TorchTensor] = []
    for group in groups {
      for node in graph.items(group) ?? [] {
        guard let tensor = try file.tensor(node) else {
          throw Failure(
            .mastersMismatch, "a master that is not a tensor", file: name)
        }
        result.append(tensor)
      }
    }
    return result
  }

  // MARK: - Flat vectors

  private func vectors(beside source: SourceFile) -> FilePath {
    source.path.removingLastComponent().appending("distrib_optim.pt")
  }

  /// The vectors of all ranks: in each lie the parameters of the file of the weights, the last one
  /// first.
  private mutating func readVectorsOfRanks() throws(Failure) {
    mustMastersFit = true
    var masters: [Int: [String: RankPart]] = [:]
    for (position, source) in files.enumerated() {
      let path = vectors(beside: source)
      let order = try CheckpointFolder.open(source.path, limits) { file in
        try WeightsRoot.all(in: file, named: source.name).flatMap { root in
          root.named.map { (root.key, $0.name) }
        }
      }
      var shards: [String: RankPart] = [:]
      for shard in tensors.flatMap(\.shards) where shard.file == position {
        shards[shard.key] = shard
      }
      // A chunk of a virtual pipeline has its own name in front.
      let parts = order.compactMap { shards[$0.1] ?? shards["\($0.0).\($0.1)"] }
      guard parts.count == shards.count else {
        throw Failure(
          .mastersOrder, "the order of its weights cannot be told", file: source.name,
          hint: "--weights model takes the weights as trained")
      }
      let name = "\(FilePath(source.name).removingLastComponent().string)/distrib_optim.pt"
      let found = try CheckpointFolder.open(path, limits) { file in
        let place = add(file, named: name, stage: source.stage)
        return try GradientBuffers.parameters(in: file, file.graph.root).map { (place, $0) }
      }
      guard
        let runs = GradientBuffers.place(
          parts.map { $0.sizes.reduce(1, *) }, in: found.map { [(file: $0.0, tensor: $0.1)] })
      else {
        throw Failure(
          .mastersOrder,
          "its \(found.reduce(0) { $0 + $1.1.elementCount }) elements are not those of the "
            + "\(parts.count) weights of \(source.name)", file: name,
          hint: "--weights model takes the weights as trained")
      }
      for (part, runs) in zip(parts.reversed(), runs) {
        masters[position, default: [:]][part.key] = RankPart(
          rank: part.rank, key: part.key, dtype: .float32, sizes: part.sizes, runs: runs)
      }
    }
    for index in tensors.indices {
      tensors[index] = IndexedTensor(
        name: tensors[index].name,
        shards: tensors[index].shards.map { masters[$0.file]?[$0.key] ?? $0 })
    }
  }
}
