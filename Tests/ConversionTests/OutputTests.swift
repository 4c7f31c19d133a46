import Architectures
import ByteIO
import Foundation
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

@Suite struct OutputTests {
  /// A dump and its conversion.
  private struct World {
    let folder: TemporaryFolder
    let index: Checkpoint
    var output: FilePath { folder.path.appending("out") }

    init(_ options: ConversionOptions = ConversionOptions()) throws {
      folder = try TemporaryFolder()
      var writer = DumpWriter()
      writer.ranks = 2
      try writer.write(to: folder)
      index = try ConversionTests.index(folder.path)
      _ = try Conversion(of: index, options: options).run(to: output)
    }

    /// Changes the text of a file of the output.
    func edit(_ name: String, _ body: (String) -> String) throws {
      let text = String(decoding: try bytes(of: output.appending(name)), as: UTF8.self)
      try folder.write("out/\(name)", Array(body(text).utf8))
    }

    /// The codes of the faults and notes of the output alone.
    func verdict() throws -> (faults: Set<String>, notes: Set<String>) {
      let verifier = try ModelVerifier(output: output)
      return (Set(verifier.faults.map(\.code.name)), Set(verifier.notes.map(\.code.name)))
    }

    /// The codes of the faults against the checkpoint.
    func against(_ choices: VerificationChoices = VerificationChoices()) throws -> Set<String> {
      var verifier = try ModelVerifier(output: output)
      _ = try verifier.compare(with: index, choices: choices)
      return Set(verifier.faults.map(\.code.name))
    }
  }

