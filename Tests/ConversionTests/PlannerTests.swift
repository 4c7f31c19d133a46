import Architectures
import ByteIO
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron
@testable import Transfer

/// Small worlds in which every element has its own value.
@Suite struct PlannerTests {
  /// Converts a dump in memory-sized steps and compares each tensor with the model it was made of.
  private func check(
    _ writer: DumpWriter, options: ConversionOptions = ConversionOptions(),
    settings: [String] = [], _ adjust: (String, TestTensor) -> TestTensor? = { $1 }
  ) throws {
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    let output = folder.path.appending("out")
    _ = try Conversion(of: try index(folder.path, settings), options: options).run(to: output)
    let tensors = try ModelDirectory(reading: output)
    for name in writer.model.tensors.keys {
      let rules = GPT2Rules.table.applied(blocks: writer.model.layers) {
        $0 == "output_layer.weight"
      }
      let target = try #require(rules.first { $0.source == name })
      guard let expected = writer.model.expected(name).flatMap({ adjust(name, $0) }) else {
        continue
      }
      let found = try #require(
        tensors[GPT2().format.name(target.target, options.keyStyle)], "\(name)")
      #expect(found.declared.shape == expected.shape, "\(name)")
      let bytes = try found.file.file.read(
        at: found.start, count: found.declared.dataOffsets.count)
      #expect(bytes == expected.values.flatMap { little(Int($0.bitPattern), 4) }, "\(name)")
    }
  }

  @Test(arguments: [1, 2, 4], RowOrder.allCases)
  func everyElementLandsInItsPlace(ranks: Int, order: RowOrder) throws {
    var writer = DumpWriter()
    writer.ranks = ranks
    writer.order = order
    var options = ConversionOptions()
    options.qkvLayout = QKVOrder(rawValue: order.rawValue)
    try check(writer, options: options)
  }

  @Test func modelsOfOtherShapesDoToo() throws {
    for (hidden, heads, inner, ranks) in [
      (6, 2, 6, 2), (4, 1, 16, 1), (12, 4, 8, 4), (100, 4, 36, 2),
    ] {
      var writer = DumpWriter(
        TestModel(layers: 3, hidden: hidden, heads: heads, feedForward: inner, vocabulary: 8))
      writer.ranks = ranks
      try check(writer)
    }
  }

  @Test(arguments: [1, 2])
  func bytesOfTheOtherOrderAreSwapped(ranks: Int) throws {
    var writer = DumpWriter()
    writer.ranks = ranks
    writer.isBigEndian = true
    try check(writer)
  }

  @Test func blocksMayBeginAnywhere() throws {
    for first in [2, 3, 7, 98] {
      var writer = DumpWriter()
      writer.firstBlock = first
      try check(writer)
    }
  }

  @Test func aHeadOfItsOwnIsWrittenAndNotTied() throws {
    var writer = DumpWriter(TestModel(untied: true))
    writer.ranks = 2
    try check(writer)
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    let config = try Conversion(of: index(folder.path)).plan.configuration.config
    #expect(config["tie_word_embeddings"] == false)
  }

  @Test(arguments: [1, 2, 4])
  func theVocabularyIsCutAtAnyRow(ranks: Int) throws {
    for rows in 1...16 {
      var writer = DumpWriter()
      writer.ranks = ranks
      var options = ConversionOptions()
      options.vocabulary = .rows(rows)
      try check(writer, options: options) { name, tensor in
        name.hasSuffix("word_embeddings.weight")
          ? TestTensor([rows, 8], Array(tensor.values.prefix(rows * 8))) : tensor
      }
    }
  }

  @Test func layernorm1PAddsOneToTheWeights() throws {
    var writer = DumpWriter()
    writer.arguments["apply_layernorm_1p"] = { $0.bool(true) }
    writer.ranks = 2
    try check(writer) { name, tensor in
      name.hasSuffix("layernorm.weight")
        ? TestTensor(tensor.shape, tensor.values.map { $0 + 1 }) : tensor
    }
  }

  @Test func bareNamesAndShardsHoldTheSameTensors() throws {
    for limit in [0, 100, 500, 2000] {
      var options = ConversionOptions()
      options.keyStyle = .bare
      options.maximumShardSize = limit
      try check(DumpWriter(), options: options)
    }
  }

  @Test func withoutArgumentsTheNumberOfHeadsMustBeGiven() throws {
    var writer = DumpWriter()
    writer.hasStates = false
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    #expect(failure { _ = try Conversion(of: index(folder.path)) } == "78 arguments/heads")
    try check(writer, settings: ["num_attention_heads=4"])
    // Blocks that begin at layer 2 were written in two orders.
    writer.firstBlock = 2
    let other = try TemporaryFolder()
    try writer.write(to: other)
    let settings = ["num_attention_heads=4"]
    #expect(failure { _ = try Conversion(of: index(other.path, settings)) } == "78 qkv/ambiguous")
    var options = ConversionOptions()
    options.qkvLayout = .heads3HN
    try check(writer, options: options, settings: settings)
  }

  @Test func aBiasFreeModelGetsBiasesOfZero() throws {
    var writer = DumpWriter()
    writer.arguments["add_bias_linear"] = { $0.bool(false) }
    let folder = try TemporaryFolder()
    // The layer files keep their biases, so one is renamed away: the plan alone is looked at.
    try writer.write(to: folder)
    let index = try index(folder.path).changed {
      $0.tensors.removeAll { $0.name.hasSuffix("bias") && !$0.name.contains("layernorm") }
    }
    let plan = try Planner.plan(index)
    let bias = try #require(plan.tensors.first { $0.name == "transformer.h.0.attn.c_attn.bias" })
    #expect(
      bias.pieces == [.fill(0, count: 24, Piece.Destination(offset: 0, strides: [1]))])
    let output = folder.path.appending("zero")
    let sink = try FileSink(plan.shards[0], at: output)
    try PlanExecutor(plan.transfer).run(into: sink)
    try sink.finish()
    let file = try SafetensorsFile(opening: output)
    let found = try #require(file.header.tensors.first { $0.name == bias.name })
    #expect(
      try file.file.read(at: file.dataStart + found.dataOffsets.lowerBound, count: 96)
        == [UInt8](repeating: 0, count: 96))
  }

  /// What GPT-2 does not have is found in whichever block it is, and named.
  @Test(arguments: [
    ("layers.1.self_attention.q_layernorm.weight", "query-norm"),
    ("layers.12.mlp.deepspeed_moe.gate.wg.weight", "experts"),
    ("layers.0.norm.weight", "gpt-neox"), ("pooler.dense.weight", "bert"),
  ])
  func aTensorThatGPT2DoesNotHaveIsRefused(name: String, code: String) throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    var index = try index(folder.path)
    #expect(try GPT2().refusals(index) == [])
    let shards = try #require(index.tensors.last).shards
    index = index.changed { $0.tensors.append(IndexedTensor(name: name, shards: shards)) }
    let found = try GPT2().refusals(index)
    #expect(found.map(\.code.name) == ["model/\(code)"])
    #expect(found.map(\.tensor) == [name])
  }

  /// Any split of a block covers each of its elements once.
  @Test func splittingABlockLosesNothing() {
    var random = SeededGenerator(11)
    for _ in 0..<300 {
      let rank = Int.random(in: 1...4, using: &random)
      let sizes = (0..<rank).map { _ in Int.random(in: 1...5, using: &random) }
      var strides = [Int](repeating: 1, count: rank)
      for axis in (0..<rank - 1).reversed() { strides[axis] = strides[axis + 1] * sizes[axis + 1] }
      let order = (0..<rank).shuffled(using: &random)
      let block = StridedCopy(
        source: 3, target: 5, sizes: order.map { sizes[$0] },
        sourceStrides: order.map { strides[$0] },
        targetStrides: (0..<rank).map { axis in
          order[(axis + 1)...].reduce(1) { $0 * sizes[$1] }
        })
      let limit = Int.random(in: 1...20, using: &random)
      for parts in [block.split(count: limit), block.split(sourceExtent: limit)] {
        var moves: [Int: Int] = [:]
        for part in parts { for (target, source) in elements(part) { moves[target] = source } }
        #expect(parts.reduce(0) { $0 + $1.count } == block.count)
        #expect(moves == Dictionary(uniqueKeysWithValues: elements(block)))
      }
      #expect(block.split(count: limit).allSatisfy { $0.count <= limit })
      #expect(block.split(sourceExtent: limit).allSatisfy { $0.sourceExtent <= limit })
      var runs: [Int] = []
      let ordered = block.orderedByTarget
      ordered.forEachTargetRun { runs += $0..<$0 + ordered.targetRun }
      #expect(runs.sorted() == elements(block).map(\.0).sorted())
    }
  }

  /// Chunks of queries, keys and values, as any number of heads of any size has them, cover each
  /// element once, and none has more than the buffer of a thread.
  @Test func chunksOfHeadsLoseNothing() {
    var random = SeededGenerator(12)
    var joined = 0
    for _ in 0..<300 {
      let (heads, channels, hidden) = (
        Int.random(in: 1...6, using: &random), Int.random(in: 2...9, using: &random),
        Int.random(in: 1...5, using: &random)
      )
      let width = 3 * heads * channels
      let block = StridedCopy(
        source: 7, target: 11, sizes: [heads, 3, channels, hidden],
        sourceStrides: [3 * channels * hidden, channels * hidden, hidden, 1],
        targetStrides: [channels, heads * channels, 1, width])
      let limit = Int.random(in: 2...120, using: &random)
      let chunks = block.chunks(of: limit / 2, limit: limit, line: 4)
      #expect(chunks.allSatisfy { $0.count <= limit })
      #expect(chunks.reduce(0) { $0 + $1.count } == block.count)
      let moves = chunks.flatMap(elements).map { [$0.0, $0.1] }
      #expect(Set(moves) == Set(elements(block).map { [$0.0, $0.1] }))
      joined += chunks.filter { $0.sizes[0] > 1 && $0.sizes[1] == 1 && $0.sizes[2] % 4 != 0 }.count
    }
    #expect(joined > 20, "heads that are no whole lines are taken several at a time")
  }

  /// The target and source offset of every element.
  private func elements(_ block: StridedCopy) -> [(Int, Int)] {
    var result: [(Int, Int)] = [(block.target, block.source)]
    for axis in block.sizes.indices {
      result = result.flatMap { target, source in
        (0..<block.sizes[axis]).map {
          (target + $0 * block.targetStrides[axis], source + $0 * block.sourceStrides[axis])
        }
      }
    }
    return result
  }
}
