import Architectures
import Diagnostics
import JSON
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// A family that exists in these tests alone. It takes GPT-2's tensors apart in every way that a
/// rule can express: query, key and value by themselves, halves, and fused rows in another order.
private struct Toy: Architecture {
  let format = ModelFormat(
    title: "Toy", modelType: "toy", className: "ToyForCausalLM", prefix: "model.",
    blocks: "layers.", embedding: "embed.weight", head: "lm_head.weight",
    fields: [.init("model_type", .text, needed: true), .init("width", .size, needed: true)],
    functionFields: ["width", "heads"])

  let table = RuleTable([
    TensorRule(
      "embedding.word_embeddings.weight", .vocabulary, "embed.weight", [.vocabulary, .hidden]),
    TensorRule(
      "embedding.position_embeddings.weight", .replicated, "positions.weight",
      [.positions, .hidden]),
    TensorRule(
      "layers.*.input_layernorm.weight", .replicated, "layers.*.norm1.weight", [.hidden],
      role: .norm),
    TensorRule(
      "layers.*.input_layernorm.bias", .replicated, "layers.*.norm1.bias", [.hidden], role: .bias),
    TensorRule(
      "layers.*.self_attention.query_key_value.weight", .column, rows: .part(.query),
      "layers.*.q.weight", [.qkv, .hidden]),
    TensorRule(
      "layers.*.self_attention.query_key_value.weight", .column, rows: .part(.key),
      "layers.*.k.weight", [.qkv, .hidden]),
    TensorRule(
      "layers.*.self_attention.query_key_value.weight", .column, rows: .part(.value),
      transposed: true, "layers.*.v.weight", [.qkv, .hidden]),
    TensorRule(
      "layers.*.self_attention.query_key_value.bias", .column, rows: .fused(as: .heads3HN),
      "layers.*.qkv.bias", [.qkv], role: .bias),
    TensorRule(
      "layers.*.self_attention.dense.weight", .row, "layers.*.out.weight", [.hidden, .hidden]),
    TensorRule(
      "layers.*.self_attention.dense.bias", .replicated, "layers.*.out.bias", [.hidden], role: .bias
    ),
    TensorRule(
      "layers.*.post_attention_layernorm.weight", .replicated, "layers.*.norm2.weight", [.hidden],
      role: .norm),
    TensorRule(
      "layers.*.post_attention_layernorm.bias", .replicated, "layers.*.norm2.bias", [.hidden],
      role: .bias),
    TensorRule(
      "layers.*.mlp.dense_h_to_4h.weight", .column, rows: .part(.firstHalf), "layers.*.gate.weight",
      [.feedForward, .hidden]),
    TensorRule(
      "layers.*.mlp.dense_h_to_4h.weight", .column, rows: .part(.secondHalf), "layers.*.up.weight",
      [.feedForward, .hidden]),
    TensorRule(
      "layers.*.mlp.dense_h_to_4h.bias", .column, "layers.*.up.bias", [.feedForward], role: .bias),
    TensorRule(
      "layers.*.mlp.dense_4h_to_h.weight", .row, "layers.*.down.weight", [.hidden, .feedForward]),
    TensorRule(
      "layers.*.mlp.dense_4h_to_h.bias", .replicated, "layers.*.down.bias", [.hidden], role: .bias),
    TensorRule("final_layernorm.weight", .replicated, "norm.weight", [.hidden], role: .norm),
    TensorRule("final_layernorm.bias", .replicated, "norm.bias", [.hidden], role: .bias),
    TensorRule(
      "output_layer.weight", .vocabulary, "lm_head.weight", [.vocabulary, .hidden],
      presence: .tied(to: "embed.weight")),
  ])

  let argumentKeys = ["toy_scale"]

  func claims(_ facts: any ModelFacts) -> Bool { facts.arguments.has(ArgumentKey("toy")) }

  func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic] {
    try facts.arguments.int(ArgumentKey("toy_scale")) == 2
      ? [Diagnostic(.model("scale"), "toy_scale is 2: Toy does not scale")] : []
  }

  func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes {
    guard let words = facts.shape(of: "embedding.word_embeddings.weight"),
      let positions = facts.shape(of: "embedding.position_embeddings.weight"),
      let up = facts.shape(of: "layers.0.mlp.dense_h_to_4h.weight"),
      let heads = try facts.arguments.int(.numAttentionHeads)
    else { throw facts.missing("embedding.word_embeddings.weight") }
    return ModelSizes(
      layers: facts.blockCount, hidden: words[1], heads: heads,
      feedForward: up[0] * facts.tensorParallel, positions: positions[0],
      vocabulary: words[0] * facts.tensorParallel)
  }

  func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration {
    let sizes = output.sizes
    return ModelConfiguration(
      config: JSONObject([
        .init(key: "architectures", value: [.string(format.className)]),
        .init(key: "depth", value: .int(sizes.layers)),
        .init(key: "dtype", value: .string(output.dtype)),
        .init(key: "heads", value: .int(sizes.heads)),
        .init(key: "inner", value: .int(sizes.feedForward)),
        .init(key: "model_type", value: .string(format.modelType)),
        .init(key: "positions", value: .int(sizes.positions)),
        .init(key: "tie_word_embeddings", value: .bool(output.isTied)),
        .init(key: "vocab_size", value: .int(sizes.vocabulary)),
        .init(key: "width", value: .int(sizes.hidden)),
      ]), generation: JSONObject(),
      decisions: [Decision("toy", true, "the arguments have toy")])
  }

  func sizes(config: JSONObject) -> ModelSizes? {
    guard let layers = config["depth"]?.int, let hidden = config["width"]?.int,
      let heads = config["heads"]?.int, let inner = config["inner"]?.int,
      let positions = config["positions"]?.int, let rows = config["vocab_size"]?.int
    else { return nil }
    return ModelSizes(
      layers: layers, hidden: hidden, heads: heads, feedForward: inner, positions: positions,
      vocabulary: rows)
  }
}

