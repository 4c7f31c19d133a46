import Architectures
import ByteIO
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// One model in every layout, written by `Tests/Fixtures/make/layouts.py` with real PyTorch in the
/// form of each trainer. These are no genuine dumps; `GenuineDumpTests` has those that there are.
@Suite struct LayoutTests {
  struct Layout: CustomStringConvertible {
    let name: String
    let layout: CheckpointLayout
    let qkv: QKVOrder
    /// Whether there are float32 masters.
    var hasMasters = true
    /// What the checkpoint does not say.
    var settings: [String] = []

    var description: String { name }
  }

  static let layouts: [Layout] = [
    Layout(name: "pipeline_undivided_tp2pp2", layout: .deepspeedPipeline, qkv: .heads3HN),
    Layout(name: "pipeline_zero1_tp2pp2dp2", layout: .deepspeedPipeline, qkv: .heads3HN),
    Layout(name: "pipeline_zero1_walked_tp1pp2dp3", layout: .deepspeedPipeline, qkv: .heads3HN),
    Layout(name: "pipeline_zero1_dict_tp2pp1dp2", layout: .deepspeedPipeline, qkv: .heads3HN),
    Layout(name: "universal_zero3_tp1", layout: .universal, qkv: .heads3HN),
    Layout(name: "deepspeed_nested_tp2", layout: .deepspeed, qkv: .heads3HN, hasMasters: false),
    Layout(name: "deepspeed_flat_tp4", layout: .deepspeed, qkv: .heads3HN, hasMasters: false),
    Layout(name: "zero3_tp2dp3", layout: .deepspeedZero3, qkv: .heads3HN),
    Layout(name: "universal_tp2", layout: .universal, qkv: .heads3HN),
    Layout(name: "universal_thirds_tp4", layout: .universal, qkv: .thirds),
    Layout(name: "classic_tp2pp2", layout: .classic, qkv: .heads3HN),
    Layout(name: "classic_virtual_tp1pp2", layout: .classic, qkv: .heads3HN),
    Layout(name: "classic_version1_tp2", layout: .classic, qkv: .headsHN3),
    Layout(name: "classic_window_tp2", layout: .classic, qkv: .heads3HN),
    Layout(name: "classic_2020_tp2", layout: .classic, qkv: .thirds),
    Layout(
      name: "classic_2019_flat_tp1", layout: .classic, qkv: .thirds, hasMasters: false,
      settings: ["num_attention_heads=4"]),
    Layout(
      name: "classic_release_345m", layout: .classic, qkv: .thirds,
      settings: ["num_attention_heads=4"]),
  ]

  private func convert(
    _ layout: Layout, _ weights: WeightSource, _ dtype: DType, to folder: TemporaryFolder
  ) throws -> (bytes: [UInt8], result: Conversion.Result) {
    let index = try index(
      fixture("layouts/\(layout.name)"), layout.settings, weights: weights)
    #expect(index.folder.layout == layout.layout)
    var options = ConversionOptions()
    options.dtype = dtype
    let converter = try Conversion(of: index, options: options)
    #expect(converter.plan.qkv.layout == layout.qkv)
    let output = folder.path.appending("\(layout.name)-\(weights.rawValue)-\(dtype.rawValue)")
    let result = try converter.run(to: output)
    var verifier = try ModelVerifier(output: output)
    _ = try verifier.compare(with: index)
    #expect(verifier.faults.isEmpty)
    return (try bytes(of: output.appending("model.safetensors")), result)
  }

  @Test func oneModelGivesTheSameBytesWhicheverWayItComesIn() throws {
    let folder = try TemporaryFolder()
    let reference = try convert(LayoutTests.layouts[0], .model, .f16, to: folder).bytes
    for layout in LayoutTests.layouts.dropFirst() {
      #expect(try convert(layout, .model, .f16, to: folder).bytes == reference, "\(layout)")
    }
  }

