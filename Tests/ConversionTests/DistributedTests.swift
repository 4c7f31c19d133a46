import Architectures
import Diagnostics
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import DistributedCheckpoint
@testable import HuggingFace
@testable import Megatron

/// Checkpoints of Megatron-core and of `torch.distributed.checkpoint`.
@Suite struct DistributedTests {
  // MARK: - Genuine ones

  @Test(
    arguments: [
      "mcore020_tp2pp2_bf16", "mcore020_tp2dp2_bf16_te_do_dpr",
      "mcore020_tp2dp2_bf16_do_dpr_buckets", "mcore012_tp2dp2_bf16_do_fsms",
      "mcore012_tp2dp2_bf16_do_zero", "mcore008_tp2_bf16_zarr", "mcore020_fsdp2_bf16_torchdcp",
      "mcore020_mfsdp2_bf16_fsdpdtensor", "mcore020_tp2_fp32_te_ln1p",
      "mcore020_tp2dp2_bf16_perrank_do", "mcore020_tp2pp2_bf16_te_perrank", "dcp_dtensor2",
      "dcp_safetensors2", "dcp_hf_sharded2",
    ])
  func aGenuineCheckpointGivesTheTensorsThatWereTrained(dump: String) throws {
    let world = try TemporaryFolder()
    let settings = dump.hasPrefix("dcp") ? ["num_attention_heads=4"] : []
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"), settings)
    _ = try Conversion(of: checkpoint).run(to: world.path.appending("out"))
    #expect(try digests(world.path.appending("out")) == expectedDigests(dump))
  }

