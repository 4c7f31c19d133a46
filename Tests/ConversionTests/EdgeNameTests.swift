import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import Megatron

/// The same model under other names, in other places, and with what does not belong to it.
@Suite struct EdgeNameTests {
  /// Names of other ages and implementations, by what they are replaced with.
  static let ages: [(age: String, changes: [(String, String)])] = [
    (
      "norms, 2023",
      [
        ("input_layernorm.", "input_norm."), ("post_attention_layernorm.", "post_attention_norm."),
        ("final_layernorm.", "final_norm."),
      ]
    ),
    ("transformer, 2019", [("encoder.", "transformer."), ("self_attention.", "attention.")]),
    (
      "Transformer Engine",
      [
        ("input_layernorm.", "self_attention.layernorm_qkv.layer_norm_"),
        ("self_attention.query_key_value.", "self_attention.layernorm_qkv."),
        ("self_attention.dense.", "self_attention.proj."),
        ("post_attention_layernorm.", "layernorm_mlp.layer_norm_"),
        ("mlp.dense_h_to_4h.", "layernorm_mlp.fc1_"), ("mlp.dense_4h_to_h.", "layernorm_mlp.fc2_"),
      ]
    ),
    (
      "Megatron-core, local",
      [
        ("language_model.encoder.", "decoder."), ("language_model.", ""),
        ("self_attention.query_key_value.", "self_attention.linear_qkv."),
        ("self_attention.dense.", "self_attention.linear_proj."),
        ("post_attention_layernorm.", "pre_mlp_layernorm."),
        ("mlp.dense_h_to_4h.", "mlp.linear_fc1."), ("mlp.dense_4h_to_h.", "mlp.linear_fc2."),
      ]
    ),
    (
      "Megatron-core, fused",
      [
        ("language_model.encoder.", "decoder."), ("language_model.", ""),
        ("input_layernorm.", "self_attention.linear_qkv.layer_norm_"),
        ("self_attention.query_key_value.", "self_attention.linear_qkv."),
        ("self_attention.dense.", "self_attention.linear_proj."),
        ("post_attention_layernorm.", "mlp.linear_fc1.layer_norm_"),
        ("mlp.dense_h_to_4h.", "mlp.linear_fc1."), ("mlp.dense_4h_to_h.", "mlp.linear_fc2."),
      ]
    ),
  ]

  private func renamed(_ changes: [(String, String)]) -> (String) -> String {
    { name in
      changes.reduce(RankWriter.classic(name)) { name, change in
        name.replacing(change.0, with: change.1, maxReplacements: 1)
      }
    }
  }

