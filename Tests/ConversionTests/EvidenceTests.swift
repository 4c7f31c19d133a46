import JSON
import Safetensors
import TestSupport
import Testing

@testable import Architectures
@testable import Conversion
@testable import Megatron

@Suite struct EvidenceTests {
  private static func arguments(_ values: [String: ArgumentValue]?) -> TrainingArguments {
    values.map { TrainingArguments(values: $0) } ?? .absent
  }

  /// One row an era: version, arguments, first block, and the order that follows.
  static let eras:
    [(
      era: String, version: Double?, arguments: [String: ArgumentValue]?, firstBlock: Int?,
      layout: QKVOrder?
    )] = [
      ("2019, no arguments", nil, nil, nil, .thirds),
      ("2020, before the speed-up", nil, ["openai_gelu": .bool(false)], nil, .thirds),
      ("2020-09-11", nil, ["bias_gelu_fusion": .bool(false)], nil, .heads3HN),
      (
        "2020-09-28", nil,
        ["bias_gelu_fusion": .bool(false), "old_checkpoint_format": .bool(false)], nil, nil
      ),
      ("version 0", 0, [:], nil, .thirds),
      ("version 1", 1, [:], nil, .headsHN3),
      ("version 2", 2, [:], nil, .heads3HN),
      ("version 3", 3, ["bias_gelu_fusion": .bool(true)], 3, .heads3HN),
      (
        "deepspeedai from December 2024", 3, ["ds_sequence_parallel_fpdt": .bool(false)], 2, .thirds
      ),
      ("a version to come", 4, [:], nil, nil),
      ("layer files alone, from 03", nil, nil, 3, .heads3HN),
      ("layer files alone, from 02", nil, nil, 2, nil),
    ]

  @Test func theOrderOfQueryKeyAndValueFollowsFromTheEvidence() {
    for era in EvidenceTests.eras {
      let found = try? QKVEvidence(
        chosen: nil, version: era.version, arguments: EvidenceTests.arguments(era.arguments),
        firstBlock: era.firstBlock,
        layout: era.firstBlock == nil ? .classic : .deepspeedPipeline)
      #expect(found?.layout == era.layout, "\(era.era)")
      let chosen = try? QKVEvidence(
        chosen: .headsHN3, version: era.version, arguments: EvidenceTests.arguments(era.arguments),
        firstBlock: era.firstBlock,
        layout: era.firstBlock == nil ? .classic : .deepspeedPipeline)
      #expect(chosen?.layout == .headsHN3, "\(era.era)")
    }
  }

  static let activations: [(era: String, arguments: [String: ArgumentValue]?, name: String)] = [
    ("no arguments", nil, "gelu_fast"),
    ("2019", ["num_layers": .int(2)], "gelu_fast"),
    ("2020, exact", ["openai_gelu": .bool(false)], "gelu"),
    ("2020, tanh", ["openai_gelu": .bool(true)], "gelu_fast"),
    ("not fused", ["bias_gelu_fusion": .bool(false), "openai_gelu": .bool(false)], "gelu"),
    ("fused", ["bias_gelu_fusion": .bool(true), "openai_gelu": .bool(false)], "gelu_fast"),
    (
      "onnx, not fused",
      ["bias_gelu_fusion": .bool(false), "openai_gelu": .bool(false), "onnx_safe": .bool(true)],
      "gelu"
    ),
    (
      "onnx, fused, bigscience",
      ["bias_gelu_fusion": .bool(true), "openai_gelu": .bool(false), "onnx_safe": .bool(true)],
      "gelu_fast"
    ),
    (
      "onnx, fused, later",
      [
        "bias_gelu_fusion": .bool(true), "openai_gelu": .bool(false), "onnx_safe": .bool(true),
        "swiglu": .bool(false),
      ], "gelu"
    ),
  ]

