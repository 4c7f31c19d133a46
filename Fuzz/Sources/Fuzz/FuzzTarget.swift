import Conversion
import DistributedCheckpoint
import EventLog
import Glibc
import HuggingFace
import JSON
import LaunchScript
import Megatron
import Pickle
import Safetensors
import SystemPackage
import TorchArchive

/// What is fuzzed. An error is the expected answer to most inputs; a trap, an overflow, an unending
/// loop or memory without measure is a finding.
///
/// The tests of the main package compile this file too, to replay the seeds and what was found.
enum FuzzTarget: String, CaseIterable {
  case pickle, torch, safetensors, index, json, checkpoint, distributed, tokenizer, eventfile, event
  case shell

  /// Does with `bytes` all that the target's reader can do.
  ///
  /// - Throws: Whatever the reader says of an input that is wrong.
  func run(_ bytes: [UInt8], in scratch: Scratch) throws {
    switch self {
    case .pickle:
      let graph = try PickleMachine.load(bytes)
      _ = graph.entries(graph.root)?.map { graph.text($0.key) }
    case .torch: try FuzzTarget.read(scratch.write(bytes, "file.pt"))
    case .safetensors: _ = try SafetensorsFile(opening: scratch.write(bytes, "file.safetensors"))
    case .index: _ = try ShardIndex(parsing: bytes)
    case .json: _ = try JSONParser.parse(bytes)
    case .checkpoint: try FuzzTarget.convert(bytes, in: scratch)
    case .distributed: try FuzzTarget.open(bytes, in: scratch)
    case .tokenizer: try FuzzTarget.tokenize(bytes, in: scratch)
    case .eventfile: _ = try EventLogs(scratch.write(bytes, "events.out.tfevents"))
    case .shell: _ = try LaunchScript(bytes)
    case .event: _ = EventLogs.readsEvent(bytes)
    }
  }

  /// Lists the tensors of a file and reads all their values.
  private static func read(_ path: FilePath) throws {
    let file = try TorchFile(opening: path)
    let reader = TensorReader(file, windowSize: 1 << 16)
    for named in try file.namedTensors().prefix(200) {
      guard let tensor = try? file.tensor(named.node), tensor.byteCount < 1 << 20 else { continue }
      try reader.forEachPart(of: tensor) { _, _ in }
      _ = try reader.verdict(tensor.storage, all: true)
    }
  }

