import Conversion
import DistributedCheckpoint
import EventLog
import LaunchScript
import Megatron
import Pickle
import Safetensors
import SystemPackage
import TestSupport
import Testing
import TorchArchive

/// The libraries as another package sees them: what their documentation shows.
@Suite struct LibraryTests {
  @Test func aPickleIsWalkedByKeysAndPositions() throws {
    var writer = PickleWriter()
    writer.dict { entries in
      entries.string("args")
      entries.global("argparse", "Namespace")
      entries.raw([0x29, 0x81])
      entries.dict { state in
        state.string("hidden_size")
        state.int(64)
        state.string("lr")
        state.double(0.5)
        state.string("tied")
        state.bool(true)
        state.string("nothing")
        state.none()
      }
      entries.code("b")
      entries.string("steps")
      entries.ints([1, 2, 3])
    }
    let root = try Pickle.load(writer.finished)
    let arguments = try #require(root["args"])
    #expect(arguments["hidden_size"]?.int == 64)
    #expect(arguments["lr"]?.double == 0.5 && arguments["hidden_size"]?.double == 64)
    #expect(arguments["tied"]?.bool == true && arguments["tied"]?.int == nil)
    #expect(arguments["nothing"]?.isNone == true && arguments["missing"] == nil)
    #expect(arguments.className == GlobalName("argparse", "Namespace"))
    #expect(
      arguments.entries?.map(\.key.string) == ["hidden_size", "lr", "tied", "nothing"])
    #expect(root["steps"]?.items?.map(\.int) == [1, 2, 3])
    #expect(root["steps"]?[2]?.int == 3 && root["steps"]?[3] == nil && root["steps"]?["x"] == nil)
    #expect(throws: PickleError.self) { try Pickle.load([0x80, 2]) }
  }

  @Test func theElementsOfAPyTorchTensorAreOneCall() throws {
    let folder = try TemporaryFolder()
    let values: [Float] = [1, -2.5, 3, 4, 5, 6]
    var pickle = PickleWriter()
    pickle.dict { entries in
      for (name, type) in [("w", "FloatStorage"), ("half", "HalfStorage"), ("ids", "LongStorage")] {
        entries.string(name)
        let count = type == "LongStorage" ? 1 : 6
        entries.tensor(
          type, key: name, count: count, offset: 0, sizes: count == 1 ? [1] : [3, 2],
          strides: count == 1 ? [1] : [1, 3])
      }
    }
    let path = try folder.write(
      "model.pt",
      ZipWriter([
        .init("a/data.pkl", pickle.finished),
        .init("a/data/w", values.flatMap { little(Int($0.bitPattern), 4) }),
        // 1, -2.5, 3, 4, 5 and 6 in binary16
        .init(
          "a/data/half",
          [0x3C00, 0xC100, 0x4200, 0x4400, 0x4500, 0x4600].flatMap { little($0, 2) }),
        .init("a/data/ids", little(7, 8)),
      ]).bytes)
    let file = try TorchFile(opening: path)
    #expect(try file.tensors().map(\.name) == ["w", "half", "ids"])
    #expect(try file.tensors().map(\.shape) == [[3, 2], [3, 2], [1]])
    // A transposed view in row-major order.
    let rows: [Float] = [1, 4, -2.5, 5, 3, 6]
    for name in ["w", "half"] {
      #expect(try file.floats(of: file.tensor(named: name)) == rows)
    }
    #expect(try file.bytes(of: file.tensor(named: "ids")) == little(7, 8))
    #expect { try file.floats(of: file.tensor(named: "ids")) } throws: {
      ($0 as? TorchFileError)?.code == .unknownDType
    }
    #expect { try file.tensor(named: "v") } throws: {
      ($0 as? TorchFileError)?.code == .tensorNotFound
    }
  }

  @Test func aSafetensorsFileIsWrittenAndReadBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("w.safetensors")
    try SafetensorsFile.write(
      [
        .init("b", [2, 2], [1, 2, 3, 4]), .init("a", .bf16, [2], [0x80, 0x3F, 0x00, 0xC0]),
        .init("empty", .i64, [0, 3], []),
      ], to: path)
    let file = try SafetensorsFile(opening: path)
    #expect(file.header.metadata == ["format": "pt"])
    #expect(file.header.tensors.map(\.name) == ["empty", "b", "a"])
    #expect(try file.floats(of: file.tensor(named: "b")) == [1, 2, 3, 4])
    #expect(try file.floats(of: file.tensor(named: "a")) == [1, -2])
    #expect(try file.bytes(of: file.tensor(named: "empty")).isEmpty)
    #expect(throws: SafetensorsError.self) { try file.floats(of: file.tensor(named: "empty")) }
    #expect(throws: SafetensorsError.self) { try file.tensor(named: "c") }
    // What exists stays, and nothing is left of an attempt.
    let before = try bytes(of: path)
    #expect(throws: (any Error).self) { try SafetensorsFile.write([], to: path) }
    for wrong: [SafetensorsFile.NewTensor] in [
      [.init("a", [2], [1])], [.init("a", [1], [1]), .init("a", [1], [1])],
      [.init("a", .u8, [-1], [])], [.init("a", .f4, [1], [0])],
    ] {
      #expect(throws: SafetensorsError.self) {
        try SafetensorsFile.write(wrong, to: folder.path.appending("x"))
      }
    }
    #expect(try bytes(of: path) == before)
    #expect(try folder.names() == ["w.safetensors"])
  }

  @Test func aConversionIsThreeCalls() throws {
    let folder = try TemporaryFolder()
    let directory = try CheckpointFolder(
      scanning: fixture("dumps/bs_tp1pp1_fp16_z1/ckpt"))
    let index = try Checkpoint(reading: directory)
    let result = try Conversion(of: index).run(to: folder.path.appending("gpt2"))
    #expect(result.outputs.map(\.name).contains("model.safetensors"))
    let model = try SafetensorsFile(opening: folder.path.appending("gpt2/model.safetensors"))
    let norm = try model.floats(of: model.tensor(named: "transformer.ln_f.weight"))
    #expect(norm.count == 32 && norm.allSatisfy(\.isFinite))
  }

  @Test func recordsOfARunAreReadAlone() throws {
    let logs = try EventLogs(fixture("logs/restarts"))
    let loss = try #require(logs.runs[0]["lm loss"])
    #expect(loss.points.last?.step == 60)
    let script = try LaunchScript(
      fixture("launch/2_slurm_double_quotes/train.sbatch"), environment: ["WORK": "/data"])
    let save = script.options.first { $0.name == "save" }
    #expect(save?.values == ["/data/heron/main"])
  }

  @Test func aTensorOfADistributedCheckpointIsOneCall() throws {
    let folder = try TemporaryFolder()
    var writer = DistributedWriter()
    writer.add("w", [4, 6], (0..<24).map { Float($0) }, cuts: [2, 3])
    writer.add("scalar", [], [7])
    writer.add("cube", [2, 3, 4], (0..<24).map { Float($0) }, cuts: [1, 3, 2])
    try writer.write(to: folder, "step")
    let checkpoint = try DistributedCheckpoint(opening: folder.path.appending("step"))
    #expect(checkpoint.tensors.map(\.name) == ["w", "scalar", "cube"])
    for name in ["w", "cube"] {
      let tensor = try #require(checkpoint.tensor(name))
      #expect(try checkpoint.floats(of: tensor) == (0..<24).map { Float($0) })
    }
    #expect(try checkpoint.floats(of: checkpoint.tensors[1]) == [7])
    #expect(checkpoint.tensor("v") == nil)
  }
}
