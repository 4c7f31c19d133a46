import DistributedCheckpoint

/// In which form a distributed checkpoint has the float32 masters of its weights, told by the keys
/// of the optimizer (Megatron-core `optimizer/optimizer.py`, `optimizer/distrib_optimizer.py`).
enum CoreMasterForm: Hashable, Sendable {
  /// One for each weight, under its name behind a prefix: of its shape, or, until core 0.15, as
  /// flattened parts (`fully_sharded_model_space`).
  case named(prefix: String)
  /// Flat vectors, one for each bucket of a gradient buffer (`dp_reshardable`).
  case buckets
  /// Flat vectors in values of the optimizer, one for each gradient buffer
  /// (`dp_zero_gather_scatter`).
  case coalesced
  /// In lists, without names (`torch_dcp`).
  case listed
  /// Flat vectors whose order is not known (`fully_sharded_bucket_space`, core 0.6 and 0.7).
  case unknownBuckets
  /// Those of several optimizers, one after the other.
  case chained

  /// - Returns: `nil` for a checkpoint that has none.
  init?(_ source: DistributedCheckpoint) {
    let keys = source.tensors.lazy.map(\.name)
    for prefix in ["optimizer.state.fp32_param.", "optimizer.state.param."]
    where keys.contains(where: { $0.hasPrefix(prefix) }) {
      self = .named(prefix: prefix)
      return
    }
    if keys.contains(where: { CoreMasterForm.bucket($0) != nil }) {
      self = .buckets
    } else if source.objects.contains(where: { CoreMasterForm.group(ofState: $0.name) != nil }) {
      self = .coalesced
    } else if keys.contains(where: { $0.hasPrefix(CoreMasterForm.list) }) {
      self = .listed
    } else if keys.contains(where: { $0.hasPrefix("optimizer.distributed.") }) {
      self = .unknownBuckets
    } else if keys.contains(where: { $0.hasPrefix("chained_") }) {
      self = .chained
    } else {
      return nil
    }
  }

  static let list = "optimizer.fp32_from_fp16_params."

  /// What it is called, for people.
  var title: String {
    switch self {
    case .named: "float32 masters by name"
    case .buckets: "float32 masters in flat vectors by bucket"
    case .coalesced: "float32 masters in flat vectors"
    case .listed: "float32 masters in lists"
    case .chained: "of several optimizers"
    case .unknownBuckets: "float32 masters in flat vectors of an old order"
    }
  }

  /// The numbers in the key of a bucket:
  /// `optimizer.distributed.dp_group_idx_0.gbuf_idx_0.dtype_(...).bucket_idx_0.param`.
  static func bucket(_ key: String) -> (group: Int, buffer: Int, bucket: Int)? {
    guard key.hasPrefix("optimizer.distributed.dp_group_idx_"), key.hasSuffix(".param"),
      let group = number(after: "dp_group_idx_", in: key),
      let buffer = number(after: ".gbuf_idx_", in: key),
      let bucket = number(after: ".bucket_idx_", in: key)
    else { return nil }
    return (group, buffer, bucket)
  }

  /// The number in the key of a state:
  /// `optimizer.distributed.dp_group_idx_0.param_state/shard_0_1`.
  static func group(ofState key: String) -> Int? {
    guard key.hasPrefix("optimizer.distributed.dp_group_idx_"), key.contains(".param_state/") else {
      return nil
    }
    return number(after: "dp_group_idx_", in: key)
  }

  private static func number(after text: String, in key: String) -> Int? {
    guard let range = key.firstRange(of: text) else { return nil }
    let digits = key[range.upperBound...].prefix { $0.isASCII && $0.isNumber }
    return digits.count < 8 ? Int(digits) : nil
  }
}
