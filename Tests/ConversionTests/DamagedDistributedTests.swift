import Architectures
import Diagnostics
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import DistributedCheckpoint
@testable import HuggingFace
@testable import Megatron

/// Distributed checkpoints that are not whole, contradict themselves or mean harm.
@Suite struct DamagedDistributedTests {
  // MARK: - Not whole

  @Test func withoutTheHiddenFileItIsSaidWhatACopyLeavesOut() throws {
    let world = try DistributedWorld()
    try world.write()
    try remove(world.path.appending(".metadata"))
    let refusal = #expect(throws: Failure.self) { try index(world.path) }
    #expect(refusal?.code == .distributedIncomplete)
    #expect(refusal?.hint?.contains("hidden") == true)
    try world.folder.write("iter_0000007/.metadata.tmp", [1])
    #expect(failure { _ = try index(world.path) } == "75 distributed/unfinished")
    try remove(world.path.appending(".metadata.tmp"))
    try world.folder.write("iter_0000007/__0.metadata", [1])
    #expect(failure { _ = try index(world.path) } == "69 distributed/ranks")
  }

  @Test func aMissingFileIsNamed() throws {
    let world = try DistributedWorld()
    try world.write()
    try remove(world.path.appending("__1_0.distcp"))
    let refusal = #expect(throws: Failure.self) { try index(world.path) }
    #expect(refusal?.code == .distributedIncomplete)
    #expect(refusal?.message.contains("__1_0.distcp") == true)
  }

  @Test func metadataThatWasCutOffIsCalledThat() throws {
    let world = try DistributedWorld()
    try world.write()
    let path = "iter_0000007/.metadata"
    let whole = try bytes(of: world.folder.path.appending(path))
    try world.folder.write(path, Array(whole.prefix(whole.count / 2)))
    let refusal = #expect(throws: Failure.self) { try index(world.path) }
    #expect(refusal?.hint?.contains("not copied whole") == true, "\(String(describing: refusal))")
  }

  @Test func aLostCommonFileIsNotAModelWithoutArguments() throws {
    let folder = try TemporaryFolder()
    try copy(fixture("dumps/mcore012_tp2dp2_bf16_do_fsms/ckpt"), to: folder.path.appending("run"))
    let step = folder.path.appending("run/iter_0000010")
    try remove(step.appending("common.pt"))
    #expect(failure { _ = try index(step) } == "66 distributed/incomplete")
    // The same of zarr, and what describes its folders.
    try copy(fixture("dumps/mcore008_tp2_bf16_zarr/ckpt"), to: folder.path.appending("zarr"))
    let zarr = folder.path.appending("zarr/iter_0000010")
    try remove(zarr.appending("decoder.layers.mlp.linear_fc1.weight/.zarray"))
    let hidden = #expect(throws: Failure.self) { try index(zarr) }
    #expect(hidden?.message.contains(".zarray") == true)
    try remove(zarr.appending("metadata.json"))
    let refusal = #expect(throws: Failure.self) { try index(zarr) }
    #expect(refusal?.message.contains("zarr") == true)
  }

  @Test func aMissingFileOfZarrIsNamed() throws {
    let folder = try TemporaryFolder()
    try copy(fixture("dumps/mcore008_tp2_bf16_zarr/ckpt"), to: folder.path.appending("run"))
    let step = folder.path.appending("run/iter_0000010")
    try remove(step.appending("decoder.layers.mlp.linear_fc1.weight/2.1.0"))
    let refusal = #expect(throws: Failure.self) { try index(step) }
    #expect(refusal?.code == .distributedIncomplete)
    #expect(refusal?.message.contains("2.1.0") == true)
  }

  // MARK: - Hostile ones

