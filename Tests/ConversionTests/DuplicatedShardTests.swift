import Foundation
import SystemPackage
import TestSupport
import Testing
import TorchArchive

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// One rank's file in the place of another's, and ranks that a tool put together.
@Suite struct DuplicatedShardTests {
  private func writer(_ ranks: Int, _ source: @escaping (Int) -> Int) -> RankWriter {
    var writer = RankWriter()
    writer.ranks = ranks
    writer.source = source
    return writer
  }

  @Test func ranksThatHoldTheSamePartitionAreRefusedByName() throws {
    let outcome = try convert(writer(2) { _ in 0 })
    #expect(outcome.status == "65 checkpoint/duplicated-shards")
    for word in [
      "mp_rank_00/model_optim_rng.pt", "mp_rank_01/model_optim_rng.pt", "same partition",
      "--accept-duplicated-shards",
    ] { #expect(outcome.text.contains(word), "\(word)") }
  }

  @Test func oneRankOfFourThatIsACopyIsFound() throws {
    let outcome = try convert(writer(4) { $0 == 3 ? 1 : $0 })
    #expect(outcome.status == "65 checkpoint/duplicated-shards")
    #expect(outcome.text.contains("ranks 1 and 3"))
  }

  @Test func aLinkToTheFileOfAnotherRankIsFound() throws {
    let folder = try TemporaryFolder()
    try writer(2) { $0 }.write(to: folder)
    let second = folder.path.appending("iter_0000010/mp_rank_01/model_optim_rng.pt")
    try remove(second)
    try link(second, to: "../mp_rank_00/model_optim_rng.pt")
    #expect(try convert(folder.path).status == "65 checkpoint/duplicated-shards")
  }

  @Test func copiesOfLayerFilesAreFound() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.ranks = 2
    try writer.write(to: folder)
    let step = folder.path.appending("global_step10")
    try remove(step.appending("layer_04-model_01-model_states.pt"))
    try copy(
      step.appending("layer_04-model_00-model_states.pt"),
      to: step.appending("layer_04-model_01-model_states.pt"))
    let outcome = try convert(folder.path)
    #expect(outcome.status == "65 checkpoint/duplicated-shards")
    #expect(outcome.text.contains("layer_04-model_01-model_states.pt"))
  }

  /// A view of a larger storage has the checksum of that, so only its elements tell.
  @Test func aCopyInAnotherStorageIsFound() throws {
    var copied = writer(2) { _ in 0 }
    copied.lead = { $0 == 1 ? 5 : 0 }
    #expect(try convert(copied).status == "65 checkpoint/duplicated-shards")
    var genuine = writer(2) { $0 }
    genuine.lead = { $0 == 1 ? 5 : 0 }
    #expect(try convert(genuine).isExactly(TestModel()))
  }

  /// A universal checkpoint that was made of such ranks holds the same rows twice.
  @Test(arguments: [
    "2.mlp.dense_h_to_4h.weight", "3.self_attention.query_key_value.weight",
  ]) func halvesOfAMergedTensorThatAgreeAreFound(name: String) throws {
    let folder = try TemporaryFolder()
    try copy(
      fixture("dumps/ds_tp2pp2dp1_fp16_z1_universal/ckpt"), to: folder.path.appending("x"),
      in: "run")
    let run = folder.path.appending("run")
    #expect(try convert(run).status == "ok")
    let place = run.appending("global_step10_universal/zero/\(name)/fp32.pt")
    let file = try TorchFile(opening: place)
    let node = try #require(file.graph.value("param", in: file.graph.root))
    let entry = try #require(try file.tensor(node)).storage.entry
    var bytes = try bytes(of: place)
    let half = entry.size / 2
    let start = entry.dataOffset
    bytes.replaceSubrange(start + half..<start + 2 * half, with: bytes[start..<start + half])
    try Data(bytes).write(to: URL(fileURLWithPath: place.string))
    let outcome = try convert(run)
    #expect(outcome.status == "65 checkpoint/duplicated-shards")
    #expect(outcome.text.contains(name))
  }

  @Test func withoutChecksumsTheyAreFoundWhileTheyAreRead() throws {
    var writer = writer(2) { _ in 0 }
    writer.recordsChecksums = false
    let outcome = try convert(writer)
    #expect(outcome.status == "65 checkpoint/duplicated-shards")
    #expect(outcome.text.contains("mp_rank_01"))
  }

