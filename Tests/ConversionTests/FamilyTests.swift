import Architectures
import Diagnostics
import JSON
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// Families besides GPT-2: which one a checkpoint is, and what its arguments hide.
@Suite struct FamilyTests {
  private static let llama = "mcore020_llama_gqa_tp2_bf16_perrank"

  private func expectedConfiguration(_ dump: String) throws -> JSONObject? {
    try JSONParser.parse(bytes(of: fixture("dumps/\(dump)/truth/expected.json")))
      .object?["config"]?.object
  }

  @Test(
    arguments: [
      "mcore020_llama_mfsdp2_bf16_fsdpdtensor", "mcore020_qwen2_tp2_bf16_tied",
      "mcore020_qwen3_tp2_bf16_tied", llama, "mcore020_llama_gqa_tp2pp2_bf16_do_dpr",
      "ds2311_llama_gqa_kv_tp2pp1_bf16_z1", "dsold_llama_gqa_tp2pp2_fp16_z1",
      "dsold_llama_mha_tp2pp1_bf16_z1_universal", "bs_bloom_tp2pp2_bf16",
      "dsold_gptrope_tp2pp1_bf16_z1", "neox_tp2pp1_fp16_z1", "neox_seq_tp2_bf16_z1",
      "neox_llama_mha_tp2pp1_bf16_z1",
    ])
  func aGenuineCheckpointGivesTensorsAndConfigurationOfItsFamily(dump: String) throws {
    let world = try TemporaryFolder()
    let output = world.path.appending("out")
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"))
    _ = try Conversion(of: checkpoint).run(to: output)
    #expect(try digests(output) == expectedDigests(dump))
    let config = try JSONParser.parse(bytes(of: output.appending("config.json"))).object
    let expected = try #require(try expectedConfiguration(dump))
    for member in expected.members {
      #expect(config?[member.key] == member.value, "\(member.key)")
    }
    #expect(config?.members.count == expected.members.count)
    // What is written is checked by the same family.
    var verifier = try ModelVerifier(output)
    _ = try verifier.compare(with: checkpoint)
    #expect(verifier.faults.isEmpty, "\(verifier.faults)")
  }

  @Test(
    arguments: [
      "mcore020_qwen2_tp2_bf16_tied", "mcore020_qwen3_tp2_bf16_tied", llama,
      "mcore020_llama_gqa_tp2pp2_bf16_do_dpr", "ds2311_llama_gqa_kv_tp2pp1_bf16_z1",
      "dsold_llama_gqa_tp2pp2_fp16_z1", "dsold_gptrope_tp2pp1_bf16_z1", "neox_tp2pp1_fp16_z1",
      "neox_llama_mha_tp2pp1_bf16_z1",
    ])
  func theirMastersAreThoseOfTheOptimizer(dump: String) throws {
    let world = try TemporaryFolder()
    let output = world.path.appending("out")
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"), weights: .fp32Master)
    let result = try Conversion(of: checkpoint).run(to: output)
    #expect(!result.warnings.map(\.code).contains(.mastersDiffer))
    #expect(try digests(output) == expectedDigests(dump, "expected_fp32.json"))
  }

