import Architectures
import ByteIO
import Diagnostics
import DistributedCheckpoint
import Pickle
import SystemPackage
import TorchArchive

/// Float32 masters in the flat vectors of the distributed optimizer: one vector, or one for each
/// bucket, of every pair of pipeline stage and tensor-parallel rank.
///
/// In a vector lie the parameters of the rank in the reverse order of its modules, each from a
/// multiple of 64 elements on (Megatron-core `distributed/param_and_grad_buffer.py`). The order of
/// the modules is not recorded: it is that of the local implementation or of Transformer Engine,
/// and is taken only if masters, rounded, are the weights.
struct GradientBuffers {
  /// The parameters of a rank in the order of its modules.
  private struct Parameter {
    /// The name that all layouts share.
    let name: String
    /// The boxes that the rank has of the whole, one after the other: one, or gate and upward
    /// projection.
    let boxes: [(cell: [Int], origin: [Int])]
    /// Whether every tensor-parallel rank has all of it, or it is a copy of another one.
    let isCopy: Bool

    var count: Int { boxes.reduce(0) { $0 + $1.cell.reduce(1, *) } }
  }

  /// The order of the parameters of a block.
  private enum Order: CaseIterable {
    case local, transformerEngine

    /// The names within a block.
    var names: [String] {
      let modules =
        switch self {
        case .local:
          [
            "input_layernorm", "self_attention.dense", "self_attention.query_key_value",
            "self_attention.q_layernorm", "self_attention.k_layernorm",
            "post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
          ]
        case .transformerEngine:
          [
            "self_attention.dense", "input_layernorm", "self_attention.query_key_value",
            "self_attention.q_layernorm", "self_attention.k_layernorm",
            "post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
          ]
        }
      return modules.flatMap { ["\($0).weight", "\($0).bias"] }
    }
  }

  private let weights: [String: RankPart]
  private let checkpoint: CheckpointBuilder
  private let tensorParallel: Int
  private let stages: Int
  private let chunks: Int
  /// Whether the feed-forward layer has a gate.
  private let isGated: Bool
  /// By the number of the group: stage x tensor-parallel ranks + rank; of each its buckets.
  private let vectors: [[FlatVectorSource]]

  /// A bucket: flat tensors one after the other.
  typealias FlatVectorSource = [(file: Int, tensor: TorchTensor)]

  /// - Parameters:
  ///   - source: The checkpoint.
  ///   - form: Where the vectors are.
  ///   - checkpoint: What was read of it so far: arguments and weights.
  ///   - parts: Opens chunks.
  /// - Throws: `Failure`.
  init(
    _ source: DistributedCheckpoint, _ form: CoreMasterForm, _ checkpoint: CheckpointBuilder,
    _ parts: inout CoreParts
  ) throws(Failure) {
    self.checkpoint = checkpoint
    weights = Dictionary(
      checkpoint.tensors.compactMap { tensor in tensor.shards.first.map { (tensor.name, $0) } },
      uniquingKeysWith: { first, _ in first })
    func degree(_ key: ArgumentKey) throws(Failure) -> Int {
      let value = try checkpoint.arguments.int(key) ?? 1
      guard (1...ModelBounds.count).contains(value) else {
        throw Failure(.argumentsContradiction, "the argument \(key) is \(value)")
      }
      return value
    }
    tensorParallel = try degree(.tensorModelParallelSize)
    stages = try degree(.pipelineModelParallelSize)
    chunks = try degree(ArgumentKey("virtual_pipeline_model_parallel_size"))
    isGated = try checkpoint.arguments.bool(.swiglu) == true
    let found =
      form == .buckets
      ? try GradientBuffers.buckets(source, &parts)
      : try GradientBuffers.coalesced(source, &parts)
    let groups = tensorParallel * stages
    guard found.count == groups, found.keys.allSatisfy({ $0 < groups }) else {
      throw Failure(
        .mastersOrder,
        "there are flat vectors of \(found.count) groups, but \(tensorParallel) tensor-parallel "
          + "ranks on \(stages) stages", file: checkpoint.folder.path.string,
        hint: "--weights model takes the weights as trained")
    }
    vectors = found.sorted { $0.key < $1.key }.map(\.value)
  }

  // MARK: - Masters

  /// The masters of all weights, by the order that fits.
  ///
  /// - Throws: `Failure` 78 where no order fits.
  func masters() throws(Failure) -> [IndexedTensor] {
    let said = checkpoint.arguments[ArgumentKey("transformer_impl")]
    let orders: [Order] =
      said == .string("local")
      ? [.local, .transformerEngine] : [.transformerEngine, .local]
    var reason = ""
    for order in orders {
      switch try masters(order) {
      case .success(let masters): return masters
      case .failure(let fault): if reason.isEmpty { reason = fault.message }
      }
    }
    throw Failure(
      .mastersOrder,
      "the masters lie in flat vectors, and in neither order that is known are they the weights: "
        + reason, file: checkpoint.folder.path.string,
      hint: "--weights model takes the weights as trained")
  }