  @Test func itsMastersGiveTheSameBytesToo() throws {
    let folder = try TemporaryFolder()
    let reference = try convert(LayoutTests.layouts[0], .fp32Master, .f32, to: folder).bytes
    for layout in LayoutTests.layouts.dropFirst() where layout.hasMasters {
      let (bytes, result) = try convert(layout, .fp32Master, .f32, to: folder)
      #expect(bytes == reference, "\(layout)")
      #expect(!result.warnings.contains { $0.code.name == "masters/differ" }, "\(layout)")
    }
    for layout in LayoutTests.layouts where !layout.hasMasters {
      #expect(
        failure { _ = try convert(layout, .fp32Master, .f32, to: folder) } == "66 masters/none")
    }
  }

  @Test func mastersInAnotherOrderThanIsRecordedAreRefused() throws {
    // DeepSpeed 0.4.0 to 0.4.3: the same number of elements in all, so nothing else shows it.
    let source = fixture("layouts/pipeline_zero1_swapped_tp1pp1dp2")
    let converter = try Conversion(of: index(source, weights: .fp32Master))
    let folder = try TemporaryFolder()
    #expect(failure { _ = try converter.compareMasters() } == "65 masters/mismatch")
    #expect(
      failure { _ = try converter.run(to: folder.path.appending("out")) } == "65 masters/mismatch")
    #expect(!FileSystem.exists(folder.path.appending("out")))
    #expect(failure { _ = try Conversion(of: index(source)) } == "none")
  }

  @Test func layernorm1PIsNoDifferenceOfTheMasters() throws {
    let source = fixture("layouts/pipeline_zero1_tp2pp2dp2")
    let converter = try Conversion(
      of: index(source, ["apply_layernorm_1p=true"], weights: .fp32Master))
    let comparison = try #require(try converter.compareMasters())
    #expect(comparison.differing.isEmpty)
    // The weights of nine layernorms are left out.
    #expect(comparison.compared == 43)
  }

  @Test func withoutAnyArgumentsOnlyClassicFilesMeanThirds() throws {
    let index = try index(fixture("layouts/deepspeed_nested_tp2")).changed {
      $0.arguments = .absent
      $0.checkpointVersion = nil
      $0.arguments.override(["num_attention_heads": .int(4)])
    }
    #expect(failure { _ = try Planner.plan(index) } == "78 qkv/ambiguous")
  }

  @Test func mastersOfAnotherStepAreReported() throws {
    let folder = try TemporaryFolder()
    let source = fixture("layouts/pipeline_undivided_tp2pp2")
    try copy(source, to: folder.path.appending("run"))
    // One bit of a flat group, with its CRC: the masters lie in storages that no weight is on.
    let name = "run/global_step7/mp_rank_00_model_states.pt"
    var bytes = try bytes(of: folder.path.appending(name))
    let entry = try #require(
      TestZip.entries(of: bytes).first { $0.name.hasSuffix("data/0") && $0.size > 64 })
    bytes[entry.offset + 3] ^= 0x40
    TestZip.mend(&bytes, entry)
    try folder.write(name, bytes)
    let converter = try Conversion(of: index(folder.path.appending("run"), weights: .fp32Master))
    let comparison = try #require(try converter.compareMasters())
    #expect(comparison.differing == ["transformer.wte.weight"])
    let result = try converter.run(to: folder.path.appending("out"))
    #expect(result.warnings.filter { $0.code.name == "masters/differ" }.count == 1)
  }

  @Test func aMissingShardOfTheOptimizerIsNamed() throws {
    for (layout, name) in [
      ("pipeline_zero1_tp2pp2dp2", "zero_pp_rank_1_mp_rank_02_optim_states.pt"),
      ("pipeline_zero1_tp2pp2dp2", "zero_pp_rank_0_mp_rank_01_optim_states.pt"),
      ("zero3_tp2dp3", "zero_pp_rank_2_mp_rank_01_optim_states.pt"),
    ] {
      let folder = try TemporaryFolder()
      try copy(fixture("layouts/\(layout)"), to: folder.path.appending("run"))
      try remove(folder.path.appending("run/global_step7").appending(name))
      #expect(
        failure { _ = try index(folder.path.appending("run"), weights: .fp32Master) }
          == "65 checkpoint/missing-rank", "\(name)")
    }
  }

  @Test func severalLayoutsInOneFolderAreSettledByTheUser() throws {
    let folder = try TemporaryFolder()
    try copy(
      fixture("layouts/pipeline_undivided_tp2pp2/global_step7"), to: folder.path.appending("run"))
    try copy(
      fixture("layouts/universal_tp2/global_step7_universal/zero"),
      to: folder.path.appending("run/zero"))
    let run = folder.path.appending("run")
    #expect(failure { _ = try CheckpointFolder(scanning: run) } == "78 layout/several")
    for layout in [CheckpointLayout.deepspeedPipeline, .universal] {
      #expect(try CheckpointFolder(scanning: run, layout: layout).layout == layout)
    }
    #expect(
      failure { _ = try CheckpointFolder(scanning: run, layout: .classic) }
        == "78 layout/absent")
  }

  @Test func theFileOfASingleRankIsACheckpoint() throws {
    let file = fixture("layouts/classic_release_345m/release/mp_rank_00/model_optim_rng.pt")
    let converter = try Conversion(of: index(file, ["num_attention_heads=4"]))
    #expect(converter.plan.sizes.layers == 4)
    let layer = fixture(
      "layouts/pipeline_undivided_tp2pp2/global_step7/layer_03-model_00-model_states.pt")
    #expect(failure { _ = try index(layer) } == "66 checkpoint/part")
    let folder = try TemporaryFolder()
    let zip = try folder.write(
      "megatron_345m.zip", ZipWriter([.init("release/mp_rank_00/model_optim_rng.pt", [1])]).bytes)
    #expect(failure { _ = try index(zip) } == "65 format/nested-archive")
  }

  @Test func anIncompleteGridOfRanksIsNamed() throws {
    for missing in ["mp_rank_00_000", "mp_rank_01_001"] {
      let folder = try TemporaryFolder()
      try copy(fixture("layouts/classic_tp2pp2"), to: folder.path.appending("run"))
      try remove(folder.path.appending("run/iter_0000007").appending(missing))
      #expect(
        failure { _ = try index(folder.path.appending("run")) } == "65 checkpoint/missing-rank")
    }
  }

  @Test func aHeadThatIsNoCopyOfTheEmbeddingIsRefused() throws {
    let folder = try TemporaryFolder()
    try copy(fixture("layouts/classic_tp2pp2"), to: folder.path.appending("run"))
    // The last stage of another moment: its embedding is the first tensor of the model there.
    let name = "run/iter_0000007/mp_rank_00_001/model_optim_rng.pt"
    var bytes = try bytes(of: folder.path.appending(name))
    let index = try index(folder.path.appending("run"))
    let head = try #require(index.tensor("word_embeddings_for_head.weight")?.shards.first)
    guard case .whole(_, let tensor) = head.content else { return }
    let entry = try #require(
      TestZip.entries(of: bytes).first { $0.name == tensor.storage.entry.name })
    bytes[entry.offset] ^= 1
    TestZip.mend(&bytes, entry)
    try folder.write(name, bytes)
    let converter = try Conversion(of: ConversionTests.index(folder.path.appending("run")))
    #expect(
      failure { _ = try converter.run(to: folder.path.appending("out")) } == "65 head/differs")
  }

  @Test func layersThatShareTheirWeightsAreSpelledOut() throws {
    for (style, order) in [("grouped", [0, 1, 0, 1]), ("spaced", [0, 0, 1, 1])] {
      let source = fixture("layouts/classic_2020_tp2")
      var overrides = ArgumentOverrides()
      // The fixture has four layers; said to be those of a model of eight.
      try overrides.add(setting: "num_unique_layers=4")
      try overrides.add(setting: "num_layers=8")
      try overrides.add(setting: "param_sharing_style=\(style)")
      let index = try Checkpoint(
        reading: CheckpointFolder(scanning: source), overrides: overrides)
      #expect(index.blockCount == 8)
      let names = (0..<8).compactMap { layer in
        index.tensor("layers.\(layer).input_layernorm.weight")?.shards[0].key
      }
      let expected = style == "grouped" ? [0, 1, 2, 3, 0, 1, 2, 3] : [0, 0, 1, 1, 2, 2, 3, 3]
      #expect(names.map { Int($0.split(separator: ".")[3]) } == expected.map { Optional($0) })
      #expect(order.count == 4)
      #expect(try Planner.plan(index).sizes.layers == 8)
    }
  }

  /// Any run of positions in row-major order is covered by boxes, each position once.
  @Test func aRunIsCutIntoBoxes() {
    for sizes in [[7], [3, 4], [2, 3, 4], [1, 3, 1, 2], [2, 2, 2, 3]] {
      let count = sizes.reduce(1, *)
      for lower in 0...count {
        for upper in lower...count {
          var covered: [Int] = []
          for (origin, extent) in ElementBox.boxes(of: lower..<upper, in: sizes) {
            covered += positions(origin, extent, sizes)
          }
          #expect(covered.sorted() == Array(lower..<upper))
        }
      }
    }
  }

  private func positions(_ origin: [Int], _ extent: [Int], _ sizes: [Int]) -> [Int] {
    var result = [0]
    for axis in sizes.indices {
      result = result.flatMap { base in
        (0..<extent[axis]).map { base * sizes[axis] + origin[axis] + $0 }
      }
    }
    return result
  }
}

