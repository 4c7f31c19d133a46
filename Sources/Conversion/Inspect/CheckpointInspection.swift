public import Architectures
import ByteIO
public import Diagnostics
public import Megatron
import TorchArchive

/// What can be said of a checkpoint without reading its tensors.
public struct CheckpointInspection: Sendable {
  /// A tensor with its shapes on the way.
  public struct Row: Hashable, Sendable {
    /// The name in Megatron, as all layouts share it.
    public let name: String
    /// The type of the elements on the first rank, by torch's name without `torch.`.
    public let dtype: String
    /// The shapes on the tensor-parallel ranks; one if they are all the same.
    public let shardShapes: [[Int]]
    /// The number of tensor-parallel ranks that hold a part of it, or all of it.
    public let ranks: Int
    /// The shape over all ranks; `nil` for a tensor that no rule names.
    public let mergedShape: [Int]?
    /// How the ranks share it, as `Partition` spells it; `nil` for a tensor that no rule names.
    public let partition: String?
    /// The name in transformers; `nil` for a tensor that no rule names.
    public let target: String?
    /// The shape in transformers, padding included; `nil` where ``mergedShape`` is.
    public let targetShape: [Int]?
    /// Where the values are, one for each rank.
    public let shards: [Shard]

    /// The bytes on all ranks.
    public var byteCount: Int { shards.reduce(0) { $0 + $1.byteCount } }
  }

  /// What one rank holds of a tensor.
  public struct Shard: Hashable, Sendable {
    /// The tensor-parallel rank, from 0 on.
    public let rank: Int
    /// The name of the file within the checkpoint's folder; the first one where there are several.
    public let file: String
    /// The pipeline stage, where the name of the file tells it.
    public let stage: Int?
    /// What this rank has: the whole shape where every rank has all of it.
    public let shape: [Int]
    /// The size of its elements in bytes, without what else is in the storage.
    public let byteCount: Int
  }

  /// The model as it was recognised.
  public let model: Recognition
  /// All tensors in the order of the model, also those that no rule names.
  public let rows: [Row]
  /// Why it cannot be converted; empty if it can.
  public let reasons: [Failure]
  /// The sizes of the model, if they could be worked out.
  public let sizes: ModelSizes?
  /// The order of the query, key and value rows; `nil` if nothing tells it.
  public let qkv: QKVEvidence?
  /// What was concluded, as far as the checkpoint can be converted.
  public let decisions: [Decision]
  /// The plan of a conversion with the given options, if it can be converted.
  public let plan: ConversionPlan?

  /// Works out what there is and whether it can be converted.
  ///
  /// - Parameters:
  ///   - index: The checkpoint.
  ///   - options: What the user chose.
  ///   - architectures: The families that are asked.
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  public init(
    _ index: Checkpoint, options: ConversionOptions = ConversionOptions(),
    architectures: [any Architecture] = KnownArchitectures.all
  ) throws(Failure) {
    let model = try Recognition(index, options: options, architectures: architectures)
    self.model = model
    var reasons = model.refusals.map { Failure($0) }
    let isRefused = !reasons.isEmpty
    func attempt<Value>(_ body: () throws(Failure) -> Value) -> Value? {
      do throws(Failure) {
        return try body()
      } catch {
        // What a model of another kind lacks is not a fault of it.
        if !isRefused, !reasons.contains(error) { reasons.append(error) }
        return nil
      }
    }
    sizes = attempt { () throws(Failure) in try model.sizes.get() }
    qkv = attempt { () throws(Failure) in try model.qkv.get() }
    plan =
      isRefused
      ? nil
      : attempt { () throws(Failure) in try Planner.plan(model, options: options) }
    decisions =
      plan?.decisions
      ?? [Decision("layout", .string(index.folder.layout.rawValue), index.folder.reason)]
      + index.decisions + (qkv.map { [$0.decision] } ?? [])
    self.reasons = reasons
    rows = CheckpointInspection.rows(model, options.keyStyle)
  }

  /// The checkpoint.
  public var index: Checkpoint { model.checkpoint }

  /// The number of parameters with so many rows of the embedding, and of positions; `nil` for all.
  public func parameterCount(vocabulary: Int? = nil, positions: Int? = nil) -> Int {
    guard let sizes else { return 0 }
    return ModelSizes(
      layers: sizes.layers, hidden: sizes.hidden, heads: sizes.heads,
      keyValueHeads: sizes.keyValueHeads, headSize: sizes.headSize,
      feedForward: sizes.feedForward, positions: positions ?? sizes.positions,
      vocabulary: vocabulary ?? sizes.vocabulary
    ).parameterCount(model.rules)
  }

  /// The number of parameters that model cards state with so many rows of the embedding.
  public func statedParameters(vocabulary: Int) -> Int {
    guard var sizes else { return 0 }
    sizes.vocabulary = vocabulary
    return model.architecture.statedParameters(sizes)
  }

  private static func rows(_ model: Recognition, _ style: KeyStyle) -> [Row] {
    let (index, format) = (model.checkpoint, model.architecture.format)
    var rules: [String: RuleTable.Applied] = [:]
    for rule in model.rules { rules[rule.source] = rule }
    return index.tensors.map { tensor in
      let applied = rules[tensor.name]
      let shapes = tensor.shards.map(\.sizes)
      let merged = applied.flatMap { merge(shapes, $0.rule.partition) }
      let isTransposed = applied?.rule.isTransposed == true
      return Row(
        name: tensor.name, dtype: tensor.shards[0].dtype.rawValue,
        shardShapes: Set(shapes).count == 1 ? [shapes[0]] : shapes, ranks: shapes.count,
        mergedShape: merged, partition: applied?.rule.partition.rawValue,
        target: applied.map { format.name($0.target, style) },
        targetShape: isTransposed ? merged?.reversed() : merged,
        shards: tensor.shards.map { shard in
          Shard(
            rank: shard.rank, file: index.files[shard.file].name,
            stage: index.files[shard.file].stage, shape: shard.sizes,
            byteCount: shard.sizes.reduce(shard.dtype.size) {
              $0.multipliedReportingOverflow(by: $1).partialValue
            })
        })
    }
  }

  /// The shape over all ranks, if the ranks agree.
  private static func merge(_ shapes: [[Int]], _ partition: Partition) -> [Int]? {
    guard var merged = shapes.first, !merged.isEmpty, shapes.allSatisfy({ $0 == merged }) else {
      return nil
    }
    let axis = partition == .row ? 1 : 0
    guard partition.isDivided else { return merged }
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
    "tokenizer_type", "lr", "min_lr", "lr_decay_style", "weight_decay", "global_batch_size",
    "train_iters", "train_samples", "train_tokens", "seed", "consumed_train_samples",
    "consumed_train_tokens",
  ]

  /// The names of arguments that no trainer known here has: they may change the function.
  public var unknownArguments: [String] {
    index.arguments.values.keys.filter { key in
      index.arguments.source(of: ArgumentKey(key)) == .checkpoint
        && !KnownArguments.names.contains(key)
    }.sorted()
  }
}