  private func masters(_ order: Order) throws(Failure) -> Result<[IndexedTensor], Failure> {
    var boxes: [String: [RankPart.Box]] = [:]
    for rank in 0..<tensorParallel {
      var next = 0
      for stage in 0..<stages {
        let buckets = vectors[stage * tensorParallel + rank]
        guard let (parameters, last) = fitting(order, stage, rank, from: next, buckets) else {
          return .failure(
            Failure(
              .mastersOrder,
              "the vectors of stage \(stage) hold "
                + "\(buckets.joined().reduce(0) { $0 + $1.tensor.elementCount }) elements, which "
                + "are not those of whole blocks"))
        }
        next = last
        let runs = place(parameters, in: buckets)
        for (parameter, runs) in zip(parameters.reversed(), runs ?? [])
        where !parameter.isCopy {
          for run in runs {
            boxes[parameter.name, default: []] += try parts(of: run, parameter)
          }
        }
      }
      guard chunks > 1 || next == checkpoint.blockCount else {
        return .failure(
          Failure(.mastersOrder, "the vectors hold \(next) of \(checkpoint.blockCount) blocks"))
      }
    }
    var result: [IndexedTensor] = []
    for tensor in checkpoint.tensors {
      guard let weight = tensor.shards.first else { continue }
      let part = RankPart(
        rank: 0, key: weight.key, dtype: .float32, sizes: weight.sizes,
        boxes: boxes[tensor.name] ?? [])
      result.append(IndexedTensor(name: tensor.name, shards: [part]))
    }
    if let fault = try MasterProbe(checkpoint).fault(of: result) { return .failure(fault) }
    return .success(result)
  }

  /// The parameters of a stage whose number of blocks fills its vectors.
  private func fitting(
    _ order: Order, _ stage: Int, _ rank: Int, from first: Int, _ buckets: [FlatVectorSource]
  ) -> (parameters: [Parameter], next: Int)? {
    if chunks > 1 {
      // The blocks of a virtual pipeline: chunks are the outer order, stages the inner one.
      guard checkpoint.blockCount.isMultiple(of: chunks * stages) else { return nil }
      let each = checkpoint.blockCount / (chunks * stages)
      let blocks = (0..<chunks).flatMap { chunk in
        (0..<each).map { (chunk * stages + stage) * each + $0 }
      }
      let all = parameters(order, blocks, stage: stage, rank: rank)
      return place(all, in: buckets) == nil ? nil : (all, 0)
    }
    // The last stage has all that is left.
    let counts =
      stage == stages - 1
      ? [checkpoint.blockCount - first] : Array(0...max(0, checkpoint.blockCount - first))
    for count in counts where count >= 0 {
      let all = parameters(order, Array(first..<first + count), stage: stage, rank: rank)
      if place(all, in: buckets) != nil { return (all, first + count) }
    }
    return nil
  }

  private func parameters(
    _ order: Order, _ blocks: [Int], stage: Int, rank: Int
  ) -> [Parameter] {
    var names: [(name: String, isCopy: Bool)] = []
    if stage == 0 {
      names += ["embedding.word_embeddings.weight", "embedding.position_embeddings.weight"].map {
        ($0, false)
      }
    }
    for block in blocks { names += order.names.map { ("layers.\(block).\($0)", false) } }
    if stage == stages - 1 {
      names += ["final_layernorm.weight", "final_layernorm.bias"].map { ($0, false) }
      // A tied head is on the last stage again, where that is not the first.
      let head = ParameterName.head
      if weights[head] != nil {
        names.append((head, false))
      } else if stages > 1 {
        names.append((ParameterName.wordEmbeddings, true))
      }
    }
    return names.compactMap { name, isCopy in
      guard let weight = weights[name] else { return nil }
      let axis = GradientBuffers.axis(of: name)
      return Parameter(
        name: name, boxes: boxes(of: weight.sizes, name, axis, rank),
        isCopy: isCopy || axis == nil && rank > 0)
    }
  }

  /// What a rank has of a tensor. Of a gated layer it has its part of the gate, and then its part
  /// of the upward projection, while the whole has all of the gate first.
  private func boxes(
    of sizes: [Int], _ name: String, _ axis: Int?, _ rank: Int
  ) -> [(cell: [Int], origin: [Int])] {
    let halves = isGated && name.contains("mlp.dense_h_to_4h.") ? 2 : 1
    return (0..<halves).map { half in
      var cell = sizes
      var origin = cell.map { _ in 0 }
      if let axis, cell.indices.contains(axis) {
        cell[axis] /= tensorParallel * halves
        origin[axis] = (half * tensorParallel + rank) * cell[axis]
      }
      return (cell, origin)
    }
  }

  /// A run of a parameter's elements, in each of its boxes.
  private func parts(
    of run: RankPart.Run, _ parameter: Parameter
  ) throws(Failure) -> [RankPart.Box] {
    var result: [RankPart.Box] = []
    var first = 0
    for (cell, origin) in parameter.boxes {
      let count = cell.reduce(1, *)
      let some = run.elements.clamped(to: first..<first + count)
      if !some.isEmpty {
        let part = RankPart.Run(
          elements: some.lowerBound - first..<some.upperBound - first, file: run.file,
          tensor: run.tensor, start: run.start + some.lowerBound - run.elements.lowerBound)
        result += try RankPart.Box.boxes(of: part, in: cell, at: origin, named: parameter.name)
      }
      first += count
    }
    return result
  }

  /// The axis along which the ranks have parts of their own; `nil` for what all of them have.
  private static func axis(of name: String) -> Int? {
    let isRule = KnownArchitectures.all.lazy.flatMap(\.table.rules).first { rule in
      guard let star = rule.source.firstIndex(of: "*") else { return rule.source == name }
      let after = rule.source[rule.source.index(after: star)...]
      return name.hasPrefix(rule.source[..<star]) && name.hasSuffix(after)
    }
    switch isRule?.partition {
    case .vocabulary?, .column?: return 0
    case .row?: return 1
    case .replicated?, .summed?, nil: return nil
    }
  }

  private func place(
    _ parameters: [Parameter], in buckets: [FlatVectorSource]
  ) -> [[RankPart.Run]]? {
    GradientBuffers.place(parameters.map(\.count), in: buckets)
  }
}
