import SystemPackage

/// The order in which a test writes query, key and value rows; by the names of `--qkv-layout`.
public enum RowOrder: String, CaseIterable, Sendable {
  case heads3HN = "heads-3-hn"
  case headsHN3 = "heads-hn-3"
  case thirds
}

/// A matrix or vector of binary32 values.
public struct TestTensor {
  public var shape: [Int]
  public var values: [Float]

  public init(_ shape: [Int], _ values: [Float]) {
    self.shape = shape
    self.values = values
  }

  /// The part of `axis` that a rank holds.
  public func chunk(_ rank: Int, of count: Int, axis: Int) -> TestTensor {
    var part = shape
    part[axis] /= count
    let columns = shape.count > 1 ? shape[1] : 1
    var chosen: [Float] = []
    for row in 0..<shape[0] {
      for column in 0..<columns {
        let position = axis == 0 ? row : column
        if position / part[axis] == rank { chosen.append(values[row * columns + column]) }
      }
    }
    return TestTensor(part, chosen)
  }

  /// The transpose of a matrix.
  public var transposed: TestTensor {
    var result: [Float] = []
    for column in 0..<shape[1] {
      for row in 0..<shape[0] { result.append(values[row * shape[1] + column]) }
    }
    return TestTensor([shape[1], shape[0]], result)
  }
}

/// A small GPT-2 model whose every element has a value of its own, so that one that lands in the
/// wrong place names itself; and the means to write it as a pipeline dump.
public struct TestModel {
  public var layers = 2
  public var hidden = 8
  public var heads = 4
  public var feedForward = 12
  public var vocabulary = 16
  public var positions = 5
  /// By Megatron's names, over all ranks; query, key and value in thirds, as transformers has them.
  public private(set) var tensors: [String: TestTensor] = [:]
  private var next = 1

  public init(
    layers: Int = 2, hidden: Int = 8, heads: Int = 4, feedForward: Int = 12, vocabulary: Int = 16,
    positions: Int = 5, untied: Bool = false
  ) {
    self.layers = layers
    self.hidden = hidden
    self.heads = heads
    self.feedForward = feedForward
    self.vocabulary = vocabulary
    self.positions = positions
    add("embedding.word_embeddings.weight", [vocabulary, hidden])
    add("embedding.position_embeddings.weight", [positions, hidden])
    for layer in 0..<layers {
      let prefix = "layers.\(layer)."
      add(prefix + "input_layernorm.weight", [hidden])
      add(prefix + "input_layernorm.bias", [hidden])
      add(prefix + "self_attention.query_key_value.weight", [3 * hidden, hidden])
      add(prefix + "self_attention.query_key_value.bias", [3 * hidden])
      add(prefix + "self_attention.dense.weight", [hidden, hidden])
      add(prefix + "self_attention.dense.bias", [hidden])
      add(prefix + "post_attention_layernorm.weight", [hidden])
      add(prefix + "post_attention_layernorm.bias", [hidden])
      add(prefix + "mlp.dense_h_to_4h.weight", [feedForward, hidden])
      add(prefix + "mlp.dense_h_to_4h.bias", [feedForward])
      add(prefix + "mlp.dense_4h_to_h.weight", [hidden, feedForward])
      add(prefix + "mlp.dense_4h_to_h.bias", [hidden])
    }
    add("final_layernorm.weight", [hidden])
    add("final_layernorm.bias", [hidden])
    if untied { add("output_layer.weight", [vocabulary, hidden]) }
  }

  private mutating func add(_ name: String, _ shape: [Int]) {
    let count = shape.reduce(1, *)
    tensors[name] = TestTensor(shape, (next..<next + count).map { Float($0) })
    next += count
  }

  /// Puts a tensor in the place of another one.
  public mutating func set(_ name: String, _ tensor: TestTensor) { tensors[name] = tensor }

  /// Leaves a tensor out.
  public mutating func removeTensor(_ name: String) { tensors[name] = nil }