  /// Each would load and give wrong logits.
  @Test(
    arguments: [
      ("rotary_percent=0.5", "69 model/partial-rotary"),
      ("rotary_interleaved=true", "69 model/interleaved-rotary"),
      ("rotary_seq_len_interpolation_factor=2", "69 model/rotary-interpolation"),
      ("no_rope_freq=4", "69 model/positions"),
      ("position_embedding_type=yarn", "69 model/positions"),
      ("qk_layernorm=true", "69 model/query-norm"),
      ("qk_l2_norm=true", "69 model/query-norm"),
      ("normalization=LayerNorm", "69 model/norm"),
      ("swiglu=false", "69 model/glu"),
      ("add_bias_linear=true", "69 model/biases"),
      ("layernorm_zero_centered_gamma=true", "69 model/norm-minus-one"),
      ("attention_output_gate=true", "69 model/attention"),
      ("window_size=512", "69 model/attention"),
      ("num_experts=8", "69 model/experts"),
      ("apply_residual_connection_post_layernorm=true", "69 model/residual"),
      ("rotary_base=-1", "78 arguments/contradiction"),
      ("num_query_groups=4", "65 tensor/unexpected-shape"),
      ("kv_channels=4", "78 arguments/contradiction"),
      ("num_attention_heads=7", "78 arguments/heads"),
      ("add_qkv_bias=true", "69 model/biases"),
    ])
  func whatALlamaDoesNotHaveIsRefused(setting: String, code: String) throws {
    let checkpoint = try index(fixture("dumps/\(FamilyTests.llama)/ckpt"), [setting])
    #expect(failure { _ = try Planner.plan(checkpoint) } == code)
  }

  /// The trainer writes the factor down and builds the model with 8.
  @Test func theFactorOfTheScalingIsBelievedOfTheUserAlone() throws {
    let dump = fixture("dumps/\(FamilyTests.llama)/ckpt")
    let recorded = try index(dump).changed {
      $0.arguments = TrainingArguments(
        values: $0.arguments.values.merging([
          "use_rope_scaling": .bool(true), "rope_scaling_factor": .double(32),
        ]) { $1 })
    }
    #expect(failure { _ = try Planner.plan(recorded) } == "69 model/rotary-scaling")
    let said = try Planner.plan(
      index(dump, ["use_rope_scaling=true", "rope_scaling_factor=32"]))
    let scaling = said.configuration.config["rope_scaling"]?.object
    #expect(scaling?["factor"] == 32.0 && scaling?["rope_type"] == "llama3")
  }

  /// A pipeline dump keeps the angles that it used: they win over a default, and contradict a wrong
  /// argument.
  @Test func theAnglesBesideTheWeightsTellTheirBase() throws {
    let dump = fixture("dumps/ds2311_llama_gqa_kv_tp2pp1_bf16_z1/ckpt")
    let checkpoint = try index(dump)
    #expect(checkpoint.rotaryTable?.dtype == "float32")
    #expect(try Planner.plan(checkpoint).configuration.config["rope_theta"] == 10000.0)
    let other = checkpoint.changed { builder in
      builder.rotaryTable = RotaryTable(dtype: "float32", base: 500_000)
    }
    #expect(try Planner.plan(other).configuration.config["rope_theta"] == 500_000.0)
    let rounded = checkpoint.changed { builder in
      builder.rotaryTable = RotaryTable(dtype: "bfloat16", base: nil)
    }
    #expect(failure { _ = try Planner.plan(rounded) } == "69 model/rotary-precision")
    let wrong = try index(
      fixture("dumps/dsold_llama_gqa_tp2pp2_fp16_z1/ckpt")
    ).changed { builder in
      builder.rotaryTable = RotaryTable(dtype: "float32", base: 500_000)
    }
    #expect(failure { _ = try Planner.plan(wrong) } == "78 arguments/contradiction")
  }

  @Test(
    arguments: [
      ("num_key_value_heads=2", "69 model/grouped-query"),
      ("embed_layernorm=true", "69 model/residual"), ("gpt_j_residual=true", "69 model/residual"),
      ("squared_relu=true", "69 model/activation"),
      ("rotary_percent=2", "78 arguments/contradiction"),
      ("normalization=rmsnorm", "69 model/glu"), ("qk_layernorm=true", "69 model/query-norm"),
    ])
  func whatARotaryGPTDoesNotHaveIsRefused(setting: String, code: String) throws {
    let checkpoint = try index(fixture("dumps/dsold_gptrope_tp2pp1_bf16_z1/ckpt"), [setting])
    #expect(failure { _ = try Planner.plan(checkpoint) } == code)
  }

