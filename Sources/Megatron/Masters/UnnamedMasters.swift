import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// Float32 masters that have no names, and are told by their order: those of DeepSpeed's fp16
/// optimizer without ZeRO, and of classic Megatron-LM.
extension CheckpointBuilder {
  // MARK: - Without ZeRO

  /// The masters in the states of the ranks, as DeepSpeed's fp16 optimizer leaves them without ZeRO
  /// (`runtime/fp16/fused_optimizer.py`, `unfused_optimizer.py`); `nil` when there are none.
  ///
  /// They have no names. Their order is that of the model on the stage, first the weights, then
  /// biases and layernorms; how many blocks a stage has follows from how many elements it has.
  mutating func readUndividedMasters() throws(Failure) -> [RankMasters]? {
    var result: [RankMasters] = []
    areMastersUnnamed = true
    var nextBlock = [Int](repeating: 0, count: tensorParallel)
    let states = folder.files.filter { $0.kind == .modelStates }
      .sorted { ($0.numbers["mp"] ?? 0) < ($1.numbers["mp"] ?? 0) }
    for state in states {
      let mp = state.numbers["mp"] ?? 0
      let (stage, rank) = mp.quotientAndRemainder(dividingBy: tensorParallel)
      let isThere = try folder.open(state.name, limits) { file in
        guard let flat = try undivided(file) else { return false }
        let position = add(file, named: state.name)
        var vector = FlatVector(flat.map { (position, $0) })
        let names = try stageNames(
          elements: vector.rest, stage: stage, rank: rank, from: &nextBlock[rank], state.name)
        var parameters: [(name: String, sizes: [Int], runs: [RankPart.Run])] = []
        for (name, sizes) in names {
          guard let runs = vector.take(sizes.reduce(1, *)) else {
            throw Failure(
              .mastersMismatch, "the masters end before it", file: state.name,
              tensor: name)
          }
          parameters.append((name, sizes, runs))
        }
        result.append(RankMasters(tensorRank: rank, stage: stage, parameters: parameters))
        return true
      }
      guard isThere else { return nil }
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
  ) throws(Failure) -> [(name: String, sizes: [Int])] {
    func part(_ prefix: String) -> [(name: String, sizes: [Int])] {
      tensors.filter { $0.name.hasPrefix(prefix) && $0.shards.indices.contains(rank) }
        .map { ($0.name, $0.shards[rank].sizes) }
    }
    // Shapes are those of views, which may claim anything; a Double cannot overflow.
    func count(_ part: [(name: String, sizes: [Int])]) -> Double {
      part.reduce(0) { $0 + $1.sizes.reduce(1) { $0 * Double($1) } }
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
        guard count(all) == Double(elements) else { continue }
        next = last
        return all.filter { $0.sizes.count > 1 } + all.filter { $0.sizes.count <= 1 }
      }
    }
    throw Failure(
      .mastersMismatch,
      "\(elements) masters are not a whole number of blocks of this model", file: file)
  }
}