  /// What is changed, and what is said to it.
  private static let attacks:
    [(name: String, code: String, change: @Sendable (inout DistributedWriter) -> Void)] =
      [
        ("a path", "65 distributed/path", { $0.tensors[0].chunks[0].place = ("../x", 0, 9) }),
        ("a folder", "65 distributed/path", { $0.tensors[0].chunks[0].place = ("a/b", 0, 9) }),
        (
          "an absolute path", "65 distributed/path",
          { $0.tensors[0].chunks[0].place = ("/x", 0, 9) }
        ),
        (
          "a negative offset", "65 distributed/range",
          {
            $0.tensors[0].chunks[0].place = ("__0_0.distcp", -1, 9)
          }
        ),
        (
          "a negative length", "65 distributed/range",
          {
            $0.tensors[0].chunks[0].place = ("__0_0.distcp", 0, -9)
          }
        ),
        (
          "the end of numbers", "65 distributed/range",
          {
            $0.tensors[0].chunks[0].place = ("__0_0.distcp", .max, .max)
          }
        ),
        (
          "beyond the file", "65 distributed/range",
          {
            $0.tensors[0].chunks[0].place = ("__0_0.distcp", 0, 1 << 40)
          }
        ),
        (
          "the bytes of another tensor", "65 distributed/range",
          {
            $0.tensors[0].chunks[0].place = ("__0_0.distcp", 0, 600)
          }
        ),
        ("a gap", "65 distributed/chunks", { $0.tensors[0].chunks.removeLast() }),
        (
          "a chunk twice", "65 distributed/chunks",
          {
            $0.tensors[0].chunks.append($0.tensors[0].chunks[0])
          }
        ),
        ("an overlap", "65 distributed/chunks", { $0.tensors[0].chunks[0].offsets[0] = 1 }),
        (
          "outside of the tensor", "65 distributed/chunks",
          {
            $0.tensors[0].chunks[0].offsets[0] = 99
          }
        ),
        ("a negative place", "65 distributed/chunks", { $0.tensors[0].chunks[0].offsets[0] = -8 }),
        ("more axes", "65 distributed/chunks", { $0.tensors[0].chunks[0].offsets.append(0) }),
        (
          "an endless shape", "65 distributed/chunks", { $0.tensors[0].shape = [1 << 40, 1 << 40] }
        ),
        ("a negative shape", "65 distributed/chunks", { $0.tensors[0].shape[0] = -16 }),
        (
          "endless blocks", "65 tensor/unexpected-shape",
          { writer in
            let stacked = writer.tensors.firstIndex { $0.name.contains("linear_fc1.bias") } ?? 0
            writer.tensors[stacked].shape = [1 << 40, 0]
            writer.tensors[stacked].chunks = []
          }
        ),
        (
          "blocks without elements", "65 tensor/unexpected-shape",
          {
            $0.add("decoder.layers.zz.weight", [65536, 0], [], cuts: [1, 1])
            $0.tensors[$0.tensors.count - 1].chunks = []
          }
        ),
        (
          "a block far behind the last", "65 checkpoint/missing-layer",
          {
            $0.add("decoder.layers.1000000.input_layernorm.bias", [0], [], cuts: [1])
            $0.tensors[$0.tensors.count - 1].chunks = []
          }
        ),
        ("a lost place", "65 distributed/chunks", { $0.tensors[0].chunks[0].isLost = true }),
        ("another type", "65 distributed/mismatch", { $0.tensors[0].dtype = "bfloat16" }),
        (
          "another shape", "65 distributed/mismatch",
          {
            let sizes = $0.tensors[0].chunks[0].sizes
            $0.tensors[0].chunks[0].storedSizes = [sizes[0] * sizes[1]]
          }
        ),
        (
          "an unknown transform", "69 distributed/transform",
          {
            $0.tensors[0].chunks[0].transforms = ["stream.rot13/1"]
          }
        ),
        ("another class", "65 distributed/metadata", { $0.rootClass = ("os", "system") }),
      ]

  @Test(arguments: attacks.indices)
  func whatContradictsItselfIsRefused(number: Int) throws {
    let attack = DamagedDistributedTests.attacks[number]
    var world = try DistributedWorld()
    attack.change(&world.writer)
    try world.write()
    #expect(failure { _ = try index(world.path) } == attack.code, "\(attack.name)")
  }