  @Test func theSameInputGivesTheSameBytes() throws {
    let world = try World()
    _ = try Conversion(of: world.index).run(to: world.folder.path.appending("again"))
    for name in try contents(world.output) {
      #expect(
        try bytes(of: world.output.appending(name))
          == bytes(of: world.folder.path.appending("again").appending(name)), "\(name)")
    }
    #expect(
      try contents(world.output) == [
        "README.md", "config.json", "conversion_manifest.json", "generation_config.json",
        "model.safetensors",
      ])
  }

  @Test func anOutputThatIsThereAlreadyIsLeftAlone() throws {
    let world = try World()
    let before =
      try FileManager.default.attributesOfItem(
        atPath: world.output.appending("model.safetensors").string)[.modificationDate] as? Date
    #expect(try Conversion(of: world.index).run(to: world.output).outcome == .unchanged)
    let after =
      try FileManager.default.attributesOfItem(
        atPath: world.output.appending("model.safetensors").string)[.modificationDate] as? Date
    #expect(before == after)
    var options = ConversionOptions()
    options.dtype = .f16
    let other = try Conversion(of: world.index, options: options)
    #expect(failure { _ = try other.run(to: world.output) } == "73 output/exists")
    #expect(
      try other.run(to: world.output, options: RunOptions(overwrite: true)).outcome == .overwritten)
    #expect(try digests(world.output).values.allSatisfy { $0.hasPrefix("F16 ") })
    #expect(try world.folder.names() == ["global_step10", "latest", "out"])
  }

  @Test func aSettingThatChangesOnlyTheValuesMakesAnotherOutput() throws {
    // Neither shows in config.json or in a header.
    let world = try World()
    let increased = try Conversion(
      of: ConversionTests.index(world.folder.path, ["apply_layernorm_1p=true"]))
    #expect(failure { _ = try increased.run(to: world.output) } == "73 output/exists")
    let folder = try TemporaryFolder()
    let output = folder.path.appending("out")
    let shared = ["num_unique_layers=4", "num_layers=8"]
    for (style, result) in [
      ("grouped", "none"), ("grouped", "none"), ("spaced", "73 output/exists"),
    ] {
      let converter = try Conversion(
        of: ConversionTests.index(
          fixture("layouts/classic_2020_tp2"), shared + ["param_sharing_style=\(style)"]))
      #expect(failure { _ = try converter.run(to: output) } == result)
    }
  }

  @Test func theInputIsNeverOverwritten() throws {
    let world = try World()
    let step = world.folder.path.appending("global_step10")
    let link = world.folder.path.appending("link")
    try FileManager.default.createSymbolicLink(
      atPath: link.string, withDestinationPath: step.string)
    for path in [step, world.folder.path, link] {
      #expect(
        failure {
          _ = try Conversion(of: world.index).run(to: path, options: RunOptions(overwrite: true))
        }
          == "73 io/same-file")
    }
    #expect(try ConversionTests.index(world.folder.path).blockCount == 2)
  }

  @Test func anOutputIsReadBackBeforeItAppears() throws {
    let world = try World()
    let converter = try Conversion(of: world.index)
    for check in ReadBack.allCases {
      let path = world.folder.path.appending("out-\(check.rawValue)")
      #expect(try converter.run(to: path, options: RunOptions(check: check)).outcome == .created)
    }
    // What a bad disk could leave behind: a file that is short, or has other bytes.
    let whole = try bytes(of: world.output.appending("model.safetensors"))
    var flipped = whole
    flipped[whole.count - 2] ^= 1
    for (bytes, check) in [(Array(whole.dropLast()), ReadBack.fast), (flipped, .full)] {
      let folder = try OutputTransaction(
        world.folder.path.appending("other"), fingerprint: "0123456789abcdef", overwrite: false,
        inputs: [])
      try folder.begin(bytes: 1)
      try folder.write(bytes, as: "model.safetensors")
      #expect(
        failure { _ = try converter.recheck(folder, RunOptions(check: check)) }
          == "74 output/damaged")
      try remove(world.folder.path.appending(".other.meg2hf-0123456789abcdef"))
    }
  }

  @Test func layernormsFarFromOneAreWarnedAbout() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.change = { name, _, tensor in
      if name.hasSuffix("layernorm.weight") {
        // Stored as the distance from 1, and not said so.
        tensor = TestTensor(tensor.shape, tensor.values.map { _ in 0.01 })
      }
    }
    try writer.write(to: folder)
    let result = try Conversion(of: index(folder.path)).run(to: folder.path.appending("out"))
    #expect(result.warnings.filter { $0.code.name == "values/layernorm" }.count == 5)
    let right = try Conversion(of: index(folder.path, ["apply_layernorm_1p=true"]))
      .run(to: folder.path.appending("right"))
    #expect(!right.warnings.contains { $0.code.name == "values/layernorm" })
  }

  @Test func valuesThatAreNotFiniteAndOverflowsAreCounted() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.change = { name, _, tensor in
      if name == "final_layernorm.bias" {
        tensor.values = [.nan, .infinity, -.infinity, 1e6, -1e6, 65504, 65519, 65520]
      }
    }
    try writer.write(to: folder)
    var options = ConversionOptions()
    options.dtype = .f16
    let result = try Conversion(of: index(folder.path), options: options)
      .run(to: folder.path.appending("out"))
    let finding = try #require(
      result.report.findings[result.report.findings.keys.max() ?? 0])
    #expect(finding.floats.nan == 1)
    #expect(finding.floats.infinite == 2)
    #expect(finding.floats.overflowed == 3)
    #expect(
      Set(result.warnings.map(\.code.name)).isSuperset(of: ["values/not-finite", "values/overflow"])
    )
  }

  @Test func aLinkInThePlaceOfTheHiddenFolderIsNotFollowed() throws {
    let world = try World()
    let victim = try world.folder.write("victim/precious", [1]).removingLastComponent()
    try remove(world.output)
    let converter = try Conversion(of: world.index)
    // The name follows from the fingerprint, which the manifest of an earlier output shows.
    let print = try converter.run(to: world.output).fingerprint
    try remove(world.output)
    try FileManager.default.createSymbolicLink(
      atPath: world.folder.path.appending(".out.meg2hf-\(print.prefix(16))").string,
      withDestinationPath: victim.string)
    #expect(failure { _ = try converter.run(to: world.output) } == "73 output/staging")
    #expect(try contents(victim) == ["precious"])
  }

  @Test func aStorageThatTwoShardsShareIsStillVerified() throws {
    // All tensors of a layer as views of one storage, as DeepSpeed saved them before 0.5.2.
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.isFlat = true
    try writer.write(to: folder)
    let index = try ConversionTests.index(folder.path)
    var options = ConversionOptions()
    options.maximumShardSize = 300
    let result = try Conversion(of: index, options: options).run(to: folder.path.appending("a"))
    #expect(result.report.crcVerified == 4)
    #expect(result.report.crcPartlyRead == 0)
    let name = "global_step10/layer_03-model_00-model_states.pt"
    var bytes = try bytes(of: folder.path.appending(name))
    let position = try #require(bytes.firstRange(of: little(Int(Float(300).bitPattern), 4)))
    bytes[position.lowerBound] ^= 1
    try folder.write(name, bytes)
    let damaged = try Conversion(of: ConversionTests.index(folder.path), options: options)
    #expect(
      failure { _ = try damaged.run(to: folder.path.appending("b")) } == "65 zip/crc-mismatch")
  }

  @Test func nothingButAFolderIsEverReplaced() throws {
    let world = try World()
    try world.folder.write("file", [1])
    let options = RunOptions(overwrite: true)
    let path = world.folder.path.appending("file")
    #expect(
      failure { _ = try Conversion(of: world.index).run(to: path, options: options) }
        == "73 io/not-a-folder")
    #expect(try bytes(of: path) == [1])
  }

  @Test func anOutputThatCannotBeCreatedIsRefused() throws {
    let world = try World()
    try world.folder.write("file", [1])
    let path = world.folder.path.appending("file/out")
    #expect(failure { _ = try Conversion(of: world.index).run(to: path) } == "73 io/not-a-folder")
  }

  @Test func shardsAndTheirIndexAreWhole() throws {
    var options = ConversionOptions()
    options.maximumShardSize = 1500
    let world = try World(options)
    let names = try contents(world.output).filter { $0.hasSuffix(".safetensors") }
    #expect(names.count > 3)
    #expect(try world.verdict() == ([], []))
    #expect(try world.against().isEmpty)
    let plain = try World()
    #expect(try digests(world.output) == digests(plain.output))
    try remove(world.output.appending(names[1]))
    #expect(try world.verdict().faults.contains("index/missing-file"))
  }

  @Test func aFullConversionHasNoFault() throws {
    let world = try World()
    #expect(try world.verdict() == ([], []))
    #expect(try world.against().isEmpty)
  }

  /// Changes to `config.json`, and the fault that follows.
  @Test func configurationsThatLoadWronglyAreFaults() throws {
    let changes: [(String, String, String)] = [
      (#""n_layer": 2"#, #""n_layer": 3"#, "output/layers"),
      (#""n_layer": 2"#, #""n_layer": 1"#, "output/layers"),
      (#""n_embd": 8"#, #""n_embd": 12"#, "output/another-model"),
      (#""n_inner": 12"#, #""n_inner": null"#, "output/shape"),
      (#""vocab_size": 16"#, #""vocab_size": 15"#, "output/shape"),
      (#""n_head": 4"#, #""n_head": 3"#, "config/heads"),
      (#""model_type": "gpt2""#, #""model_type": "opt""#, "config/model-type"),
      (#""n_positions": 5,"#, "", "config/missing-field"),
      (#""layer_norm_epsilon": 1e-05"#, #""layer_norm_epsilon": 1"#, "config/type"),
      (#""use_cache": true"#, #""use_cache": 1"#, "config/type"),
      (#""dtype": "float32""#, #""dtype": "float16""#, "output/dtype"),
      (#""torch_dtype": "float32""#, #""torch_dtype": "torch.float32""#, "config/dtype"),
      (#""tie_word_embeddings": true"#, #""tie_word_embeddings": false"#, "output/missing-tensor"),
      ("}", ",}", "json/syntax"),
    ]
    for (from, to, code) in changes {
      let world = try World()
      try world.edit("config.json") { text in
        #expect(text.contains(from), "\(from)")
        return text.replacingOccurrences(of: from, with: to)
      }
      #expect(try world.verdict().faults.contains(code), "\(to)")
    }
  }

  @Test func aConfigurationThatDisagreesWithTheCheckpointIsAFault() throws {
    for (from, to) in [
      (#""activation_function": "gelu_fast""#, #""activation_function": "gelu""#),
      (#""n_head": 4"#, #""n_head": 2"#),
      (#""layer_norm_epsilon": 1e-05"#, #""layer_norm_epsilon": 1e-06"#),
    ] {
      let world = try World()
      try world.edit("config.json") { $0.replacingOccurrences(of: from, with: to) }
      #expect(try world.against().contains("config/disagrees"), "\(to)")
    }
    // Three names for one function.
    let world = try World()
    try world.edit("config.json") {
      $0.replacingOccurrences(of: "gelu_fast", with: "gelu_new")
    }
    #expect(try !world.against().contains("config/disagrees"))
  }

  @Test func aValueThatDiffersIsFoundAndPlaced() throws {
    let world = try World()
    var file = try bytes(of: world.output.appending("model.safetensors"))
    file[file.count - 1] ^= 0x01
    try world.folder.write("out/model.safetensors", file)
    #expect(try world.verdict().faults.isEmpty)
    var verifier = try ModelVerifier(output: world.output)
    _ = try verifier.compare(with: world.index)
    #expect(verifier.faults.map(\.code.name) == ["output/values"])
    // The last tensor by name.
    #expect(verifier.faults.first?.tensor == "transformer.wte.weight")
    #expect(verifier.faults.first?.message.contains("1 of 128 elements") == true)
    #expect(verifier.faults.first?.message.contains("[15, 7]") == true)
  }

  @Test func aWronglyTransposedSquareWeightIsFound() throws {
    let world = try World()
    var file = try bytes(of: world.output.appending("model.safetensors"))
    let opened = try SafetensorsFile(opening: world.output.appending("model.safetensors"))
    let tensor = try #require(
      opened.header.tensors.first { $0.name == "transformer.h.1.attn.c_proj.weight" })
    let start = opened.dataStart + tensor.dataOffsets.lowerBound
    let original = file
    for row in 0..<8 {
      for column in 0..<8 {
        for byte in 0..<4 {
          file[start + (row * 8 + column) * 4 + byte] =
            original[start + (column * 8 + row) * 4 + byte]
        }
      }
    }
    try world.folder.write("out/model.safetensors", file)
    #expect(try world.against() == ["output/values"])
  }

  @Test func anOrderOfQueryKeyAndValueThatTheCheckpointDeniesIsAFault() throws {
    var options = ConversionOptions()
    options.qkvLayout = .thirds
    let world = try World(options)
    #expect(try world.against() == ["qkv/disagrees", "output/values"])
    var choices = VerificationChoices()
    choices.qkvLayout = .thirds
    #expect(try world.against(choices).isEmpty)
  }

  @Test func withoutAManifestTheOutputTellsItsOptions() throws {
    for (dtype, style) in [(DType.f16, KeyStyle.bare), (.bf16, .transformer)] {
      var options = ConversionOptions()
      options.dtype = dtype
      options.keyStyle = style
      options.vocabulary = .rows(13)
      let world = try World(options)
      try remove(world.output.appending("conversion_manifest.json"))
      #expect(try world.verdict() == ([], []))
      #expect(try world.against().isEmpty)
    }
  }

  /// Directories of other tools hold masks and a copy of the embedding.
  @Test func whatOtherToolsWriteIsNotedAndNoFault() throws {
    let world = try World()
    let opened = try SafetensorsFile(opening: world.output.appending("model.safetensors"))
    func write(head: (inout [UInt8]) -> Void) throws {
      var tensors = opened.header.tensors.map { ($0.name, $0.dtype, $0.shape) }
      tensors.append(("lm_head.weight", .f32, [16, 8]))
      tensors.append(("transformer.h.0.attn.bias", .u8, [1, 1, 5, 5]))
      tensors.append(("transformer.h.0.attn.masked_bias", .f32, []))
      let header = SafetensorsHeader(laying: tensors, metadata: nil)
      var data: [UInt8] = []
      for tensor in header.tensors {
        let source = tensor.name == "lm_head.weight" ? "transformer.wte.weight" : tensor.name
        if let found = opened.header.tensors.first(where: { $0.name == source }) {
          var bytes = try opened.file.read(
            at: opened.dataStart + found.dataOffsets.lowerBound, count: found.dataOffsets.count)
          if tensor.name == "lm_head.weight" { head(&bytes) }
          data += bytes
        } else {
          data += [UInt8](repeating: 0, count: tensor.dataOffsets.count)
        }
      }
      try world.folder.write("out/model.safetensors", header.serialized + data)
    }
    try remove(world.output.appending("conversion_manifest.json"))
    try write { _ in }
    #expect(
      try world.verdict() == (
        [], ["safetensors/format", "output/tied-head", "output/mask-buffer"]
      ))
    #expect(try world.against().isEmpty)
    try write { $0[0] ^= 1 }
    #expect(try world.verdict().faults == ["output/tied-head"])
  }

  private func compare(_ a: FilePath, _ b: FilePath) throws -> ModelComparison {
    func side(_ path: FilePath) throws -> ComparedModel {
      try ComparedModel(path) { try Checkpoint(reading: CheckpointFolder(scanning: $0)) }
    }
    return try ModelComparison(side(a), side(b))
  }

  @Test func differencesAreShownTensorByTensor() throws {
    let a = try World()
    var options = ConversionOptions()
    options.keyStyle = .bare
    let b = try World(options)
    #expect(try compare(a.output, b.output).isEqual)
    options.dtype = .bf16
    options.vocabulary = .rows(15)
    let c = try World(options)
    let rows = try compare(a.output, c.output).rows
    #expect(rows.first { $0.name == "wte.weight" }?.status == .shape)
    let norm = try #require(rows.first { $0.name == "ln_f.bias" })
    #expect(norm.status == .dtype)
    // 8 bits of precision for numbers around 1300: steps of 8, rounded to at most 4 away.
    #expect(norm.largest == 4)
    var file = try bytes(of: b.output.appending("model.safetensors"))
    file[file.count - 1] ^= 0x80
    try b.folder.write("out/model.safetensors", file)
    let changed = try compare(a.output, b.output).rows.filter { $0.status != .equal }
    #expect(changed.map(\.name) == ["wte.weight"])
    #expect(changed.first?.differing == 1)
  }
}