/// An architecture is a folder in Architectures, and nothing else changes: here it is a type of the
/// tests, and goes all the way from a checkpoint to a verified folder.
@Suite struct ArchitectureSeamTests {
  private let families: [any Architecture] = [Toy(), GPT2()]

  /// Rows of a tensor, picked one by one.
  private func rows(_ tensor: TestTensor, _ chosen: [Int]) -> TestTensor {
    let columns = tensor.shape.count > 1 ? tensor.shape[1] : 1
    return TestTensor(
      [chosen.count] + tensor.shape.dropFirst(),
      chosen.flatMap { tensor.values[$0 * columns..<($0 + 1) * columns] })
  }

  /// What each tensor of the output must be, by its name.
  private func expected(_ model: TestModel, ranks: Int) -> [String: TestTensor] {
    var result: [String: TestTensor] = [:]
    let (h, hn) = (model.hidden, model.hidden / model.heads)
    let (inner, share) = (model.feedForward, model.feedForward / ranks)
    for layer in 0..<model.layers {
      func source(_ name: String) -> TestTensor? { model.tensors["layers.\(layer).\(name)"] }
      let target = "model.layers.\(layer)."
      // The model holds query, key and value in thirds.
      if let qkv = source("self_attention.query_key_value.weight") {
        result[target + "q.weight"] = rows(qkv, Array(0..<h))
        result[target + "k.weight"] = rows(qkv, Array(h..<2 * h))
        result[target + "v.weight"] = rows(qkv, Array(2 * h..<3 * h)).transposed
      }
      if let bias = source("self_attention.query_key_value.bias") {
        var order: [Int] = []
        for head in 0..<model.heads {
          for part in 0..<3 { order += (0..<hn).map { part * h + head * hn + $0 } }
        }
        result[target + "qkv.bias"] = rows(bias, order)
      }
      if let up = source("mlp.dense_h_to_4h.weight") {
        let halves = (0..<inner).map { ($0, $0 % share < share / 2) }
        result[target + "gate.weight"] = rows(up, halves.filter(\.1).map(\.0))
        result[target + "up.weight"] = rows(up, halves.filter { !$0.1 }.map(\.0))
      }
      result[target + "out.weight"] = source("self_attention.dense.weight")
      result[target + "down.weight"] = source("mlp.dense_4h_to_h.weight")
      result[target + "up.bias"] = source("mlp.dense_h_to_4h.bias")
      result[target + "norm2.bias"] = source("post_attention_layernorm.bias")
    }
    result["model.embed.weight"] = model.tensors["embedding.word_embeddings.weight"]
    result["model.norm.weight"] = model.tensors["final_layernorm.weight"]
    result["lm_head.weight"] = model.tensors["output_layer.weight"]
    return result
  }

  @Test(arguments: [1, 2], RowOrder.allCases)
  func aFamilyOfTheTestsAloneIsConvertedAndVerified(ranks: Int, order: RowOrder) throws {
    var writer = DumpWriter(TestModel(untied: true))
    (writer.ranks, writer.order) = (ranks, order)
    writer.arguments["toy"] = { $0.bool(true) }
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    var options = ConversionOptions()
    options.qkvLayout = QKVOrder(rawValue: order.rawValue)
    let checkpoint = try index(folder.path)
    let output = folder.path.appending("out")
    let converter = try Conversion(of: checkpoint, options: options, architectures: families)
    let result = try converter.run(to: output)
    // Elements that name themselves are far from what norms hold.
    #expect(Set(result.warnings.map(\.code)).isSubset(of: [.qkvOverridden, .valuesLayernorm]))

    let directory = try ModelDirectory(reading: output)
    let wanted = expected(writer.model, ranks: ranks)
    #expect(wanted.count == 10 * writer.model.layers + 3)
    for (name, tensor) in wanted {
      let found = try #require(directory[name], "\(name)")
      #expect(found.declared.shape == tensor.shape, "\(name)")
      let bytes = try found.file.file.read(
        at: found.start, count: found.declared.dataOffsets.count)
      #expect(bytes == tensor.values.flatMap { little(Int($0.bitPattern), 4) }, "\(name)")
    }
    var verifier = try ModelVerifier(output, architectures: families)
    #expect(verifier.faults == [])
    var choices = VerificationChoices()
    choices.qkvLayout = QKVOrder(rawValue: order.rawValue)
    _ = try verifier.compare(with: checkpoint, choices: choices)
    #expect(verifier.faults == [])
    // Without the family, the same folder is none that is known.
    #expect(
      try ModelVerifier(output).faults.map(\.code.name).contains("config/model-type"))
  }

  @Test func inspectionSaysWhatTheFamilySays() throws {
    var writer = DumpWriter()
    writer.arguments["toy"] = { $0.bool(true) }
    writer.arguments["toy_scale"] = { $0.int(2) }
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    let inspection = try CheckpointInspection(index(folder.path), architectures: families)
    #expect(inspection.model.architecture.format.title == "Toy")
    #expect(inspection.reasons.map(\.code.name) == ["model/scale"])
    #expect(inspection.rows.contains { $0.target == "model.embed.weight" })
    // The same folder is GPT-2 to those who know no other family.
    #expect(try CheckpointInspection(index(folder.path)).model.architecture.format.title == "GPT-2")
  }
}
