public import Architectures
import ByteIO
import Diagnostics
public import Megatron

// This file knows nothing of the rules by which checkpoints are converted, so that the two sides of
// a comparison share no mistake of theirs: it takes the tensors as each rank stored them, and
// follows Megatron's own forward pass (Megatron-LM `megatron/model/transformer.py`,
// `megatron/mpu/layers.py`, `megatron/model/language_model.py`).

extension Network {
  /// A checkpoint, as its trainer computed it: by each rank from its own part.
  ///
  /// Checksums are not compared.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint, of a model that can be converted.
  ///   - order: How the rows of query, key and value lie.
  ///   - mergedRanks: How many tensor-parallel ranks were put together in each part.
  ///   - options: How it is run.
  /// - Throws: `Failure` 65 for tensors that are missing or do not fit, 78 for arguments that are
  ///   missing, what reading throws, or `Interrupted`.
  public convenience init(
    of checkpoint: Checkpoint, order: QKVOrder, mergedRanks: Int = 1, options: Options = Options()
  ) throws {
    let tensors = RankTensors(checkpoint)
    let (ranks, arguments) = (checkpoint.tensorParallel, checkpoint.arguments)
    let words = try tensors.parts("embedding.word_embeddings.weight", rank: 2)
    let h = words[0].shape[1]
    let heads = try arguments.int(.numAttentionHeads) ?? 0
    guard heads > 0, heads <= h, mergedRanks > 0, heads.isMultiple(of: ranks * mergedRanks) else {
      throw Failure(
        .argumentsHeads,
        "\(heads) heads cannot be divided among \(ranks * mergedRanks) tensor-parallel ranks",
        hint: "correct it with --set num_attention_heads=N")
    }
    let size = try arguments.int(.kvChannels) ?? h / heads
    guard size > 0, size <= h else {
      throw Failure(.argumentsContradiction, "kv_channels is \(size)")
    }
    var addend: Float = 0
    for key in [ArgumentKey.applyLayernorm1p, .layernormZeroCenteredGamma]
    where try arguments.bool(key) == true {
      addend = 1
    }
    let layers = try (0..<checkpoint.blockCount).map { number in
      let name = "layers.\(number)"
      let first = try tensors.norms("\(name).input_layernorm", h, addend)
      let second = try tensors.norms("\(name).post_attention_layernorm", h, addend)
      let upward = try tensors.linears("\(name).mlp.dense_h_to_4h", nil, h)
      let downward = try tensors.linears("\(name).mlp.dense_4h_to_h", h, nil)
      let own = heads / ranks * size
      let attention = try tensors.linears("\(name).self_attention.query_key_value", 3 * own, h)
      let projection = try tensors.linears("\(name).self_attention.dense", h, own)
      return try (0..<ranks).map { rank in
        guard upward[rank].weight.rows == downward[rank].weight.columns else {
          throw Failure(
            .tensorUnexpectedShape,
            "it has \(downward[rank].weight.columns) columns, and dense_h_to_4h "
              + "\(upward[rank].weight.rows) rows", tensor: "\(name).mlp.dense_4h_to_h.weight")
        }
        return Block(
          firstNorm: first[rank], attention: attention[rank], projection: projection[rank],
          secondNorm: second[rank], upward: upward[rank], downward: downward[rank])
      }
    }
    let divided = "embedding.position_embeddings.local_embeddings.weight"
    let isDivided = checkpoint.tensor(divided) != nil
    let positions = try tensors.parts(
      isDivided ? divided : "embedding.position_embeddings.weight", rank: 2)
    let rows = positions.map { $0.shape[0] }
    guard isDivided || Set(rows).count == 1 else {
      throw Failure(
        .tensorRanksDisagree, "the ranks have \(rows) positions", file: positions[0].file,
        tensor: positions[0].name)
    }
    let heading = ["output_layer.weight", "word_embeddings_for_head.weight"].first {
      checkpoint.tensor($0) != nil
    }
    let head = try heading.map { try tensors.parts($0, rank: 2) }
    let finalNorm = try tensors.norms("final_layernorm", h, addend)
    let ends = try (0..<ranks).map { rank in
      Ends(
        words: try tensors.weight(words[rank], nil, h),
        positions: try tensors.weight(positions[rank], nil, h), finalNorm: finalNorm[rank],
        head: try head.map { try tensors.weight($0[rank], words[rank].shape[0], h) })
    }
    let epsilon = try arguments.double(.layernormEpsilon) ?? arguments.double(.normEpsilon)
    try self.init(
      ModelSizes(
        layers: checkpoint.blockCount, hidden: h, heads: heads, headSize: size,
        feedForward: (layers.first ?? []).reduce(0) { $0 + $1.upward.weight.rows },
        positions: isDivided ? rows.reduce(0, +) : rows[0],
        vocabulary: words.reduce(0) { $0 + $1.shape[0] }),
      Function(
        activation: try GPT2Activation(arguments).name, epsilon: Float(epsilon ?? 1e-5),
        scales: Array(repeating: 1 / Float(size).squareRoot(), count: checkpoint.blockCount),
        order: order, mergedRanks: mergedRanks, isLinear: true),
      layers: layers, ends: ends, options: options)
  }
}

