import Architectures
import Diagnostics
import JSON
import SystemPackage
import TestSupport
import Testing
import TorchArchive

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// A layout that exists in these tests alone: `toy-R-of-N.pt` holds the tensors of rank R under the
/// names that all layouts share, and its settings as a dictionary.
private struct ToyReader: LayoutReader {
  let layout = CheckpointLayout("toy", title: "Toy")
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    (FilePattern("toy-{rank}-of-{ranks}.pt"), CheckpointFileKind(rawValue: "toy"))
  ]
  let marks = [CheckpointFileKind(rawValue: "toy")]

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    let files = checkpoint.folder.files.filter { marks.contains($0.kind) }
      .sorted { $0.numbers["rank"] ?? 0 < $1.numbers["rank"] ?? 0 }
    checkpoint.tensorParallel = files.count
    var parts: [String: [RankPart]] = [:]
    for file in files {
      let path = checkpoint.folder.path.appending(file.name)
      do {
        let torch = try TorchFile(opening: path, limits: checkpoint.limits)
        let position = checkpoint.add(torch, named: file.name)
        let root = torch.graph.root
        if let settings = torch.graph.value("settings", in: root) {
          checkpoint.arguments = TrainingArguments(settings, in: torch) ?? .absent
        }
        guard let weights = torch.graph.value("weights", in: root) else { continue }
        for named in try torch.namedTensors(below: weights) {
          guard let tensor = try checkpoint.kept(named, of: torch, file.name) else { continue }
          parts[named.name, default: []].append(
            RankPart(
              rank: file.numbers["rank"] ?? 0, file: position, key: named.name, tensor: tensor))
        }
      } catch {
        throw Failure(reading: error, file: path)
      }
    }
    checkpoint.checkpointVersion = 3
    checkpoint.tensors = parts.map { IndexedTensor(name: $0.key, shards: $0.value) }
      .sorted { ($0.name) < ($1.name) }
    checkpoint.blockCount =
      Set(parts.keys.filter { $0.hasPrefix("layers.") }.map { $0.split(separator: ".")[1] }).count
  }
}

/// A layout is one reader in Megatron, and nothing else changes: here it is a type of the tests.
@Suite struct LayoutSeamTests {
  /// Writes the file of a rank.
  private func file(_ model: TestModel, rank: Int, of ranks: Int) -> [UInt8] {
    var pickle = PickleWriter()
    var storages: [ZipWriter.Entry] = []
    pickle.dict { root in
      root.string("settings")
      root.dict { settings in
        settings.string("num_attention_heads")
        settings.int(model.heads)
        settings.string("bias_gelu_fusion")
        settings.bool(true)
      }
      root.string("weights")
      root.dict { weights in
        for name in model.tensors.keys.sorted() {
          guard let part = model.shard(name, rank: rank, of: ranks, order: .heads3HN) else {
            continue
          }
          let key = "\(storages.count)"
          weights.string(name)
          weights.tensor(
            "FloatStorage", key: key, count: part.values.count, offset: 0, sizes: part.shape,
            strides: part.shape.count == 2 ? [part.shape[1], 1] : [1])
          storages.append(
            ZipWriter.Entry(
              "archive/data/\(key)", part.values.flatMap { little(Int($0.bitPattern), 4) }))
        }
      }
    }
    return ZipWriter(
      [ZipWriter.Entry("archive/data.pkl", pickle.finished)] + storages
        + [ZipWriter.Entry("archive/version", Array("3\n".utf8))]
    ).bytes
  }

  @Test(arguments: [1, 2])
  func aLayoutOfTheTestsAloneIsConverted(ranks: Int) throws {
    let model = TestModel()
    let folder = try TemporaryFolder()
    for rank in 0..<ranks {
      try folder.write("run/toy-\(rank)-of-\(ranks).pt", file(model, rank: rank, of: ranks))
    }
    let run = folder.path.appending("run")
    let scanned = try CheckpointFolder(scanning: run, readers: [ToyReader()] + LayoutReaders.all)
    #expect(scanned.layout.title == "Toy")
    let checkpoint = try Checkpoint(reading: scanned)
    #expect(checkpoint.tensors.count == model.tensors.count)
    #expect(OptimizerFiles(checkpoint).text == "no files of its own")

    let output = folder.path.appending("out")
    let converter = try Conversion(of: checkpoint)
    #expect(converter.plan.decisions.first?.text == "toy")
    _ = try converter.run(to: output)
    let directory = try ModelDirectory(reading: output)
    let rules = GPT2().table.applied(blocks: model.layers) { _ in false }
    for name in model.tensors.keys {
      let target = try #require(rules.first { $0.source == name }).target
      let expected = try #require(model.expected(name))
      let found = try #require(directory[GPT2().format.name(target)], "\(name)")
      #expect(found.declared.shape == expected.shape, "\(name)")
      let bytes = try found.file.file.read(
        at: found.start, count: found.declared.dataOffsets.count)
      #expect(bytes == expected.values.flatMap { little(Int($0.bitPattern), 4) }, "\(name)")
    }
    // Without its reader the folder is none that is known.
    #expect(failure { _ = try CheckpointFolder(scanning: run) } == "66 checkpoint/none")
  }
}