  @Test(arguments: ages.indices, [1, 2]) func namesOfOtherAgesAreTheSameModel(
    age: Int, ranks: Int
  ) throws {
    var writer = RankWriter()
    writer.ranks = ranks
    writer.name = renamed(EdgeNameTests.ages[age].changes)
    let outcome = try convert(writer)
    #expect(
      outcome.isExactly(TestModel()),
      "\(EdgeNameTests.ages[age].age): \(outcome.status) \(outcome.text)")
  }

  /// Megatron-core names the copy of the embedding on the last stage like a head of its own.
  @Test(arguments: [true, nil] as [Bool?])
  func theCopyOfTheEmbeddingOnTheLastStageIsNoHead(isSaid: Bool?) throws {
    let model = TestModel()
    let words = try #require(model.tensors["embedding.word_embeddings.weight"]?.values)
    func outcome(_ head: [Float]) throws -> EdgeOutcome {
      let folder = try TemporaryFolder()
      try folder.write("latest_checkpointed_iteration.txt", Array("10".utf8))
      let core = renamed(EdgeNameTests.ages[3].changes)
      for stage in 0..<2 {
        var writer = RankWriter(model)
        writer.arguments["pipeline_model_parallel_size"] = { $0.int(2) }
        if isSaid != nil {
          writer.arguments["untie_embeddings_and_output_weights"] = { $0.bool(false) }
        }
        writer.keeps = { name in
          name.hasPrefix("layers.")
            ? name.hasPrefix("layers.\(stage).") : name.hasPrefix("embedding") == (stage == 0)
        }
        writer.name = { core($0).replacing("layers.1.", with: "layers.0.") }
        if stage == 1 {
          writer.extras = { pickle in
            pickle.string("output_layer.weight")
            pickle.tensor(
              "FloatStorage", key: "head", count: head.count, offset: 0,
              sizes: [model.vocabulary, model.hidden], strides: [model.hidden, 1])
            return [("head", head.flatMap { little(Int($0.bitPattern), 4) })]
          }
        }
        try folder.write("iter_0000010/mp_rank_00_00\(stage)/model_optim_rng.pt", writer.file(0))
      }
      return try convert(folder.path)
    }
    let tied = try outcome(words)
    #expect(tied.isExactly(model), "\(tied.text)")
    #expect(tied.tensors["lm_head.weight"] == nil)
    let other = try outcome(words.map { -$0 })
    if isSaid == nil {
      #expect(other.tensors["lm_head.weight"] == words.map { -$0 }, "\(other.text)")
    } else {
      // It is said to be a copy, and is none.
      #expect(other.status != "ok" || other.codes.contains { $0.hasPrefix("replicas/") })
    }
  }

  @Test func namesOfMegatronCoreHaveOneOrderWhateverTheVersion() throws {
    var writer = RankWriter()
    writer.version = nil
    writer.name = renamed(EdgeNameTests.ages[3].changes)
    let outcome = try convert(writer)
    #expect(outcome.isExactly(TestModel()))
    #expect(outcome.warnings.isEmpty)
  }

  @Test(arguments: [
    "_forward_module.", "module._orig_mod.", "_orig_mod.module.module.", "base_model.model.",
    "module.base_model.model.model.", "_fsdp_wrapped_module._orig_mod.",
  ]) func prefixesOfWrappersAreStripped(prefix: String) throws {
    var writer = RankWriter()
    writer.name = { prefix + RankWriter.classic($0) }
    #expect(try convert(writer).isExactly(TestModel()))
  }

  @Test(arguments: ["_checkpoint_wrapped_module.", "_fsdp_wrapped_module.", "module."])
  func wrappersInsideOfALayerAreStripped(part: String) throws {
    var writer = RankWriter()
    writer.name = { RankWriter.classic($0).replacing(".mlp.", with: ".\(part)mlp.") }
    #expect(try convert(writer).isExactly(TestModel()))
  }

  @Test(arguments: ["student.", "gpt_model.net.", "0."])
  func whatAllNamesBeginWithIsLeftOutAndSaid(front: String) throws {
    var writer = RankWriter()
    writer.name = { front + RankWriter.classic($0) }
    let outcome = try convert(writer)
    #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
    #expect(outcome.decision("name_prefix") == front)
  }

  @Test func theWeightsOfAnAdapterAreRefused() throws {
    var writer = RankWriter()
    writer.name = {
      "base_model.model."
        + RankWriter.classic($0).replacing(
          "mlp.dense_h_to_4h.weight", with: "mlp.dense_h_to_4h.lora_A.weight")
    }
    let outcome = try convert(writer)
    #expect(outcome.status == "69 model/adapter")
    #expect(outcome.text.contains("merge"))
  }

  // MARK: - Places

  @Test(arguments: ["state_dict", "model_state_dict", "net", "weights"])
  func theWeightsAreFoundUnderAnyKey(key: String) throws {
    var writer = RankWriter()
    writer.key = key
    let outcome = try convert(writer)
    #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
    #expect(outcome.decision("state_dict") == key)
  }

  @Test func theWeightsAreFoundAsTheRootAndInAList() throws {
    var root = RankWriter()
    root.key = nil
    let settings = ["num_attention_heads=4", "bias_gelu_fusion=true", "checkpoint_version=3"]
    let outcome = try convert(root, settings)
    #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
    #expect(outcome.codes.contains("arguments/absent"))
    var list = RankWriter()
    list.key = "model"
    list.wrap = { pickle, body in
      pickle.code("](")
      body(&pickle)
      pickle.code("e")
    }
    #expect(try convert(list).isExactly(TestModel()))
    var deep = RankWriter()
    deep.key = "states"
    deep.wrap = { pickle, body in
      pickle.dict { pickle in
        pickle.string("best")
        body(&pickle)
      }
    }
    #expect(try convert(deep).decision("state_dict") == "states.best")
  }

  /// Left out, a bias would count as one that the model does not have, and be written as zeros.
  @Test(arguments: ["weight", "bias"]) func weightsThatAreNoTensorsAreRefusedByName(
    kind: String
  ) throws {
    var writer = RankWriter()
    writer.keeps = { !$0.hasSuffix("dense.\(kind)") }
    writer.extras = { pickle in
      for layer in 0..<TestModel().layers {
        pickle.string("language_model.encoder.layers.\(layer).self_attention.dense.\(kind)")
        pickle.global("numpy.core.multiarray", "_reconstruct")
        pickle.tuple { $0.int(0) }
        pickle.code("R")
      }
      return []
    }
    let outcome = try convert(writer)
    #expect(outcome.status == "65 tensor/other-kind")
    #expect(outcome.text.contains("\"numpy.core.multiarray._reconstruct\""))
    #expect(outcome.text.contains("self_attention.dense.\(kind)"))
  }

  /// Arguments and weights side by side, one dictionary further in.
  @Test(arguments: [["checkpoint"], ["state", "last"]])
  func aWholeFileInsideOfAnotherDictionaryIsFound(keys: [String]) throws {
    var writer = RankWriter()
    writer.outer = keys
    let outcome = try convert(writer)
    #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
    #expect(!outcome.codes.contains("arguments/absent"))
    #expect(outcome.decision("state_dict") == keys.joined(separator: "."))
  }

  @Test func aFileWithoutWeightsSaysWhatItHolds() throws {
    var writer = RankWriter()
    writer.key = "weights_are_elsewhere"
    writer.keeps = { _ in false }
    let outcome = try convert(writer)
    #expect(outcome.status == "65 checkpoint/no-weights")
    #expect(outcome.text.contains("\"weights_are_elsewhere\""))
  }

  // MARK: - What does not belong to the model

  /// Further entries of the dictionary of weights: name, class of the storage, shape, bytes of an
  /// element, and the byte that each of them consists of, by its position.
  private func extra(
    _ name: String, _ type: String, _ shape: [Int], _ size: Int, strides: [Int]? = nil,
    byte: @escaping (Int) -> UInt8 = { _ in 1 }
  ) -> (inout PickleWriter) -> [(key: String, bytes: [UInt8])] {
    { pickle in
      let count = shape.reduce(1, *)
      pickle.string(name)
      var dense = [Int](repeating: 1, count: shape.count)
      for axis in shape.indices.dropLast().reversed() {
        dense[axis] = dense[axis + 1] * shape[axis + 1]
      }
      pickle.tensor(
        type, key: "extra", count: count, offset: 0, sizes: shape, strides: strides ?? dense)
      return [("extra", (0..<count * size).map { byte($0 / size) })]
    }
  }

  @Test func bookkeepingIsPassedOver() throws {
    for extra in [
      extra("language_model.encoder.layers.0.self_attention._extra_state", "ByteStorage", [7], 1),
      extra(
        "language_model.encoder.layers.1.self_attention.core_attention._extra_state", "ByteStorage",
        [0], 1),
      extra(
        "language_model.encoder.layers.0.self_attention.bias", "BoolStorage", [1, 1, 5, 5], 1,
        byte: { $0 % 5 <= $0 / 5 ? 1 : 0 }),
      extra(
        "language_model.encoder.layers.0.self_attention.attn_mask", "FloatStorage", [1, 5, 5], 4,
        byte: { $0 % 5 <= $0 / 5 ? 0 : 0xC6 }),
      extra("language_model.encoder.layers.0.attention.masked_bias", "FloatStorage", [], 4),
      extra(
        "language_model.encoder.layers.0.self_attention.causal_mask", "ByteStorage", [5, 5], 1,
        byte: { $0 % 5 > $0 / 5 ? 1 : 0 }),
      extra("language_model.embedding.position_ids", "LongStorage", [1, 5], 8),
    ] {
      var writer = RankWriter()
      writer.extras = extra
      let folder = try TemporaryFolder()
      try writer.write(to: folder)
      let outcome = try convert(folder.path)
      #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
      #expect(try index(folder.path).passedOver.count == 1)
    }
  }

  /// What the program makes again is made in float32: angles of 16 bits were others.
  @Test(arguments: [("HalfStorage", true), ("BFloat16Storage", true), ("FloatStorage", false)])
  func frequenciesOfSixteenBitsAreSaid(storage: String, isSaid: Bool) throws {
    var writer = RankWriter()
    writer.extras = extra(
      "language_model.encoder.layers.0.self_attention.rotary_emb.inv_freq", storage, [4],
      isSaid ? 2 : 4)
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    let codes = try index(folder.path).warnings.map(\.code)
    #expect(codes.contains(.rotaryPrecision) == isSaid)
  }

  /// A prefix of three positions, a window of two, and attention to everything.
  static let masks: [(looks: @Sendable (Int, Int) -> Bool, words: String)] = [
    ({ row, column in column <= row || column < 3 }, "position 0 looks at position 1"),
    (
      { row, column in column <= row && column >= row - 1 },
      "position 2 does not look at position 0"
    ),
    ({ _, _ in true }, "position 0 looks at position 1"),
  ]

  @Test(arguments: masks.indices, [("bias", "BoolStorage", 1), ("causal_mask", "FloatStorage", 4)])
  func aMaskThatIsNotCausalIsRefused(
    mask: Int, buffer: (name: String, type: String, size: Int)
  ) throws {
    let (looks, words) = EdgeNameTests.masks[mask]
    var writer = RankWriter()
    writer.extras = extra(
      "language_model.encoder.layers.1.attention.\(buffer.name)", buffer.type, [1, 1, 5, 5],
      buffer.size, byte: { looks($0 / 5, $0 % 5) ? 1 : 0 })
    let refused = try convert(writer)
    #expect(refused.status == "69 model/attention-mask")
    for words in [words, buffer.name, "--set pretrain_causal_attention=true"] {
      #expect(refused.text.contains(words), "\(refused.text)")
    }
    // What the checkpoint says of its mask does not make it another one.
    for said in [true, false] {
      writer.arguments["pretrain_causal_attention"] = { $0.bool(said) }
      #expect(try convert(writer).status == "69 model/attention-mask")
    }
    let forced = try convert(writer, ["pretrain_causal_attention=true"])
    #expect(forced.isExactly(TestModel()), "\(forced.text)")
  }

  @Test func aTensorThatCouldMatterIsNotPassedOver() throws {
    for extra in [
      extra("language_model.encoder.layers.0.self_attention.gate", "FloatStorage", [8], 4),
      extra("language_model.encoder.layers.0.mask_scale.weight", "FloatStorage", [8, 8], 4),
    ] {
      var writer = RankWriter()
      writer.extras = extra
      #expect(try convert(writer).status == "65 checkpoint/unknown-tensor")
    }
  }

  @Test func aModelWithoutAnyLinearBiasHasZeros() throws {
    for arguments in [["use_bias"], ["add_bias_linear"], []] as [[String]] {
      var writer = RankWriter()
      writer.keeps = { !$0.hasSuffix(".bias") || $0.contains("layernorm") }
      for key in arguments { writer.arguments[key] = { $0.bool(false) } }
      let outcome = try convert(writer)
      #expect(outcome.status == "ok", "\(outcome.text)")
      #expect(outcome.tensors["transformer.h.1.mlp.c_fc.bias"]?.allSatisfy { $0 == 0 } == true)
      #expect(outcome.decision("linear_biases") == "zeros")
    }
  }

  @Test func oneBiasThatIsMissingStaysAnError() throws {
    var writer = RankWriter()
    writer.keeps = { $0 != "layers.1.mlp.dense_4h_to_h.bias" }
    let one = try convert(writer)
    #expect(one.status == "65 checkpoint/missing-tensor")
    #expect(one.text.contains("1 of 2 blocks"))
    var kind = RankWriter()
    kind.keeps = { !$0.hasSuffix("mlp.dense_4h_to_h.bias") }
    #expect(try convert(kind).status == "65 checkpoint/missing-tensor")
    var said = RankWriter()
    said.keeps = { !$0.hasSuffix(".bias") || $0.contains("layernorm") }
    said.arguments["add_bias_linear"] = { $0.bool(true) }
    let outcome = try convert(said)
    #expect(outcome.status == "78 arguments/contradiction")
    #expect(outcome.text.contains("--set add_bias_linear=false"))
  }

  // MARK: - Functions of other libraries

  static let npu = ("torch_npu.utils.storage", "_rebuild_npu_tensor")

  @Test func tensorsOfOtherLibrariesAreReadAsTheViewsThatTheyAre() throws {
    for function in [
      EdgeNameTests.npu, ("torch_xyz._utils", "rebuild"), ("torch._utils", "_rebuild_tensor_v9"),
    ] {
      for name in ["layers.0.mlp.dense_h_to_4h.bias", "embedding.word_embeddings.weight"] {
        var writer = RankWriter()
        writer.function = { $0 == name ? function : ("torch._utils", "_rebuild_tensor_v2") }
        writer.more = { _ in }
        let outcome = try convert(writer)
        #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
        #expect(outcome.codes.contains("tensor/foreign-function"))
        #expect(outcome.warnings.contains { $0.message.contains("\(function.0).\(function.1)") })
      }
    }
  }

  @Test func oneThatIsNoPlainViewIsRefusedByTheNameOfItsFunction() throws {
    for more in [
      { (pickle: inout PickleWriter) in pickle.ints([29, 1]) },
      { (pickle: inout PickleWriter) in
        pickle.dict { pickle in
          pickle.string("scale")
          pickle.double(0.5)
        }
      },
    ] {
      var writer = RankWriter()
      writer.function = { _ in EdgeNameTests.npu }
      writer.more = more
      let outcome = try convert(writer)
      #expect(outcome.status == "69 unsupported/rebuild-function")
      #expect(outcome.text.contains("\"torch_npu.utils.storage._rebuild_npu_tensor\""))
    }
  }
}