/// The tensors of a checkpoint by their names and ranks.
private struct RankTensors {
  private let checkpoint: Checkpoint
  private let files: RankFiles

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
    files = RankFiles(checkpoint)
  }

  /// What each rank has of a tensor.
  func parts(_ name: String, rank count: Int) throws -> [RankElements] {
    guard let tensor = checkpoint.tensor(name) else { throw checkpoint.missing(name) }
    guard tensor.shards.map(\.rank) == Array(0..<checkpoint.tensorParallel) else {
      throw Failure(
        .checkpointMissingShard,
        "it is on \(tensor.shards.count) of \(checkpoint.tensorParallel) tensor-parallel ranks",
        tensor: name)
    }
    return try tensor.shards.map { part in
      let elements = try RankElements(part, of: name, in: files)
      guard part.sizes.count == count, part.sizes.allSatisfy({ $0 > 0 }) else {
        throw unexpected(elements, "\(count) dimensions that are not empty were expected")
      }
      return elements
    }
  }

  /// A matrix, of which one of the sizes may be left open.
  func weight(_ part: RankElements, _ rows: Int?, _ columns: Int?) throws -> Weight {
    let wanted = [rows ?? part.shape[0], columns ?? part.shape[1]]
    guard part.shape == wanted else { throw unexpected(part, "\(wanted) was expected") }
    return Weight(part, rows: wanted[0], columns: wanted[1])
  }

  /// The weights and biases of a linear layer. A model may have no biases.
  func linears(_ name: String, _ rows: Int?, _ columns: Int?) throws -> [Network.Linear] {
    let bias =
      checkpoint.tensor("\(name).bias") == nil ? nil : try parts("\(name).bias", rank: 1)
    return try parts("\(name).weight", rank: 2).enumerated().map { rank, part in
      let weight = try weight(part, rows, columns)
      return Network.Linear(
        weight: weight, bias: try bias.map { try vector($0[rank], weight.rows) })
    }
  }

  /// The layer norms of the ranks.
  func norms(_ name: String, _ count: Int, _ addend: Float) throws -> [Network.Norm] {
    try zip(parts("\(name).weight", rank: 1), parts("\(name).bias", rank: 1)).map { weight, bias in
      let scale = try vector(weight, count)
      if addend != 0 { scale[0] = scale[0].map { $0 + addend } }
      return Network.Norm(weight: scale, bias: try vector(bias, count))
    }
  }

  private func vector(_ part: RankElements, _ count: Int) throws -> FloatRows {
    guard part.shape == [count] else { throw unexpected(part, "[\(count)] was expected") }
    return try part.vector(count)
  }

  private func unexpected(_ part: RankElements, _ wanted: String) -> Failure {
    Failure(
      .tensorUnexpectedShape, "its shape is \(part.shape); \(wanted)", file: part.file,
      tensor: part.name)
  }
}