  @Test func whatIsAcceptedWarns() throws {
    let folder = try TemporaryFolder()
    try writer(2) { _ in 0 }.write(to: folder)
    var options = ConversionOptions()
    options.acceptsDuplicatedShards = true
    let outcome = try convert(folder.path, options: options)
    #expect(outcome.status == "ok")
    #expect(outcome.codes.contains("checkpoint/duplicated-shards"))
  }

  /// Biases of zeros, and rows that never moved, agree on all ranks of a genuine model.
  @Test(arguments: [true, false]) func constantsAreNoDuplicates(recordsChecksums: Bool) throws {
    var model = TestModel()
    for (name, tensor) in model.tensors
    where name.hasSuffix("query_key_value.bias") || name.hasSuffix("dense_h_to_4h.weight") {
      let value: Float = name.hasSuffix("bias") ? 0 : 1
      model.set(name, TestTensor(tensor.shape, tensor.values.map { _ in value }))
    }
    var writer = RankWriter(model)
    writer.ranks = 2
    writer.recordsChecksums = recordsChecksums
    let outcome = try convert(writer)
    #expect(outcome.status == "ok", "\(outcome.text)")
    #expect(outcome.isExactly(model))
  }

  @Test func aComparisonWithDuplicatesIsAFault() throws {
    let folder = try TemporaryFolder()
    try writer(2) { _ in 0 }.write(to: folder)
    var options = ConversionOptions()
    options.acceptsDuplicatedShards = true
    let index = try index(folder.path)
    let output = folder.path.appending("out")
    _ = try Conversion(of: index, options: options).run(to: output)
    var verifier = try ModelVerifier(output: output)
    _ = try verifier.compare(with: index)
    #expect(verifier.faults.map(\.code.name).contains("checkpoint/duplicated-shards"))
    var accepting = try ModelVerifier(output: output)
    var choices = VerificationChoices()
    choices.acceptsDuplicatedShards = true
    _ = try accepting.compare(with: index, choices: choices)
    #expect(accepting.faults.isEmpty)
  }

  // MARK: - Ranks that were put together

  /// The file of one rank that a tool made of two: thirds of the one, then thirds of the other.
  private func merged(world: Int?, data: Int = 1) -> RankWriter {
    var model = TestModel()
    let thirds = model
    for name in model.tensors.keys where name.contains("query_key_value") {
      let parts = (0..<2).compactMap { thirds.shard(name, rank: $0, of: 2, order: .thirds) }
      model.set(
        name, TestTensor(thirds.tensors[name]?.shape ?? [], parts.flatMap(\.values)))
    }
    var writer = RankWriter(model)
    writer.order = .thirds
    writer.version = { $0.double(0) }
    if let world { writer.arguments["world_size"] = { $0.int(world) } }
    writer.arguments["data_parallel_size"] = { $0.int(data) }
    return writer
  }

  @Test(arguments: [(2, 1), (4, 2)]) func ranksThatWerePutTogetherAreAsked(
    world: Int, data: Int
  ) throws {
    let writer = merged(world: world, data: data)
    let outcome = try convert(writer)
    #expect(outcome.status == "78 qkv/merged-ranks")
    #expect(outcome.text.contains("world_size") && outcome.text.contains("--merged-ranks"))
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    var options = ConversionOptions()
    options.mergedRanks = 2
    let told = try convert(folder.path, options: options)
    #expect(told.isExactly(TestModel()))
    #expect(told.decision("merged_ranks") == "2")
  }

  @Test func whereTheDegreesAgreeNothingIsAsked() throws {
    var writer = RankWriter()
    writer.order = .thirds
    writer.ranks = 2
    writer.version = { $0.double(0) }
    writer.arguments["world_size"] = { $0.int(8) }
    writer.arguments["data_parallel_size"] = { $0.int(4) }
    #expect(try convert(writer).isExactly(TestModel()))
    // In an order that goes head by head it does not matter.
    var other = RankWriter()
    other.arguments["world_size"] = { $0.int(8) }
    other.arguments["data_parallel_size"] = { $0.int(1) }
    #expect(try convert(other).isExactly(TestModel()))
  }
}
