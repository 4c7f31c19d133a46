/// Writes a ``TestModel`` as a trainer without a pipeline does: one file for each rank, with the
/// weights, the arguments and the version in it. What is odd about a dump is a closure.
public struct RankWriter {
  public var model: TestModel
  public var ranks = 1
  public var order = RowOrder.heads3HN
  /// The name of a tensor in the file, of its name in the model.
  public var name: (String) -> String = RankWriter.classic
  /// Writes the file's dictionary around the weights: by default `model`, the arguments and the
  /// version.
  public var key: String? = "model"
  /// Keys of dictionaries around the whole file, from the outermost one on.
  public var outer: [String] = []
  /// Wraps the dictionary of weights once more.
  public var wrap: (inout PickleWriter, (inout PickleWriter) -> Void) -> Void = { pickle, body in
    body(&pickle)
  }
  /// Arguments by name, besides those of the model's sizes; a name without a writer is left out.
  public var arguments: [String: ((inout PickleWriter) -> Void)?] = [:]
  /// Writes the arguments in another form than a Namespace.
  public var namespace: (inout PickleWriter, (inout PickleWriter) -> Void) -> Void = {
    pickle, body in
    pickle.global("argparse", "Namespace")
    pickle.raw([0x29, 0x81])
    body(&pickle)
    pickle.code("b")
  }
  public var hasArguments = true
  /// Writes `checkpoint_version`; `nil` to leave it out.
  public var version: ((inout PickleWriter) -> Void)? = { $0.double(3) }
  /// The function that makes a tensor of a name, and what is pushed behind its usual arguments.
  public var function: (String) -> (String, String) = { _ in ("torch._utils", "_rebuild_tensor_v2")
  }
  public var more: (inout PickleWriter) -> Void = { _ in }
  /// Writes further entries of the dictionary of weights, and gives their storages.
  public var extras: (inout PickleWriter) -> [(key: String, bytes: [UInt8])] = { _ in [] }
  /// Writes further entries of the file.
  public var entries: (inout PickleWriter) -> Void = { _ in }
  /// The rank whose values a rank has, for files that stand in the place of others.
  public var source: (Int) -> Int = { $0 }
  /// How many elements lie before a tensor in its storage, by rank.
  public var lead: (Int) -> Int = { _ in 0 }
  /// Leaves tensors out.
  public var keeps: (String) -> Bool = { _ in true }
  /// Whether the archive records checksums.
  public var recordsChecksums = true

  public init(_ model: TestModel = TestModel()) {
    self.model = model
  }

  /// The names of Megatron-LM since 2021.
  public static func classic(_ name: String) -> String {
    for front in ["layers.", "final_layernorm."] where name.hasPrefix(front) {
      return "language_model.encoder.\(name)"
    }
    return "language_model.\(name)"
  }

  /// Writes `iter_0000010/mp_rank_XX/model_optim_rng.pt` and its tracker into `folder`.
  public func write(to folder: TemporaryFolder, at root: String = "") throws {
    let front = root.isEmpty ? "" : "\(root)/"
    try folder.write("\(front)latest_checkpointed_iteration.txt", Array("10".utf8))
    for rank in 0..<ranks {
      try folder.write(
        "\(front)iter_0000010/mp_rank_\(rank < 10 ? "0" : "")\(rank)/model_optim_rng.pt", file(rank)
      )
    }
  }

  /// The file of a rank.
  public func file(_ rank: Int) -> [UInt8] {
    var storages: [ZipWriter.Entry] = []
    var pickle = PickleWriter()
    func weights(_ pickle: inout PickleWriter) {
      pickle.dict { pickle in
        for name in model.tensors.keys.sorted() where keeps(name) {
          guard
            let tensor = model.shard(name, rank: source(rank), of: ranks, order: order)
          else { continue }
          pickle.string(self.name(name))
          var strides = [Int](repeating: 1, count: tensor.shape.count)
          if tensor.shape.count == 2 { strides[0] = tensor.shape[1] }
          pickle.tensor(
            "FloatStorage", key: "\(storages.count)", count: tensor.values.count + lead(rank),
            offset: lead(rank), sizes: tensor.shape, strides: strides, function: function(name),
            more: more)
          let before = [UInt8](repeating: 7, count: 4 * lead(rank))
          let bytes = before + tensor.values.flatMap { little(Int($0.bitPattern), 4) }
          storages.append(ZipWriter.Entry("archive/data/\(storages.count)", bytes))
        }
        for (key, bytes) in extras(&pickle) {
          storages.append(ZipWriter.Entry("archive/data/\(key)", bytes))
        }
      }
    }
    for key in outer {
      pickle.code("}(")
      pickle.string(key)
    }
    if let key {
      pickle.dict { pickle in
        pickle.string(key)
        wrap(&pickle, weights)
        pickle.string("iteration")
        pickle.int(10)
        if hasArguments {
          pickle.string("args")
          namespace(&pickle, writeArguments)
        }
        if let version {
          pickle.string("checkpoint_version")
          version(&pickle)
        }
        entries(&pickle)
      }
    } else {
      wrap(&pickle, weights)
    }
    for _ in outer { pickle.code("u") }
    var writer = ZipWriter(
      [ZipWriter.Entry("archive/data.pkl", pickle.finished)] + storages
        + [ZipWriter.Entry("archive/version", Array("3\n".utf8))])
    if !recordsChecksums { writer.recordsChecksums = false }
    return writer.bytes
  }

  private func writeArguments(_ pickle: inout PickleWriter) {
    var values: [String: ((inout PickleWriter) -> Void)?] = [
      "num_layers": { $0.int(model.layers) }, "hidden_size": { $0.int(model.hidden) },
      "num_attention_heads": { $0.int(model.heads) },
      "ffn_hidden_size": { $0.int(model.feedForward) },
      "max_position_embeddings": { $0.int(model.positions) },
      "padded_vocab_size": { $0.int(model.vocabulary) },
      "tensor_model_parallel_size": { $0.int(ranks) },
      "pipeline_model_parallel_size": { $0.int(1) }, "bias_gelu_fusion": { $0.bool(true) },
      "openai_gelu": { $0.bool(false) }, "layernorm_epsilon": { $0.double(1e-5) },
      "hidden_dropout": { $0.double(0.1) }, "attention_dropout": { $0.double(0.1) },
      "init_method_std": { $0.double(0.02) },
    ]
    values.merge(arguments) { $1 }
    pickle.dict { pickle in
      for (key, write) in values.sorted(by: { $0.key < $1.key }) {
        guard let write else { continue }
        pickle.string(key)
        write(&pickle)
      }
    }
  }
}