  /// What a conversion must give under transformers' name for a Megatron tensor.
  public func expected(_ name: String) -> TestTensor? {
    guard let tensor = tensors[name] else { return nil }
    let isMatrix = tensor.shape.count == 2 && name.hasPrefix("layers.")
    return isMatrix ? tensor.transposed : tensor
  }

  /// What one rank holds. `order` is the order of the rows of query, key and value.
  public func shard(_ name: String, rank: Int, of ranks: Int, order: RowOrder) -> TestTensor? {
    guard let tensor = tensors[name] else { return nil }
    if name.contains("query_key_value") { return qkv(tensor, rank, ranks, order) }
    if name.hasSuffix("word_embeddings.weight") || name.hasPrefix("output_layer")
      || name.contains("dense_h_to_4h")
    {
      return tensor.chunk(rank, of: ranks, axis: 0)
    }
    if name.hasSuffix("dense.weight") || name.hasSuffix("dense_4h_to_h.weight") {
      return tensor.chunk(rank, of: ranks, axis: 1)
    }
    return tensor
  }

  /// The rows of a rank, picked one by one: slow and plain.
  private func qkv(
    _ tensor: TestTensor, _ rank: Int, _ ranks: Int, _ order: RowOrder
  ) -> TestTensor {
    let hn = hidden / heads
    let local = heads / ranks
    let columns = tensor.shape.count > 1 ? tensor.shape[1] : 1
    var rows: [Int] = []
    func row(_ part: Int, _ head: Int, _ channel: Int) -> Int {
      part * hidden + (rank * local + head) * hn + channel
    }
    switch order {
    case .heads3HN:
      for head in 0..<local {
        for part in 0..<3 { for channel in 0..<hn { rows.append(row(part, head, channel)) } }
      }
    case .headsHN3:
      for head in 0..<local {
        for channel in 0..<hn { for part in 0..<3 { rows.append(row(part, head, channel)) } }
      }
    case .thirds:
      for part in 0..<3 {
        for head in 0..<local { for channel in 0..<hn { rows.append(row(part, head, channel)) } }
      }
    }
    var shape = tensor.shape
    shape[0] /= ranks
    return TestTensor(
      shape, rows.flatMap { tensor.values[$0 * columns..<($0 + 1) * columns] })
  }
}

/// Writes a ``TestModel`` as DeepSpeed's pipeline module does.
public struct DumpWriter {
  public var model: TestModel
  public var ranks = 1
  public var stages = 1
  public var order = RowOrder.heads3HN
  public var firstBlock = 3
  /// Arguments of the Namespace, by name, besides those of the model's sizes.
  public var arguments: [String: (inout PickleWriter) -> Void] = [:]
  public var version: Double? = 3
  public var hasStates = true
  /// Whether the tensors of a layer are views of one storage.
  public var isFlat = false
  /// Whether a machine of the other byte order wrote it.
  public var isBigEndian = false
  /// Changes the shards of a rank before they are written.
  public var change: (_ name: String, _ rank: Int, _ tensor: inout TestTensor) -> Void = {
    _, _, _ in
  }

  public init(_ model: TestModel = TestModel()) {
    self.model = model
  }

  /// Writes the dump into `folder/global_step10`, and `latest`.
  public func write(to folder: TemporaryFolder) throws {
    try folder.write("latest", Array("global_step10".utf8))
    for rank in 0..<ranks {
      func name(_ layer: Int) -> String {
        "global_step10/layer_\(two(layer))-model_\(two(rank))-model_states.pt"
      }
      try folder.write(name(1), layer("embedding.", rank))
      for block in 0..<model.layers {
        try folder.write(name(firstBlock + block), layer("layers.\(block).", rank))
      }
      // Blocks that begin at 3 leave one number free before the final layernorm.
      let norm = firstBlock + model.layers + (firstBlock == 2 ? 0 : 1)
      try folder.write(name(norm), layer("final_layernorm.", rank))
      if model.tensors["output_layer.weight"] != nil {
        try folder.write(name(norm + 1), layer("output_layer.", rank))
      }
    }
    guard hasStates else { return }
    for rank in 0..<ranks * stages {
      try folder.write("global_step10/mp_rank_\(two(rank))_model_states.pt", state())
    }
  }

