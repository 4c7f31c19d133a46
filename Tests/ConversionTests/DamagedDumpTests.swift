import ByteIO
import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import Megatron

/// A dump that is not whole, or contradicts itself, gives an error that says what is wrong.
@Suite struct DamagedDumpTests {
  private func dump(
    _ body: (inout DumpWriter) -> Void = { _ in },
    then change: (TemporaryFolder) throws -> Void = { _ in }
  ) throws -> String {
    var writer = DumpWriter()
    writer.ranks = 2
    body(&writer)
    let folder = try TemporaryFolder()
    try writer.write(to: folder)
    try change(folder)
    let output = folder.path.appending("out")
    let result = failure { _ = try Conversion(of: index(folder.path)).run(to: output) }
    let left = try folder.names().filter { $0 != "latest" && $0 != "global_step10" && $0 != "out" }
    #expect(left.isEmpty, "nothing is left next to the output")
    #expect(result == "none" || !FileSystem.exists(output))
    return result
  }

  private func file(_ name: String) -> (TemporaryFolder) -> FilePath {
    { $0.path.appending("global_step10").appending(name) }
  }

  @Test func missingAndDoubleFilesAreNamed() throws {
    #expect(try dump() == "none")
    let layer = file("layer_04-model_01-model_states.pt")
    #expect(try dump(then: { try remove(layer($0)) }) == "65 checkpoint/missing-rank")
    #expect(
      try dump(then: { folder in
        for rank in 0..<2 { try remove(file("layer_03-model_0\(rank)-model_states.pt")(folder)) }
      }) == "65 checkpoint/missing-files")
    #expect(
      try dump(
        { $0.model = TestModel(layers: 3) },
        then: { folder in
          for rank in 0..<2 { try remove(file("layer_04-model_0\(rank)-model_states.pt")(folder)) }
        }) == "65 checkpoint/missing-layer")
    #expect(
      try dump(then: { folder in
        for rank in 0..<2 { try remove(file("layer_06-model_0\(rank)-model_states.pt")(folder)) }
      }) == "65 checkpoint/missing-tensor")
    #expect(
      try dump(then: { try copy(layer($0), to: file("layer_4-model_1-model_states.pt")($0)) })
        == "65 checkpoint/duplicate-rank")
    #expect(
      try dump(then: { try remove(file("mp_rank_01_model_states.pt")($0)) })
        == "65 checkpoint/missing-rank")
    #expect(
      try dump({ $0.stages = 2 }, then: { try remove(file("mp_rank_02_model_states.pt")($0)) })
        == "65 checkpoint/missing-rank")
    #expect(
      try dump(then: { folder in
        for name in try contents(folder.path.appending("global_step10"))
        where name.contains("model_01-") {
          try remove(file(name)(folder))
        }
      }) == "65 checkpoint/missing-files")
  }

  @Test func shapesThatDisagreeAreNamed() throws {
    let cut: (String) -> (String, Int, inout TestTensor) -> Void = { wanted in
      { name, rank, tensor in
        guard name.hasSuffix(wanted), rank == 1, name.hasPrefix("layers.1") else { return }
        tensor.shape[0] -= 1
        tensor.values.removeLast(tensor.shape.count > 1 ? tensor.shape[1] : 1)
      }
    }
    #expect(
      try dump({ $0.change = cut("input_layernorm.bias") }) == "65 tensor/ranks-disagree")
    #expect(
      try dump({ $0.change = cut("dense_h_to_4h.weight") }) == "65 tensor/ranks-disagree")
    #expect(
      try dump({ writer in
        writer.change = { name, _, tensor in
          guard name == "layers.1.mlp.dense_h_to_4h.bias" else { return }
          tensor = TestTensor([3], [1, 2, 3])
        }
      }) == "65 tensor/unexpected-shape")
    for (key, status) in [
      ("hidden_size", "78 arguments/contradiction"), ("num_layers", "65 checkpoint/missing-files"),
      ("padded_vocab_size", "78 arguments/contradiction"),
      ("ffn_hidden_size", "78 arguments/contradiction"),
      ("max_position_embeddings", "78 arguments/contradiction"),
    ] {
      #expect(try dump({ $0.arguments[key] = { $0.int(99) } }) == status, "\(key)")
    }
    #expect(
      try dump({ $0.arguments["num_attention_heads"] = { $0.int(3) } }) == "78 arguments/heads")
    #expect(
      try dump({ $0.arguments["num_attention_heads"] = { $0.int(1) } }) == "78 arguments/heads")
    #expect(
      try dump({ $0.arguments["num_attention_heads"] = { $0.string("four") } })
        == "78 arguments/type")
  }

  @Test func tensorsThatNoRuleNamesAreNamed() throws {
    #expect(
      try dump(then: { folder in
        // The final layernorm's file again, as a layer that holds something else.
        var pickle = PickleWriter()
        pickle.dict { entries in
          entries.string("mystery")
          entries.tensor("FloatStorage", key: "0", count: 1, offset: 0, sizes: [1], strides: [1])
        }
        for rank in 0..<2 {
          try folder.write(
            "global_step10/layer_09-model_0\(rank)-model_states.pt",
            ZipWriter([.init("a/data.pkl", pickle.finished), .init("a/data/0", [0, 0, 0, 0])]).bytes
          )
        }
      }) == "65 checkpoint/unknown-tensor")
  }

  @Test func withoutArgumentsMissingBlocksAtEitherEndAreSeenByTheNumbers() throws {
    for missing in ["03", "05"] {
      let folder = try TemporaryFolder()
      var writer = DumpWriter(TestModel(layers: 3))
      writer.hasStates = false
      try writer.write(to: folder)
      try remove(file("layer_\(missing)-model_00-model_states.pt")(folder))
      #expect(
        failure { _ = try index(folder.path, ["num_attention_heads=4"]) }
          == "65 checkpoint/missing-layer")
    }
  }

  @Test func aBiasThatIsMissingOnOneBlockIsNoModelWithoutBiases() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.arguments["add_bias_linear"] = { $0.bool(false) }
    try writer.write(to: folder)
    let index = try index(folder.path).changed {
      $0.tensors.removeAll { $0.name == "layers.1.mlp.dense_h_to_4h.bias" }
    }
    #expect(failure { _ = try Planner.plan(index) } == "65 checkpoint/missing-tensor")
  }

  @Test func aHeadThatTheArgumentsDenyIsAContradiction() throws {
    #expect(
      try dump({ writer in
        writer.model = TestModel(untied: true)
        writer.arguments["untie_embeddings_and_output_weights"] = { $0.bool(false) }
      }) == "78 arguments/contradiction")
  }

  @Test func aMissingLastRankIsNoQuestionOfHeads() throws {
    #expect(
      try dump(
        { $0.ranks = 4 },
        then: { folder in
          for name in try contents(folder.path.appending("global_step10"))
          where name.contains("model_03-") { try remove(file(name)(folder)) }
        }) == "65 checkpoint/missing-files")
  }

  @Test func oneTensorUnderTwoNamesOnOneRankIsNotTakenForTwoRanks() throws {
    // Rank 0 holds both names, rank 1 none: as many shards as ranks, and half of the weight
    // missing.
    let result = try dump(then: { folder in
      for rank in 0..<2 {
        var pickle = PickleWriter()
        var storages: [ZipWriter.Entry] = []
        pickle.dict { entries in
          for name in rank == 0
            ? ["self_attention.dense.weight", "attention.dense.weight"] : ["input_layernorm.bias"]
          {
            entries.string(name)
            entries.tensor(
              "FloatStorage", key: "\(storages.count)", count: 32, offset: 0, sizes: [8, 4],
              strides: [4, 1])
            storages.append(.init("a/data/\(storages.count)", [UInt8](repeating: 0, count: 128)))
          }
        }
        try folder.write(
          "global_step10/layer_04-model_0\(rank)-model_states.pt",
          ZipWriter([.init("a/data.pkl", pickle.finished)] + storages).bytes)
      }
    })
    #expect(result == "65 checkpoint/duplicate-tensor")
  }

  @Test func ranksThatDisagreeAboutTheVersionAreNamed() throws {
    let result = try dump(then: { folder in
      let other = try TemporaryFolder()
      var writer = DumpWriter()
      writer.ranks = 2
      writer.version = 0
      try writer.write(to: other)
      let name = "mp_rank_01_model_states.pt"
      try remove(file(name)(folder))
      try copy(file(name)(other), to: file(name)(folder))
    })
    #expect(result == "65 checkpoint/mixed-files")
  }

  @Test func aNormBeforeTheBlocksIsNoFinalLayernorm() throws {
    let result = try dump(then: { folder in
      for rank in 0..<2 {
        try move(
          file("layer_06-model_0\(rank)-model_states.pt")(folder),
          to: file("layer_02-model_0\(rank)-model_states.pt")(folder))
      }
    })
    #expect(result == "65 checkpoint/layer-order")
  }

  @Test func aVocabularyThatIsSaidToBeHugeOrNegativeIsUnknown() throws {
    for size in [Int.min, -5, 0, 1 << 62] {
      let folder = try TemporaryFolder()
      try DumpWriter().write(to: folder)
      let index = try index(folder.path).changed {
        $0.originalVocabularySize = size
        $0.arguments.override(["original_vocab_size": .int(size)])
      }
      #expect(failure { _ = try Planner.plan(index) } == "none")
      var options = ConversionOptions()
      options.vocabulary = .trim
      #expect(failure { _ = try Planner.plan(index, options: options) } == "78 vocabulary/unknown")
    }
  }

  @Test func filesOfTwoCheckpointsAreNamed() throws {
    #expect(
      try dump(then: { folder in
        let other = try TemporaryFolder()
        var writer = DumpWriter()
        writer.ranks = 2
        writer.arguments["num_layers"] = { $0.int(3) }
        try writer.write(to: other)
        let name = "mp_rank_01_model_states.pt"
        try remove(file(name)(folder))
        try copy(file(name)(other), to: file(name)(folder))
      }) == "65 checkpoint/mixed-files")
  }

  @Test func aFlippedByteInTheWeightsIsFound() throws {
    let result = try dump(then: { folder in
      let path = file("layer_03-model_00-model_states.pt")(folder)
      var bytes = try bytes(of: path)
      // The bias of the first layernorm has the numbers 177 to 184.
      let position = try #require(bytes.firstRange(of: little(Int(Float(180).bitPattern), 4)))
      bytes[position.lowerBound + 1] ^= 0x10
      try folder.write("global_step10/layer_03-model_00-model_states.pt", bytes)
    })
    #expect(result == "65 zip/crc-mismatch")
  }

  @Test func aTruncatedFileIsFound() throws {
    for keep in [0, 10, 500, 2000] {
      let result = try dump(then: { folder in
        let name = "global_step10/layer_03-model_00-model_states.pt"
        try folder.write(name, Array(bytes(of: folder.path.appending(name)).prefix(keep)))
      })
      #expect(result.hasPrefix("65 "), "\(keep): \(result)")
    }
  }

  @Test func aFileThatIsReplacedMeanwhileIsFound() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    let converter = try Conversion(of: index(folder.path))
    let name = "global_step10/layer_03-model_00-model_states.pt"
    try folder.write(name, bytes(of: folder.path.appending(name)))
    #expect(
      failure { _ = try converter.run(to: folder.path.appending("out")) } == "74 io/changed")
  }

  @Test func aFileThatIsChangedAfterItWasReadAndClosedIsFound() throws {
    // More ranks than files are held open; and a part, because the finish of a whole run opens all
    // again.
    let part = try #require(WorkShare("1/1"))
    let folder = try TemporaryFolder()
    var writer = DumpWriter(TestModel(hidden: 16, heads: 8, feedForward: 16))
    writer.ranks = 8
    try writer.write(to: folder)
    let converter = try Conversion(of: index(folder.path))
    let name = "global_step10/layer_01-model_00-model_states.pt"
    let bytes = try bytes(of: folder.path.appending(name))
    let result = failure {
      _ = try converter.run(
        to: folder.path.appending("out"), options: RunOptions(work: .part(part))
      ) { event in
        guard case .reading(let count) = event, count == converter.plan.sourceBytes else { return }
        _ = try? folder.write(name, bytes)
      }
    }
    #expect(result == "74 io/changed")
  }

  @Test func foldersWithoutACheckpointAreNoInput() throws {
    let folder = try TemporaryFolder()
    #expect(failure { _ = try index(folder.path) } == "66 checkpoint/none")
    #expect(failure { _ = try index(folder.path.appending("none")) } == "66 io/not-found")
    try folder.write("latest", Array("global_step7\n".utf8))
    #expect(failure { _ = try index(folder.path) } == "66 checkpoint/no-step")
    try folder.write("latest", Array("../elsewhere".utf8))
    #expect(failure { _ = try index(folder.path) } == "65 checkpoint/bad-tag")
    try remove(folder.path.appending("latest"))
    for step in [1, 2] { try folder.write("global_step\(step)/x", [1]) }
    #expect(failure { _ = try index(folder.path) } == "78 checkpoint/several-steps")
  }

  @Test func aStepIsChosenByTagOrIteration() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try move(folder.path.appending("global_step10"), to: folder.path.appending("global_step20"))
    let choices: [CheckpointFolder.Choice] = [.tag("global_step20"), .iteration(20)]
    for choice in choices {
      #expect(
        try CheckpointFolder(scanning: folder.path, choice: choice).tag == "global_step20")
    }
    #expect(
      failure { _ = try CheckpointFolder(scanning: folder.path, choice: .iteration(5)) }
        == "66 checkpoint/no-step")
    let step = try CheckpointFolder(scanning: folder.path.appending("global_step20"))
    #expect(step.layout == .deepspeedPipeline)
  }
}
