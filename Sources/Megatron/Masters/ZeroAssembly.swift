import Diagnostics
import Pickle
import TorchArchive

/// Puts the masters of one model-parallel rank together from the shards of its data-parallel ranks.
///
/// ZeRO 1 and 2, and the bf16 optimizer: the parameters of a group lie one after the other in a
/// flat vector, which is divided among the ranks. ZeRO-3: each parameter is divided among the
/// ranks.
struct ZeroAssembly {
  /// A flat tensor in a file.
  private struct Slice {
    let file: Int
    let tensor: TorchTensor
  }

  /// The pieces of parameters that a file says it holds: by group, where they lie in the slice.
  private typealias Mapping = [(name: String, start: Int, count: Int)]

  private enum Stage {
    case flat, divided
  }

  private var shapes: ParameterShapes?
  private let ranks: Int
  private var stage: Stage?
  /// By rank, then by group.
  private var slices: [[Slice]] = []
  private var mappings: [[Mapping]?] = []
  private var alignments: [[Int]]?

  /// - Parameters:
  ///   - shapes: The parameters, if the state of the rank has them.
  ///   - ranks: The number of data-parallel ranks.
  init(shapes: ParameterShapes?, ranks: Int) {
    self.shapes = shapes
    self.ranks = ranks
  }

  // MARK: - Reading

  /// Adds the shard of the next data-parallel rank.
  mutating func add(_ file: TorchFile, at position: Int, named name: String) throws {
    let graph = file.graph
    if shapes == nil { shapes = ParameterShapes(file, graph.root) }
    let state = graph.value("optimizer_state_dict", in: graph.root) ?? graph.root
    let found: Stage
    let list: NodeID
    if let groups = graph.value("single_partition_of_fp32_groups", in: state) {
      (found, list) = (.flat, groups)
    } else if let groups = graph.value("fp32_flat_groups", in: state) {
      (found, list) = (.divided, groups)
    } else if graph.value("local_sub_partitions_of_fp32_groups", in: state) != nil {
      throw Failure(
        .mastersSubPartitions,
        "the interleaved shards that ZeRO stage 1 wrote until 2021 are not read", file: name,
        hint: "--weights model takes the weights as trained")
    } else {
      throw Failure(
        .mastersNone, "the file holds no float32 masters", file: name,
        hint: "--weights model takes the weights as trained")
    }
    guard stage == nil || stage == found else {
      throw Failure(
        .checkpointMixedFiles, "its ZeRO stage is another one than that of rank 0",
        file: name)
    }
    stage = found
    try checkPartitionCount(graph, state, name)
    let nodes = file.isTensor(list) ? [list] : graph.items(list) ?? []
    slices.append(try nodes.map { try slice($0, file, position, name) })
    mappings.append(mapping(graph, state))
    if let paddings = graph.value("param_alignment_paddings", in: state),
      let groups = graph.items(paddings)
    {
      alignments = groups.map { group in
        (graph.items(group) ?? []).map { graph.int($0) ?? 0 }
      }
    }
  }

  /// A flat partition: one dimension, stride 1, binary32.
  private func slice(
    _ node: NodeID, _ file: TorchFile, _ position: Int, _ name: String
  ) throws -> Slice {
    guard let tensor = try file.tensor(node), tensor.sizes.count == 1,
      tensor.sizes[0] < 2 || tensor.strides == [1], tensor.dtype == .float32
    else {
      throw Failure(
        .mastersMismatch, "a partition that is not a flat float32 tensor", file: name)
    }
    return Slice(file: position, tensor: tensor)
  }

  private func checkPartitionCount(
    _ graph: PickleGraph, _ state: NodeID, _ name: String
  ) throws(Failure) {
    guard let value = graph.value("partition_count", in: state) else { return }
    let counts =
      graph.items(value).map { $0.compactMap { graph.int($0) } }
      ?? graph.int(value).map { [$0] } ?? []
    if let other = counts.first(where: { $0 != ranks }) {
      throw Failure(
        .checkpointMissingRank,
        "it is one of \(other) data-parallel ranks, but there are files of \(ranks)", file: name,
        hint: "the dump is not whole, or files of two runs lie in one folder")
    }
  }

  private func mapping(_ graph: PickleGraph, _ state: NodeID) -> [Mapping]? {
    guard let value = graph.value("param_slice_mappings", in: state),
      let groups = graph.items(value)
    else { return nil }
    return groups.map { group in
      (graph.entries(group) ?? []).compactMap { entry in
        // A fragment_address of DeepSpeed, whose attributes are its state.
        guard let name = graph.text(entry.key),
          let attributes = graph.object(entry.value)?.state,
          let start = graph.value("start", in: attributes).flatMap({ graph.int($0) }),
          let count = graph.value("numel", in: attributes).flatMap({ graph.int($0) })
        else { return nil }
        return (name, start, count)
      }
    }
  }

  // MARK: - Assembling

  /// Whether the files say which parameters they hold. ZeRO-3 has one order only.
  var isMapped: Bool { stage == .divided || mappings.allSatisfy { $0 != nil } }