@Suite struct ConfigTests {
  /// One row an era: arguments, and the fields that follow.
  @Test func everyEraFillsTheConfiguration() throws {
    let rows: [(era: String, layout: String, settings: [String], fields: [String: JSONValue])] = [
      (
        "2019, no arguments", "classic_2019_flat_tp1", ["num_attention_heads=4"],
        ["activation_function": "gelu_fast", "n_inner": 16, "layer_norm_epsilon": 1e-05]
      ),
      (
        "2020, before fusion", "classic_2020_tp2", [],
        ["activation_function": "gelu", "n_inner": 16, "n_layer": 4]
      ),
      ("2020, version 1", "classic_version1_tp2", [], ["activation_function": "gelu_fast"]),
      (
        "2021, version 3", "classic_tp2pp2", [],
        [
          "activation_function": "gelu_fast", "n_head": 4, "n_embd": 8, "n_positions": 6,
          "n_ctx": 6,
          "vocab_size": 16, "attn_pdrop": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
          "initializer_range": 0.02, "tie_word_embeddings": true, "bos_token_id": nil,
          "dtype": "float16", "torch_dtype": "float16",
        ]
      ),
      (
        "other values", "classic_tp2pp2",
        [
          "hidden_dropout=0", "attention_dropout=0.25", "init_method_std=0.006",
          "layernorm_epsilon=1e-6", "bias_gelu_fusion=false",
        ],
        [
          "attn_pdrop": 0.25, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.006,
          "layer_norm_epsilon": 1e-06, "activation_function": "gelu",
        ]
      ),
      (
        "norm_epsilon of later Megatron", "zero3_tp2dp3",
        ["norm_epsilon=0.001", "layernorm_epsilon=None"],
        ["layer_norm_epsilon": 0.001, "dtype": "float32"]
      ),
    ]
    for row in rows {
      let config = try Conversion(of: index(fixture("layouts/\(row.layout)"), row.settings))
        .plan.configuration.config
      for (key, value) in row.fields { #expect(config[key] == value, "\(row.era): \(key)") }
      #expect(config.members.count == 29)
      #expect(config["scale_attn_by_inverse_layer_idx"] == false)
      #expect(config["model_type"] == "gpt2")
    }
  }
}