  @Test func theActivationFollowsFromTheArguments() throws {
    for era in EvidenceTests.activations {
      #expect(
        try GPT2Activation(EvidenceTests.arguments(era.arguments)).name == era.name, "\(era.era)")
    }
  }

  /// Features that GPT-2 does not have, by the argument that names them.
  static let refused: [(argument: String, value: ArgumentValue, code: String)] = [
    ("embed_layernorm", .bool(true), "model/embedding-layernorm"),
    (
      "position_embedding_type", .member(type: "PositionEmbeddingType", value: "3"),
      "model/positions"
    ),
    (
      "position_embedding_type", .member(type: "PositionEmbeddingType", value: "rotary"),
      "model/positions"
    ),
    ("position_embedding_type", .string("rope"), "model/positions"),
    ("use_rotary_position_embeddings", .bool(true), "model/positions"),
    ("add_position_embedding", .bool(false), "model/positions"),
    ("glu_activation", .string("geglu"), "model/glu"), ("swiglu", .bool(true), "model/glu"),
    ("squared_relu", .bool(true), "model/activation"),
    ("normalization", .string("RMSNorm"), "model/norm"),
    ("normalization", .string("rmsnorm"), "model/norm"),
    ("apply_residual_connection_post_layernorm", .bool(true), "model/residual"),
    ("num_experts", .list([.int(8)]), "model/experts"), ("num_experts", .int(4), "model/experts"),
    ("num_key_value_heads", .int(2), "model/grouped-query"),
    ("kv_channels", .int(16), "model/kv-channels"),
    ("ds_sequence_parallel_fpdt", .bool(true), "model/fpdt"),
  ]

  /// The same arguments with the values that GPT-2 has.
  static let accepted: [(String, ArgumentValue)] = [
    ("position_embedding_type", .member(type: "PositionEmbeddingType", value: "2")),
    ("position_embedding_type", .string("learned_absolute")),
    ("normalization", .string("layernorm")),
    ("normalization", .string("LayerNorm")), ("num_experts", .list([.int(1)])),
    ("num_key_value_heads", .int(4)), ("kv_channels", .int(2)), ("glu_activation", .none),
    ("num_query_groups", .int(1)), ("add_position_embedding", .bool(true)),
    ("num_experts", .list([])), ("num_experts", .int(0)),
    ("num_experts", .list([.int(1), .int(1)])),
    ("glu_activation", .string("")),
  ]

  @Test func whatGPT2CannotExpressIsRefusedByName() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    for row in EvidenceTests.refused {
      let index = try index(folder.path).changed {
        $0.arguments.override([row.argument: row.value])
      }
      #expect(failure { _ = try Planner.plan(index) } == "69 \(row.code)", "\(row.argument)")
      #expect(try CheckpointInspection(index, options: ConversionOptions()).plan == nil)
    }
    for (key, value) in EvidenceTests.accepted {
      let index = try index(folder.path).changed { $0.arguments.override([key: value]) }
      #expect(failure { _ = try Planner.plan(index) } == "none", "\(key)")
    }
  }

  @Test func whatTheUserSetsSaysNothingAboutTheAgeOfTheFile() throws {
    // Said for the activation of a file of early 2020, whose order of rows stays thirds.
    var arguments = EvidenceTests.arguments(["openai_gelu": .bool(false)])
    arguments.override(["bias_gelu_fusion": .bool(true), "old_checkpoint_format": .bool(true)])
    let evidence = try QKVEvidence(
      chosen: nil, version: nil, arguments: arguments, firstBlock: nil, layout: .classic)
    #expect(evidence.layout == .thirds)
    #expect(try GPT2Activation(arguments).name == "gelu_fast")
  }

  @Test func aFileOfAllArgumentsOfARunIsTakenForThoseThatMatter() throws {
    var overrides = ArgumentOverrides()
    try overrides.add(setting: "num_attention_heads=8")
    try overrides.add(
      config: JSONObject([
        .init(key: "lr", value: 0.1), .init(key: "num_attention_heads", value: 4),
        .init(key: "hidden_dropout", value: 0.0), .init(key: "data_path", value: ["x"]),
      ]), file: "args.json")
    #expect(overrides.values == ["num_attention_heads": .int(8), "hidden_dropout": .double(0)])
    #expect(
      failure {
        try overrides.add(config: JSONObject([.init(key: "lr", value: 0.1)]), file: "args.json")
      } == "64 arguments/unknown")
  }

  @Test func aSettingThatNothingReadsIsRefused() {
    var overrides = ArgumentOverrides()
    #expect(
      failure { try overrides.add(setting: "num_attention_head=4") } == "64 arguments/unknown")
    #expect(failure { try overrides.add(setting: "num_attention_heads") } == "64 arguments/set")
  }
}
