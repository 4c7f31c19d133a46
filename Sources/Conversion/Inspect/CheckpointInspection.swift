import ByteIO
import Safetensors
import TorchArchive

/// What can be said of a checkpoint without reading its tensors.
public struct CheckpointInspection: Sendable {
  /// A tensor with its shapes on the way.
  public struct Row: Hashable, Sendable {
    /// The name in Megatron, as all layouts share it.
    public let name: String
    public let dtype: String
    /// The shapes on the tensor-parallel ranks; one if they are all the same.
    public let shardShapes: [[Int]]
    public let ranks: Int
    /// The shape over all ranks; `nil` for a tensor that no rule names.
    public let mergedShape: [Int]?
    public let partition: String?
    /// The name and shape in transformers; `nil` for a tensor that no rule names.
    public let target: String?
    public let targetShape: [Int]?
  }

  public let index: CheckpointIndex
  public let rows: [Row]
  /// Why it cannot be converted; empty if it can.
  public let reasons: [ConversionError]
  /// The sizes of the model, if they could be worked out.
  public let geometry: GPT2Geometry?
  public let qkv: QKVEvidence?
  /// The plan of a conversion with the given options, if it can be converted.
  public let plan: ConversionPlan?

  /// Works out what there is and whether it can be converted.
  public init(_ index: CheckpointIndex, options: ConversionOptions) throws(ConversionError) {
    self.index = index
    var reasons = try GPT2Refusals.all(of: index).map(\.error)
    func attempt<Value>(_ body: () throws(ConversionError) -> Value) -> Value? {
      do throws(ConversionError) {
        return try body()
      } catch {
        if !reasons.contains(error) { reasons.append(error) }
        return nil
      }
    }
    let isRefused = !reasons.isEmpty
    geometry = attempt { () throws(ConversionError) in try GPT2Geometry(of: index) }
    qkv = attempt { () throws(ConversionError) in
      try QKVEvidence(
        chosen: options.qkvLayout, version: index.checkpointVersion, arguments: index.arguments,
        firstBlock: index.firstBlockLayer, layout: index.directory.layout)
    }
    plan =
      isRefused
      ? nil
      : attempt { () throws(ConversionError) in try Planner.plan(index, options: options) }
    self.reasons = reasons
    rows = CheckpointInspection.rows(index, geometry, options.keyStyle)
  }

  private static func rows(
    _ index: CheckpointIndex, _ geometry: GPT2Geometry?, _ style: KeyStyle
  ) -> [Row] {
    let applied = GPT2Rules.applied(
      blocks: index.blockCount, untied: true,
      dividedPositions: index.tensor(GPT2Rules.dividedPositions.source) != nil)
    var rules: [String: AppliedRule] = [:]
    for rule in applied { rules[rule.source] = rule }
    return index.tensors.map { tensor in
      let applied = rules[tensor.name]
      let shapes = tensor.shards.map(\.sizes)
      let merged = applied.flatMap { merge(shapes, $0.rule.partition) }
      let transposed =
        applied?.rule.arrangement == .transposed || applied?.rule.arrangement == .qkvTransposed
      return Row(
        name: tensor.name, dtype: tensor.shards[0].dtype.rawValue,
        shardShapes: Set(shapes).count == 1 ? [shapes[0]] : shapes, ranks: shapes.count,
        mergedShape: merged, partition: applied?.rule.partition.rawValue,
        target: applied.map { style.name($0.target) },
        targetShape: transposed ? merged?.reversed() : merged)
    }
  }

  /// The shape over all ranks, if the ranks agree.
  private static func merge(_ shapes: [[Int]], _ partition: Partition) -> [Int]? {
    guard var merged = shapes.first, !merged.isEmpty, shapes.allSatisfy({ $0 == merged }) else {
      return nil
    }
    let axis = partition == .row ? 1 : 0
    guard partition != .replicated else { return merged }
    guard merged.indices.contains(axis) else { return nil }
    let (size, overflow) = merged[axis].multipliedReportingOverflow(by: shapes.count)
    merged[axis] = size
    return overflow ? nil : merged
  }

  /// The training arguments that decide about a conversion, those that the checkpoint has.
  public static let argumentsThatMatter = [
    "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "kv_channels",
    "num_key_value_heads", "max_position_embeddings", "seq_length", "padded_vocab_size",
    "make_vocab_size_divisible_by", "layernorm_epsilon", "attention_dropout", "hidden_dropout",
    "init_method_std", "bias_gelu_fusion", "openai_gelu", "onnx_safe", "glu_activation", "swiglu",
    "position_embedding_type", "add_position_embedding", "use_rotary_position_embeddings",
    "embed_layernorm", "apply_layernorm_1p", "normalization", "add_bias_linear",
    "apply_residual_connection_post_layernorm", "untie_embeddings_and_output_weights",
    "num_experts", "params_dtype", "tensor_model_parallel_size", "model_parallel_size",
    "pipeline_model_parallel_size", "data_parallel_size", "ds_sequence_parallel_fpdt",
    "tokenizer_type", "consumed_train_samples", "consumed_train_tokens",
  ]
}

/// The SHA-256 of the values of every shard of a checkpoint.
public struct CheckpointDigests: Sendable {
  /// By the name of the tensor, in the order of the ranks.
  public private(set) var byTensor: [String: [String]] = [:]

  /// Reads all tensors.
  ///
  /// - Throws: ``ConversionError``.
  public init(_ index: CheckpointIndex, crc: CRCMode) throws(ConversionError) {
    for (position, file) in index.files.enumerated() {
      var wanted: [(tensor: Int, stored: TorchTensor)] = []
      for (number, tensor) in index.tensors.enumerated() {
        for case .whole(position, let stored) in tensor.shards.map(\.content) {
          wanted.append((number, stored))
        }
      }
      guard !wanted.isEmpty else { continue }
      do {
        let reader = TensorReader(try TorchFile(opening: file.path), crc: crc != .none)
        for (number, stored) in wanted {
          var hasher = SHA256Hasher()
          try reader.forEachPart(of: stored) { hasher.update($0, of: $1) }
          _ = try reader.verdict(stored.storage, all: crc == .all)
          let name = index.tensors[number].name
          byTensor[name, default: []].append(hasher.hexDigest())
        }
      } catch {
        throw ConversionError(reading: error, file: file.path)
      }
    }
  }
}