  @Test(
    arguments: [
      ("embed_layernorm=false", "69 model/embedding-layernorm"),
      ("bias_gelu_fusion=false", "69 model/activation"),
      ("layernorm_epsilon=1e-6", "69 model/epsilon"),
      ("ffn_hidden_size=96", "69 model/feed-forward"),
      ("kv_channels=4", "69 model/kv-channels"),
      ("glu_activation=geglu", "69 model/glu"),
      ("pretrain_causal_attention=false", "69 model/attention-mask"),
    ])
  func whatABloomDoesNotHaveIsRefused(setting: String, code: String) throws {
    let checkpoint = try index(fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt"), [setting])
    #expect(failure { _ = try Planner.plan(checkpoint) } == code)
  }

  /// Until February 2022 alibi was missing, or that of wrong heads.
  @Test func aBloomOfTheTimeOfWrongSlopesIsRefused() throws {
    let old = try index(fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt")).changed {
      $0.arguments = TrainingArguments(
        values: $0.arguments.values.filter { $0.key != "kill_switch_path" })
    }
    #expect(failure { _ = try Planner.plan(old) } == "69 model/positions")
  }

  // MARK: - What passed in silence

  /// Megatron-core goes by the type alone.
  @Test(arguments: ["alibi", "learned_absolute"])
  func aTypeOfPositionsThatContradictsTheSwitchIsRefused(type: String) throws {
    let checkpoint = try index(
      fixture("dumps/\(FamilyTests.llama)/ckpt"),
      ["position_embedding_type=\(type)", "use_rotary_position_embeddings=true"])
    #expect(failure { _ = try Planner.plan(checkpoint) } == "69 model/positions")
  }

  /// Without the trainer's arguments nothing tells that its release had one base only.
  @Test func theBaseOfACoreModelWithoutArgumentsIsAGuess() throws {
    let dump = "mcore020_llama_gqa_tp2_bf16_perrank"
    func basis(_ removed: Set<String>, user: Bool) throws -> Decision.Basis? {
      let checkpoint = try index(fixture("dumps/\(dump)/ckpt")).changed { builder in
        var arguments = TrainingArguments(
          values: builder.arguments.values.filter { !removed.contains($0.key) })
        if user { arguments.override(["position_embedding_type": .string("rope")]) }
        builder.arguments = arguments
      }
      return try Planner.plan(checkpoint).decisions.first { $0.name == "rope_theta" }?.basis
    }
    #expect(try basis(["rotary_base"], user: false) == .fact)
    #expect(try basis(["rotary_base", "position_embedding_type"], user: true) == .guess)
  }

  @Test func theAnglesTellHowMuchOfAHeadIsTurned() throws {
    let dump = try index(fixture("dumps/dsold_gptrope_tp2pp1_bf16_z1/ckpt"))
    #expect(dump.rotaryTable?.channels == 4)
    let unsaid = dump.changed {
      $0.arguments = TrainingArguments(
        values: $0.arguments.values.filter { $0.key != "rotary_percent" })
    }
    #expect(try Planner.plan(unsaid).configuration.config["rotary_pct"] == 0.5)
    let other = dump.changed {
      $0.rotaryTable = RotaryTable(dtype: "float32", base: 10000, channels: 8)
    }
    #expect(failure { _ = try Planner.plan(other) } == "78 arguments/contradiction")
    let llama = try index(fixture("dumps/ds2311_llama_gqa_kv_tp2pp1_bf16_z1/ckpt")).changed {
      $0.rotaryTable = RotaryTable(dtype: "float32", base: 10000, channels: 128)
    }
    #expect(failure { _ = try Planner.plan(llama) } == "69 model/partial-rotary")
  }

  /// What float32 angles of 128 channels give is not the number that was set.
  @Test(arguments: [(499_999.98, 500_000.0), (10_000.0005, 10_000), (20_000_004, 20_000_000)])
  func aBaseThatIsWorkedOutIsTheOneThatWasSet(told: Double, base: Double) throws {
    let checkpoint = try index(
      fixture("dumps/ds2311_llama_gqa_kv_tp2pp1_bf16_z1/ckpt")
    ).changed { $0.rotaryTable = RotaryTable(dtype: "float32", base: told) }
    #expect(try Planner.plan(checkpoint).configuration.config["rope_theta"] == .double(base))
  }

  @Test func groupsOfQueriesInThirdsAreRefused() throws {
    let checkpoint = try index(fixture("dumps/dsold_llama_gqa_tp2pp2_fp16_z1/ckpt"))
    var options = ConversionOptions()
    options.qkvLayout = .thirds
    #expect(
      failure { _ = try Planner.plan(checkpoint, options: options) } == "69 model/grouped-query")
  }