  /// All parameters with the runs that they consist of.
  func parameters() throws(Failure) -> [(
    name: String, sizes: [Int], runs: [RankPart.Run]
  )] {
    guard let recorded = shapes else {
      throw Failure(
        .mastersNoShapes, "the shapes of the parameters (param_shapes) are missing")
    }
    if stage == .divided { return try divided(recorded) }
    let groups = slices.first?.count ?? 0
    let shapes =
      recorded.groups.count == 1 && groups > 1 ? regrouped(recorded, groups) : recorded
    guard slices.allSatisfy({ $0.count == groups }), shapes.groups.count == groups else {
      throw Failure(
        .mastersMismatch,
        "\(shapes.groups.count) groups of parameters, but \(groups) of partitions")
    }
    var result: [(name: String, sizes: [Int], runs: [RankPart.Run])] = []
    for group in 0..<groups {
      let runs =
        mappings.allSatisfy { ($0?.count ?? -1) == groups }
        ? try mapped(group) : try walked(group, shapes.groups[group])
      for parameter in shapes.groups[group] {
        let found = runs[parameter.name] ?? []
        guard found.last?.elements.upperBound == parameter.count else {
          throw Failure(
            .mastersMismatch,
            "its runs make \(found.last?.elements.upperBound ?? 0) elements, but its shape is "
              + "\(parameter.sizes)", tensor: parameter.name)
        }
        result.append((parameter.name, parameter.sizes, found))
      }
    }
    return result
  }

  /// Releases around 0.5 wrote the parameters of all groups into one dictionary: cut where the
  /// partitions of a group are full, but for their padding.
  private func regrouped(_ shapes: ParameterShapes, _ groups: Int) -> ParameterShapes {
    var rest = shapes.groups[0][...]
    var result: [[ParameterShapes.Parameter]] = []
    for group in 0..<groups {
      let size = slices.reduce(0) {
        $0 + ($1.indices.contains(group) ? $1[group].tensor.sizes[0] : 0)
      }
      var taken: [ParameterShapes.Parameter] = []
      var sum = 0
      while let next = rest.first, sum + next.count <= size {
        taken.append(next)
        sum += next.count
        rest.removeFirst()
      }
      result.append(taken)
    }
    return rest.isEmpty ? ParameterShapes(groups: result) : shapes
  }

  /// By the mappings of the files: immune to padding, alignment and the order of the parameters.
  private func mapped(_ group: Int) throws(Failure) -> [String: [RankPart.Run]] {
    var runs: [String: [RankPart.Run]] = [:]
    for rank in 0..<ranks {
      let slice = slices[rank][group]
      for (name, start, count) in mappings[rank]?[group] ?? [] where count != 0 {
        let size = slice.tensor.sizes[0]
        guard start >= 0, count > 0, start <= size, count <= size - start else {
          throw Failure(
            .mastersMismatch,
            "\(count) elements at \(start) of a partition of \(size)", tensor: name)
        }
        let first = runs[name]?.last?.elements.upperBound ?? 0
        runs[name, default: []].append(
          RankPart.Run(
            elements: first..<first + count, file: slice.file, tensor: slice.tensor, start: start))
      }
    }
    return runs
  }

  /// By the documented order: the partitions of all ranks are one vector, which the parameters fill
  /// one after the other, up to padding at the end.
  private func walked(
    _ group: Int, _ parameters: [ParameterShapes.Parameter]
  ) throws(Failure) -> [String: [RankPart.Run]] {
    var vector = FlatVector(slices.map { ($0[group].file, $0[group].tensor) })
    var runs: [String: [RankPart.Run]] = [:]
    for (number, parameter) in parameters.enumerated() {
      guard let found = vector.take(parameter.count) else {
        throw Failure(
          .mastersMismatch, "the partitions end before the end of it",
          tensor: parameter.name)
      }
      runs[parameter.name] = found
      if let paddings = alignments, paddings.indices.contains(group),
        paddings[group].indices.contains(number)
      {
        vector.skip(max(0, paddings[group][number]))
      }
    }
    // The vector is padded to a multiple of twice the number of ranks (once in older releases).
    guard vector.rest < 2 * ranks else {
      throw Failure(
        .mastersMismatch,
        "\(vector.rest) elements are left over in the partitions of group \(group)")
    }
    return runs
  }

  /// ZeRO-3: each rank has its part of every parameter, one parameter after the other.
  private func divided(
    _ shapes: ParameterShapes
  ) throws(Failure) -> [(name: String, sizes: [Int], runs: [RankPart.Run])] {
    var vectors = slices.map { FlatVector($0.map { ($0.file, $0.tensor) }) }
    var result: [(name: String, sizes: [Int], runs: [RankPart.Run])] = []
    for parameter in shapes.groups.joined() {
      let part = (parameter.count + ranks - 1) / ranks
      var runs: [RankPart.Run] = []
      for rank in 0..<ranks {
        let first = min(rank * part, parameter.count)
        let count = min(part, parameter.count - first)
        guard let found = vectors[rank].take(count, from: first) else {
          throw Failure(
            .mastersMismatch, "the partitions of rank \(rank) end before it",
            tensor: parameter.name)
        }
        runs += found
        vectors[rank].skip(part - count)
      }
      result.append((parameter.name, parameter.sizes, runs))
    }
    if let rank = vectors.indices.first(where: { vectors[$0].rest > 0 }) {
      throw Failure(
        .mastersMismatch,
        "\(vectors[rank].rest) elements are left over in the partitions of rank \(rank)")
    }
    return result
  }
}