  private func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  /// A layer file of one rank.
  private func layer(_ prefix: String, _ rank: Int) -> [UInt8] {
    var pickle = PickleWriter()
    var storages: [ZipWriter.Entry] = []
    let names = model.tensors.keys.filter { $0.hasPrefix(prefix) }.sorted()
    let total = names.reduce(0) {
      $0 + (model.shard($1, rank: rank, of: ranks, order: order)?.values.count ?? 0)
    }
    var flat: [UInt8] = []
    pickle.dict { pickle in
      for name in names {
        guard var tensor = model.shard(name, rank: rank, of: ranks, order: order) else { continue }
        change(name, rank, &tensor)
        var strides = [Int](repeating: 1, count: tensor.shape.count)
        if tensor.shape.count == 2 { strides[0] = tensor.shape[1] }
        pickle.string(
          prefix == "output_layer." ? "lm_head.weight" : String(name.dropFirst(prefix.count)))
        let values = tensor.values.flatMap {
          little(Int(isBigEndian ? $0.bitPattern.byteSwapped : $0.bitPattern), 4)
        }
        if isFlat {
          pickle.tensor(
            "FloatStorage", key: "0", count: total, offset: flat.count / 4, sizes: tensor.shape,
            strides: strides)
          flat += values
        } else {
          let key = "\(storages.count)"
          pickle.tensor(
            "FloatStorage", key: key, count: tensor.values.count, offset: 0, sizes: tensor.shape,
            strides: strides)
          storages.append(ZipWriter.Entry("archive/data/\(key)", values))
        }
      }
    }
    if isFlat { storages = [ZipWriter.Entry("archive/data/0", flat)] }
    return ZipWriter(
      [ZipWriter.Entry("archive/data.pkl", pickle.finished)] + storages
        + [ZipWriter.Entry("archive/version", Array("3\n".utf8))]
        + (isBigEndian ? [ZipWriter.Entry("archive/byteorder", Array("big".utf8))] : [])
    ).bytes
  }

  /// The state of a rank.
  private func state() -> [UInt8] {
    var values: [String: (inout PickleWriter) -> Void] = [
      "num_layers": { $0.int(model.layers) }, "hidden_size": { $0.int(model.hidden) },
      "num_attention_heads": { $0.int(model.heads) },
      "ffn_hidden_size": { $0.int(model.feedForward) },
      "max_position_embeddings": { $0.int(model.positions) },
      "padded_vocab_size": { $0.int(model.vocabulary) },
      "tensor_model_parallel_size": { $0.int(ranks) },
      "pipeline_model_parallel_size": { $0.int(stages) }, "bias_gelu_fusion": { $0.bool(true) },
      "openai_gelu": { $0.bool(false) }, "onnx_safe": { $0.none() },
      "layernorm_epsilon": { $0.double(1e-5) }, "hidden_dropout": { $0.double(0.1) },
      "attention_dropout": { $0.double(0.1) }, "init_method_std": { $0.double(0.02) },
    ]
    values.merge(arguments) { $1 }
    var pickle = PickleWriter()
    pickle.dict { pickle in
      pickle.string("module")
      pickle.none()
      pickle.string("args")
      pickle.global("argparse", "Namespace")
      pickle.raw([0x29, 0x81])
      pickle.dict { state in
        for (key, write) in values.sorted(by: { $0.key < $1.key }) {
          state.string(key)
          write(&state)
        }
      }
      pickle.code("b")
      if let version {
        pickle.string("checkpoint_version")
        pickle.double(version)
      }
      pickle.string("iteration")
      pickle.int(10)
    }
    return ZipWriter([
      ZipWriter.Entry("archive/data.pkl", pickle.finished),
      ZipWriter.Entry("archive/version", Array("3\n".utf8)),
    ]).bytes
  }
}