  /// Takes the input as a distributed checkpoint: after two bytes with its length, `.metadata`, and
  /// then the only file that it can name; or, after a Z, as the description of a tensor in zarr.
  private static func open(_ bytes: [UInt8], in scratch: Scratch) throws {
    let folder = scratch.path.appending("distributed")
    for path in [folder, folder.appending("w")] { _ = mkdir(path.string, 0o700) }
    for name in [".metadata", "metadata.json"] { _ = unlink(folder.appending(name).string) }
    if bytes.first == UInt8(ascii: "Z") {
      _ = scratch.write(Array(#"{"sharded_backend": "zarr"}"#.utf8), "distributed/metadata.json")
      _ = scratch.write(Array(bytes.dropFirst()), "distributed/w/.zarray")
      for name in ["0", "0.0", "1.0"] {
        _ = scratch.write(Array(repeating: 1, count: 16), "distributed/w/\(name)")
      }
    } else {
      guard bytes.count > 2 else { return }
      let length = min(Int(bytes[0]) | Int(bytes[1]) << 8, bytes.count - 2)
      _ = scratch.write(Array(bytes[2..<2 + length]), "distributed/.metadata")
      _ = scratch.write(Array(bytes[(2 + length)...]), "distributed/__0_0.distcp")
    }
    let checkpoint = try DistributedCheckpoint(opening: folder)
    for tensor in checkpoint.tensors where tensor.shape.reduce(8, *) < 1 << 20 {
      _ = try checkpoint.bytes(of: tensor)
    }
    for object in checkpoint.objects { _ = try checkpoint.archive(of: object) }
  }

  /// Takes the input as `tokenizer.json`, or, after its first zero, as merges of the vocabulary
  /// before it, and encodes and decodes with that.
  private static func tokenize(_ bytes: [UInt8], in scratch: Scratch) throws {
    let folder = scratch.path.appending("tokenizer")
    _ = mkdir(folder.string, 0o700)
    let names = ["tokenizer.json", "vocab.json", "merges.txt"]
    for name in names { _ = unlink(folder.appending(name).string) }
    if let cut = bytes.firstIndex(of: 0) {
      _ = scratch.write(Array(bytes[..<cut]), "tokenizer/vocab.json")
      _ = scratch.write(Array(bytes[(cut + 1)...]), "tokenizer/merges.txt")
    } else {
      _ = scratch.write(bytes, "tokenizer/tokenizer.json")
    }
    let tokenizer = try Tokenizer(folder: folder)
    _ = tokenizer.decode(Array(0..<64) + [tokenizer.size])
    _ = try tokenizer.encode("ab abba it's <a> 12\u{E9}\n")
  }

  /// Puts the input in the place of one file of a whole checkpoint, which its first byte chooses,
  /// and converts that as far as it goes.
  private static func convert(_ bytes: [UInt8], in scratch: Scratch) throws {
    guard let first = bytes.first, !scratch.checkpoint.isEmpty else { return }
    let file = scratch.checkpoint[Int(first) % scratch.checkpoint.count]
    defer { _ = scratch.write(file.bytes, file.name) }
    _ = scratch.write(Array(bytes.dropFirst()), file.name)
    let index = try Checkpoint(
      reading: CheckpointFolder(scanning: scratch.path.appending("run")))
    let converter = try Conversion(of: index)
    guard converter.plan.sourceBytes < 1 << 20, converter.plan.tensorBytes < 1 << 20 else { return }
    _ = try converter.run(to: scratch.path.appending("out"), options: RunOptions(overwrite: true))
  }
}

/// A folder for the inputs, with a small checkpoint in it. It goes when the last user lets go of
/// it.
final class Scratch: Sendable {
  let path: FilePath
  /// The files of the checkpoint, sorted by name.
  let checkpoint: [(name: String, bytes: [UInt8])]

  /// Makes the folder.
  ///
  /// - Parameters:
  ///   - parent: Where it is made.
  ///   - source: The step of a checkpoint, of which the weights are copied.
  /// - Throws: `Errno` when that cannot be done.
  init(in parent: FilePath, copying source: FilePath) throws {
    path = parent.appending("meg2hf-fuzz-\(getpid())")
    for folder in [path, path.appending("run"), path.appending("run/global_step7")] {
      guard mkdir(folder.string, 0o700) == 0 else { throw Errno(rawValue: errno) }
    }
    let layers = [1, 3, 4, 5, 6, 8].map { "layer_0\($0)-model_00-model_states.pt" }
    let states = ["mp_rank_00_model_states.pt", "mp_rank_01_model_states.pt"]
    checkpoint =
      try (layers + states).map {
        ("run/global_step7/\($0)", try Scratch.contents(of: source.appending($0)))
      } + [("run/latest", Array("global_step7".utf8))]
    for file in checkpoint { _ = write(file.bytes, file.name) }
  }

  deinit {
    Scratch.remove(path)
  }

  /// Writes a file.
  func write(_ bytes: [UInt8], _ name: String) -> FilePath {
    let target = path.appending(name)
    let descriptor = try? FileDescriptor.open(
      target, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
    _ = try? descriptor?.closeAfter { try descriptor?.writeAll(bytes) }
    return target
  }

  /// The bytes of a file.
  static func contents(of path: FilePath) throws -> [UInt8] {
    let descriptor = try FileDescriptor.open(path, .readOnly)
    return try descriptor.closeAfter {
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      let count = try bytes.withUnsafeMutableBytes { try descriptor.read(into: $0) }
      return Array(bytes.prefix(count))
    }
  }

  /// The names in a folder; none when it is not there.
  static func names(in folder: FilePath) -> [String] {
    guard let stream = opendir(folder.string) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  private static func remove(_ path: FilePath) {
    for name in names(in: path) { remove(path.appending(name)) }
    if unlink(path.string) != 0 { rmdir(path.string) }
  }
}