  @Test(
    arguments: [
      "mcore020_tp2pp2_bf16", "mcore020_tp2dp2_bf16_te_do_dpr",
      "mcore020_tp2dp2_bf16_do_dpr_buckets", "mcore012_tp2dp2_bf16_do_fsms",
      "mcore012_tp2dp2_bf16_do_zero", "mcore008_tp2_bf16_zarr",
      "mcore020_mfsdp2_bf16_fsdpdtensor", "mcore020_tp2_fp32_te_ln1p",
      "mcore020_tp2dp2_bf16_perrank_do", "mcore020_tp2pp2_bf16_te_perrank",
    ])
  func theirMastersAreThoseOfTheOptimizer(dump: String) throws {
    let world = try TemporaryFolder()
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"), weights: .fp32Master)
    let result = try Conversion(of: checkpoint).run(to: world.path.appending("out"))
    #expect(!result.warnings.map(\.code).contains(.mastersDiffer))
    #expect(
      try digests(world.path.appending("out")) == expectedDigests(dump, "expected_fp32.json"))
  }

  /// `torch_dcp` and the files of ranks have masters in lists without names: one in the place of
  /// another of its shape would be a wrong number, so all of them must be the weights.
  @Test(arguments: ["mcore020_fsdp2_bf16_torchdcp", "mcore020_tp2pp2_bf16_te_perrank"])
  func mastersInListsAreTheWeightsWhenTheyAreRounded(dump: String) throws {
    let world = try TemporaryFolder()
    let checkpoint = try index(
      fixture("dumps/\(dump)/ckpt"), weights: .fp32Master)
    let result = try Conversion(of: checkpoint).run(to: world.path.appending("out"))
    #expect(!result.warnings.map(\.code).contains(.mastersDiffer))
    #expect(checkpoint.mustMastersFit)
  }

  /// Files of safetensors with parts of tensors, each name in several of them.
  @Test func shardsForHuggingFaceAreNoConvertedFolder() throws {
    #expect(try ComparedModel.kind(of: fixture("dumps/dcp_hf_sharded2/ckpt")) == .checkpoint)
  }

  @Test func aCompressedOneIsRefusedByTheNameOfItsCompression() throws {
    let refusal = #expect(throws: Failure.self) {
      try index(fixture("dumps/dcp_zstd2/ckpt"), ["num_attention_heads=4"])
    }
    #expect(refusal?.code == .distributedTransform)
    #expect(refusal?.message.contains("stream.zstd/1") == true)
  }

  // MARK: - Made ones

  @Test(arguments: [1, 2, 4], [true, false])
  func everyElementLandsInItsPlace(ranks: Int, isStacked: Bool) throws {
    let world = try DistributedWorld(ranks: ranks, isStacked: isStacked)
    let outcome = try world.convert()
    #expect(outcome.isExactly(world.model), "\(outcome.status) \(outcome.text)")
  }

  /// FSDP cuts rows wherever its buckets end, even in the middle of a head.
  @Test(arguments: [[1, 1], [5, 1], [3, 3], [1, 4], [24, 8]])
  func chunksMayBeCutAnywhere(cuts: [Int]) throws {
    var world = try DistributedWorld(isStacked: false)
    for index in world.writer.tensors.indices
    where world.writer.tensors[index].shape.count == 2 {
      let tensor = world.writer.tensors[index]
      let values =
        DistributedWorld.tensors(of: world.model, isStacked: false)
        .first { $0.name == tensor.name }?.tensor.values ?? []
      world.writer.tensors[index].chunks = uneven(tensor.shape, values, cuts)
    }
    let outcome = try world.convert()
    #expect(outcome.isExactly(world.model), "\(outcome.status) \(outcome.text)")
  }

  /// The boxes of a matrix that is cut into parts of growing sizes along both axes.
  private func uneven(
    _ shape: [Int], _ values: [Float], _ cuts: [Int]
  ) -> [DistributedWriter.Chunk] {
    let bounds = zip(shape, cuts).map { size, count in
      [0] + (1..<max(1, min(count, size))).map { $0 * $0 * size / (count * count) } + [size]
    }
    var chunks: [DistributedWriter.Chunk] = []
    for (top, bottom) in zip(bounds[0], bounds[0].dropFirst()) where top < bottom {
      for (left, right) in zip(bounds[1], bounds[1].dropFirst()) where left < right {
        let inner = (top..<bottom).flatMap { row in
          (left..<right).map { values[row * shape[1] + $0] }
        }
        chunks.append(
          .init(
            [top, left], [bottom - top, right - left], inner,
            in: "__\(chunks.count % 3)_0.distcp"))
      }
    }
    return chunks.reversed()
  }

  /// Names of transformers: linear layers lie the other way round, and heads in thirds.
  @Test(arguments: ["model.transformer.", "app.model.transformer.", "state_dict.model.", "net."])
  func aStateDictionaryOfTransformersIsTakenAsItIs(front: String) throws {
    let model = TestModel()
    let folder = try TemporaryFolder()
    var writer = DistributedWriter()
    for rule in GPT2Rules.table.applied(blocks: model.layers, exists: { _ in false }) {
      guard let tensor = model.expected(rule.source) else { continue }
      writer.add(
        "\(front)\(rule.target)", tensor.shape, tensor.values,
        cuts: tensor.shape.map { $0 % 2 == 0 ? 2 : 1 })
    }
    writer.add("optim.state.\(front)h.0.ln_1.weight.exp_avg", [8], Array(repeating: 1, count: 8))
    writer.add("iteration", [1], [7])
    try writer.write(to: folder, "step")
    let outcome = try convert(folder.path.appending("step"), ["num_attention_heads=4"])
    #expect(outcome.isExactly(model), "\(outcome.status) \(outcome.text)")
    #expect(outcome.decision("qkv_layout") == "thirds")
  }

  // MARK: - Arguments

  @Test func oneQueryGroupCountsOnlyWithGroupedAttention() throws {
    let world = try DistributedWorld()
    #expect(try world.convert().status == "ok")
    #expect(try world.convert(["group_query_attention=true"]).status == "69 model/grouped-query")
  }

  @Test func theDegreesOfParallelismNeedNotFitTheFiles() throws {
    let world = try DistributedWorld(ranks: 4)
    let outcome = try world.convert(["tensor_model_parallel_size=4"])
    #expect(outcome.isExactly(world.model), "\(outcome.status) \(outcome.text)")
    try world.write()
    #expect(try index(world.path).trainedTensorParallel == 4)
  }

  /// The trainer has more arguments than Megatron-core reads.
  @Test(
    arguments: [
      (["bias_gelu_fusion=true", "onnx_safe=true"], "gelu_fast"),
      (["bias_gelu_fusion=false", "openai_gelu=true"], "gelu"),
      (["bias_gelu_fusion=false", "use_te_activation_func=true"], "gelu_fast"),
    ])
  func theActivationIsTheOneOfTheCore(settings: [String], name: String) throws {
    let world = try DistributedWorld()
    try world.write()
    let plan = try Planner.plan(index(world.path, settings))
    #expect(plan.activation?.text == name)
  }

  @Test(
    arguments: [
      ("spec=mine", "69 model/layers"), ("enable_mhc_connections=true", "69 model/residual"),
      ("multi_modal=true", "69 model/layers"),
    ])
  func whatNoTensorShowsIsRefusedByItsArgument(setting: String, code: String) throws {
    let world = try DistributedWorld()
    #expect(try world.convert([setting]).status == code)
  }

  @Test func aModelOfModelOptimizerIsRefusedWhereverItShows() throws {
    for mark in ["iter_0000007/modelopt_state/x", "iter_0000007/modelopt_run_config.yaml"] {
      let world = try DistributedWorld()
      try world.folder.write(mark, [1])
      #expect(try world.convert().status == "69 model/modelopt", "\(mark)")
    }
    var world = try DistributedWorld()
    world.writer.add("decoder.layers.0.mlp.linear_fc1.weight_quantizer._amax", [1], [1])
    #expect(try world.convert().status == "69 model/modelopt")
  }

  /// `add_qkv_bias` is True by itself wherever there are biases at all.
  @Test func biasesThatAreLostAreNotZeros() throws {
    var world = try DistributedWorld()
    world.writer.tensors.removeAll { tensor in
      ["linear_proj.bias", "linear_fc1.bias", "linear_fc2.bias"].contains {
        tensor.name.hasSuffix($0)
      }
    }
    #expect(
      try world.convert(["add_qkv_bias=true"]).status == "65 checkpoint/missing-tensor")
  }

  @Test func aSumThatIsRoundedIsSaid() throws {
    let dump = fixture("dumps/mcore020_tp2pp2_bf16/ckpt")
    let setting = ["layernorm_zero_centered_gamma=true"]
    let rounded = try Planner.plan(index(dump, setting))
    #expect(rounded.warnings.map(\.code).contains(.normRounded))
    var options = ConversionOptions()
    options.dtype = .f32
    let exact = try Planner.plan(index(dump, setting), options: options)
    #expect(!exact.warnings.map(\.code).contains(.normRounded))
  }

  @Test func buffersThatTransformersMakesAgainArePassedOver() throws {
    let model = TestModel()
    let folder = try TemporaryFolder()
    var writer = DistributedWriter()
    for rule in GPT2Rules.table.applied(blocks: model.layers, exists: { _ in false }) {
      guard let tensor = model.expected(rule.source) else { continue }
      writer.add("transformer.\(rule.target)", tensor.shape, tensor.values)
    }
    writer.add("transformer.h.0.attn.bias", [1, 1, 2, 2], [1, 0, 1, 1])
    try writer.write(to: folder, "step")
    let outcome = try convert(folder.path.appending("step"), ["num_attention_heads=4"])
    #expect(outcome.isExactly(model), "\(outcome.status) \(outcome.text)")
  }
}