  @Test func ofAHugeNumberOfEntriesAnErrorIsLeft() throws {
    let folder = try TemporaryFolder()
    var pickle = PickleWriter()
    pickle.object(("torch.distributed.checkpoint.metadata", "Metadata")) { state in
      state.string("state_dict_metadata")
      state.dict { _ in }
      state.string("storage_data")
      state.dict { entries in
        for number in 0..<40_000 {
          entries.object(("torch.distributed.checkpoint.metadata", "MetadataIndex")) { index in
            index.string("fqn")
            index.string("\(number)")
          }
          entries.none()
        }
      }
    }
    try folder.write("step/.metadata", pickle.finished)
    #expect(
      failure { _ = try index(folder.path.appending("step")) } == "65 distributed/metadata")
  }

  /// Numbers of the arguments are rumours, too.
  @Test func vectorsOfMoreRanksThanThereAreAreRefused() throws {
    let settings = ["tensor_model_parallel_size=1048576", "pipeline_model_parallel_size=1048576"]
    #expect(
      failure {
        _ = try index(
          fixture("dumps/mcore012_tp2dp2_bf16_do_zero/ckpt"), settings, weights: .fp32Master)
      } == "78 masters/order")
  }

  @Test func mastersInAnOrderThatDoesNotFitAreRefused() throws {
    let folder = try TemporaryFolder()
    try copy(fixture("dumps/mcore012_tp2dp2_bf16_do_zero/ckpt"), to: folder.path.appending("run"))
    let step = folder.path.appending("run/iter_0000010")
    // One number of a vector is another one.
    let checkpoint = try index(step, weights: .fp32Master)
    let norm = try #require(checkpoint.tensor("layers.0.input_layernorm.bias"))
    let box = try #require(norm.shards[0].boxes.first)
    let file = checkpoint.files[box.file]
    var contents = try bytes(of: file.path)
    let start = box.tensor.storage.entry.dataOffset + box.tensor.storageOffset * 4
    contents[start + 3] ^= 0x40
    try folder.write("run/iter_0000010/\(file.name)", contents)
    #expect(failure { _ = try index(step, weights: .fp32Master) } == "78 masters/order")
  }

  /// Every prefix and every flipped bit of `.metadata` gives a value or an error.
  @Test func everyPrefixAndEveryFlippedBitOfMetadataGivesAValueOrAnError() throws {
    let folder = try TemporaryFolder()
    var writer = DistributedWriter()
    writer.add("decoder.final_layernorm.weight", [4], [1, 2, 3, 4], cuts: [2])
    let (files, metadata) = writer.contents
    for (file, bytes) in files { try folder.write("step/\(file)", bytes) }
    #expect(metadata.count < 2048)
    let path = folder.path.appending("step")
    var read = 0
    func attempt(_ bytes: [UInt8]) throws {
      try folder.write("step/.metadata", bytes)
      do {
        let found = try DistributedCheckpoint(opening: path)
        for tensor in found.tensors {
          for chunk in tensor.chunks { _ = try found.view(of: chunk, in: tensor) }
        }
        read += 1
      } catch {
        #expect(error.code.kind != .bug, "\(error)")
      }
    }
    for length in metadata.indices { try attempt(Array(metadata[..<length])) }
    for index in metadata.indices {
      for bit in 0..<8 {
        var changed = metadata
        changed[index] ^= 1 << UInt8(bit)
        try attempt(changed)
      }
    }
    #expect(read > 0 && read < metadata.count * 8)
  }

  // MARK: - Tiling

  @Test func boxesThatCrossAreFoundWhateverTheirOrder() {
    func fault(_ boxes: [([Int], [Int])], of shape: [Int]) -> String? {
      ChunkTiling(shape, boxes.map { (offsets: $0.0, sizes: $0.1) }).fault
    }
    // A pinwheel tiles without being cut along an axis.
    let pinwheel: [([Int], [Int])] = [
      ([0, 0], [1, 2]), ([0, 2], [2, 1]), ([2, 1], [1, 2]), ([1, 0], [2, 1]), ([1, 1], [1, 1]),
    ]
    #expect(fault(pinwheel, of: [3, 3]) == nil)
    #expect(fault(Array(pinwheel.dropLast()), of: [3, 3])?.contains("missing") == true)
    #expect(
      fault(pinwheel.dropLast() + [([0, 1], [1, 1])], of: [3, 3])?.contains("overlap") == true)
    #expect(fault([([], [])], of: []) == nil)
    #expect(fault([([], []), ([], [])], of: [])?.contains("overlap") == true)
    #expect(fault([], of: [0, 7]) == nil)
    #expect(fault([([0, 0], [0, 7])], of: [0, 7]) == nil)
  }
}
