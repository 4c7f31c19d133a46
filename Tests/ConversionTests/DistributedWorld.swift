import Architectures
import Diagnostics
import SystemPackage
import TestSupport

@testable import Conversion
@testable import Megatron

/// A small model as Megatron-core saves it.
struct DistributedWorld {
  /// Names within a block, ours and Megatron-core's.
  // swift-format-ignore
  static let names: [(ours: String, core: String)] = [
    ("input_layernorm.",                 "self_attention.linear_qkv.layer_norm_"),
    ("self_attention.query_key_value.",  "self_attention.linear_qkv."),
    ("self_attention.dense.",            "self_attention.linear_proj."),
    ("post_attention_layernorm.",        "mlp.linear_fc1.layer_norm_"),
    ("mlp.dense_h_to_4h.",               "mlp.linear_fc1."),
    ("mlp.dense_4h_to_h.",               "mlp.linear_fc2."),
  ]

  let model: TestModel
  var writer = DistributedWriter()
  let folder: TemporaryFolder

  /// - Parameters:
  ///   - model: The model.
  ///   - ranks: How many tensor-parallel ranks cut it.
  ///   - isStacked: Whether the blocks are stacked under one key.
  /// - Throws: When no folder can be made.
  init(_ model: TestModel = TestModel(), ranks: Int = 2, isStacked: Bool = true) throws {
    self.model = model
    folder = try TemporaryFolder()
    for (name, tensor) in DistributedWorld.tensors(of: model, isStacked: isStacked) {
      var cuts = tensor.shape.map { _ in 1 }
      if isStacked, name.hasPrefix("decoder.layers.") { cuts[0] = model.layers }
      if let axis = DistributedWorld.axis(of: name) { cuts[cuts.count - axis] = ranks }
      writer.add(name, tensor.shape, tensor.values, cuts: cuts)
    }
    writer.values.append(("common_state/shard_0_1", DistributedWorld.state(model, ranks: ranks)))
  }

  /// The folder of the step.
  var path: FilePath { folder.path.appending("iter_0000007") }

  /// Writes it and converts it.
  func convert(_ settings: [String] = []) throws -> EdgeOutcome {
    try write()
    return try ConversionTests.convert(path, settings)
  }

  func write() throws { try writer.write(to: folder, "iter_0000007") }

  /// The last or the last but one axis of a tensor that ranks cut, counted from the end.
  private static func axis(of key: String) -> Int? {
    if key.hasSuffix("word_embeddings.weight") || key == "output_layer.weight" { return 2 }
    if key.hasSuffix("linear_qkv.weight") || key.hasSuffix("linear_fc1.weight") { return 2 }
    if key.hasSuffix("linear_qkv.bias") || key.hasSuffix("linear_fc1.bias") { return 1 }
    if key.hasSuffix("linear_proj.weight") || key.hasSuffix("linear_fc2.weight") { return 1 }
    return nil
  }

  /// The tensors of a model by Megatron-core's keys.
  static func tensors(
    of model: TestModel, isStacked: Bool
  ) -> [(name: String, tensor: TestTensor)] {
    func ours(_ name: String) -> TestTensor? {
      model.shard(name, rank: 0, of: 1, order: .heads3HN)
    }
    var result: [(name: String, tensor: TestTensor)] = []
    for name in ["embedding.word_embeddings.weight", "embedding.position_embeddings.weight"] {
      if let tensor = ours(name) { result.append((name, tensor)) }
    }
    for (our, core) in names {
      for kind in ["weight", "bias"] {
        let blocks = (0..<model.layers).compactMap { ours("layers.\($0).\(our)\(kind)") }
        guard let first = blocks.first else { continue }
        if isStacked {
          result.append(
            (
              "decoder.layers.\(core)\(kind)",
              TestTensor([blocks.count] + first.shape, blocks.flatMap(\.values))
            ))
        } else {
          for (layer, block) in blocks.enumerated() {
            result.append(("decoder.layers.\(layer).\(core)\(kind)", block))
          }
        }
      }
    }
    for kind in ["weight", "bias"] {
      if let tensor = ours("final_layernorm.\(kind)") {
        result.append(("decoder.final_layernorm.\(kind)", tensor))
      }
    }
    if let head = ours("output_layer.weight") { result.append(("output_layer.weight", head)) }
    return result
  }

  /// What `common_state` says: a list of one dictionary.
  private static func state(_ model: TestModel, ranks: Int) -> PickleWriter {
    var pickle = PickleWriter()
    pickle.code("](")
    pickle.dict { state in
      state.string("args")
      state.object(("argparse", "Namespace")) { arguments in
        for (key, value) in [
          ("num_layers", model.layers), ("hidden_size", model.hidden),
          ("num_attention_heads", model.heads), ("ffn_hidden_size", model.feedForward),
          ("max_position_embeddings", model.positions), ("padded_vocab_size", model.vocabulary),
          ("tensor_model_parallel_size", ranks), ("pipeline_model_parallel_size", 1),
          ("num_query_groups", 1),
        ] {
          arguments.string(key)
          arguments.int(value)
        }
        for (key, value) in [
          ("bias_gelu_fusion", true), ("openai_gelu", false), ("add_position_embedding", true),
          ("group_query_attention", false), ("swiglu", false), ("add_bias_linear", true),
        ] {
          arguments.string(key)
          arguments.bool(value)
        }
        for (key, value) in [
          ("position_embedding_type", "learned_absolute"), ("normalization", "LayerNorm"),
          ("transformer_impl", "local"),
        ] {
          arguments.string(key)
          arguments.string(value)
        }
        arguments.string("layernorm_epsilon")
        arguments.double(1e-5)
      }
      state.string("checkpoint_version")
      state.double(3)
      state.string("iteration")
      state.int(7)
    }
    pickle.code("e")
    return pickle
  }
}