  @Test(
    arguments: [
      ("dsold_llama_mha_tp2pp1_bf16_z1_universal", "69 model/norm-minus-one"),
      ("bs_bloom_tp2pp2_bf16", "69 model/norm-minus-one"),
    ])
  func normsMinusOneThatTheTrainerDidNotHaveAreRefused(dump: String, code: String) throws {
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"), ["apply_layernorm_1p=true"])
    #expect(failure { _ = try Planner.plan(checkpoint) } == code)
  }

  @Test func gatesOfRanksInAnUnknownOrderAreRefused() throws {
    let dump = try index(fixture("dumps/dsold_llama_mha_tp2pp1_bf16_z1_universal/ckpt"))
    #expect(!dump.areGatesUnproven)
    let other = dump.changed { $0.areGatesUnproven = true }
    #expect(failure { _ = try Planner.plan(other) } == "69 model/glu")
  }

  @Test func theUsersEpsilonWinsAndALackingOneIsSaid() throws {
    let dump = try index(
      fixture("dumps/dsold_gptrope_tp2pp1_bf16_z1/ckpt"), ["norm_epsilon=1e-6"])
    #expect(try Planner.plan(dump).configuration.config["layer_norm_eps"] == 1e-6)
    let unsaid = dump.changed {
      $0.arguments = TrainingArguments(
        values: $0.arguments.values.filter { !$0.key.hasSuffix("norm_epsilon") })
    }
    let decision = try Planner.plan(unsaid).decisions.first { $0.name == "layer_norm_eps" }
    #expect(decision?.basis == .guess)
  }

  /// The refusal itself advises it.
  @Test func theSettingThatARefusalAdvisesIsKnown() throws {
    _ = try index(fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt"), ["kill_switch_path=x"])
  }

  /// Sizes of a configuration are rumours: no product of them may overflow.
  @Test(
    arguments: [
      #""head_dim": 4611686018427387905"#, #""head_dim": 1099511627776"#, #""head_dim": 0"#,
      #""num_key_value_heads": 4611686018427387904"#, #""num_attention_heads": 1099511627776"#,
    ])
  func aConfigurationOfHugeSizesIsAFault(field: String) throws {
    let world = try TemporaryFolder()
    let output = world.path.appending("out")
    _ = try Conversion(of: index(fixture("dumps/\(FamilyTests.llama)/ckpt"))).run(to: output)
    let path = output.appending("config.json")
    let key = String(field.prefix { $0 != ":" })
    let lines = String(decoding: try bytes(of: path), as: UTF8.self).split(separator: "\n").map {
      $0.contains(key) ? "  \(field)\($0.hasSuffix(",") ? "," : "")" : String($0)
    }
    try world.write("out/config.json", Array(lines.joined(separator: "\n").utf8))
    let verifier = try ModelVerifier(output)
    #expect(!verifier.faults.isEmpty)
  }

  @Test func aModelOfAnotherFamilyIsNotRunAsGPT2() throws {
    let checkpoint = try index(fixture("dumps/\(FamilyTests.llama)/ckpt"))
    #expect(failure { _ = try RunnableCheckpoint(checkpoint) } == "69 network/unsupported")
  }
}
