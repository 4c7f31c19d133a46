import Conversion
import Glibc
import Pickle
import Safetensors
import SystemPackage
import TorchArchive

/// What is fuzzed. An error is the expected answer to most inputs; a trap, an overflow, an unending
/// loop or memory without measure is a finding.
enum Target: String, CaseIterable {
  case pickle, torch, safetensors, index, json, checkpoint

  /// The one that `FUZZ_TARGET` names.
  static let chosen: Target = {
    let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? "pickle"
    guard let target = Target(rawValue: name) else {
      print("FUZZ_TARGET is one of \(Target.allCases.map(\.rawValue).joined(separator: ", "))")
      exit(64)
    }
    return target
  }()

  func run(_ bytes: [UInt8]) throws {
    switch self {
    case .pickle:
      let graph = try PickleMachine.load(bytes)
      _ = graph.entries(graph.root)?.map { graph.text($0.key) }
    case .torch: try Target.read(write(bytes, "file.pt"))
    case .safetensors: _ = try SafetensorsFile(opening: write(bytes, "file.safetensors"))
    case .index: _ = try ShardIndex(parsing: bytes)
    case .json: _ = try JSONParser.parse(bytes)
    case .checkpoint: try Target.convert(bytes)
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

  /// Puts the input in the place of a file of a whole checkpoint, and converts that as far as it goes.
  /// The first byte chooses the file.
  private static func convert(_ bytes: [UInt8]) throws {
    guard let first = bytes.first else { return }
    let step = scratch.appending("global_step7")
    let name =
      first % 2 == 0 ? "mp_rank_00_model_states.pt" : "layer_03-model_00-model_states.pt"
    let original = try? contents(of: step.appending(name))
    defer { if let original { _ = write(original, "global_step7/\(name)") } }
    _ = write(Array(bytes.dropFirst()), "global_step7/\(name)")
    let index = try CheckpointIndex(reading: CheckpointDirectory(scanning: scratch))
    let converter = try Converter(index)
    guard converter.plan.sourceBytes < 1 << 20, converter.plan.tensorBytes < 1 << 20 else { return }
    _ = try converter.run(to: scratch.appending("out"), overwrite: true)
  }
}

/// A folder in memory, with a copy of the checkpoint that `FUZZ_CHECKPOINT` names.
private let scratch: FilePath = {
  let path = FilePath("/dev/shm/meg2hf-fuzz-\(getpid())")
  mkdir(path.string, 0o700)
  mkdir(path.appending("global_step7").string, 0o700)
  if let source = getenv("FUZZ_CHECKPOINT").map({ FilePath(String(cString: $0)) }) {
    for rank in 0..<1 {
      let names =
        [1, 3, 4, 5, 6, 8].map { "layer_0\($0)-model_0\(rank)-model_states.pt" }
        + ["mp_rank_00_model_states.pt"]
      for name in names {
        if let bytes = try? contents(of: source.appending(name)) {
          write(bytes, to: path.appending("global_step7").appending(name))
        }
      }
    }
  }
  return path
}()

private func contents(of path: FilePath) throws -> [UInt8] {
  let descriptor = try FileDescriptor.open(path, .readOnly)
  return try descriptor.closeAfter {
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = try bytes.withUnsafeMutableBytes { try descriptor.read(into: $0) }
    return Array(bytes.prefix(count))
  }
}

private func write(_ bytes: [UInt8], to path: FilePath) {
  guard
    let descriptor = try? FileDescriptor.open(
      path, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
  else { return }
  _ = try? descriptor.closeAfter { try descriptor.writeAll(bytes) }
}

private func write(_ bytes: [UInt8], _ name: String) -> FilePath {
  let path = scratch.appending(name)
  write(bytes, to: path)
  return path
}

/// What libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  try? Target.chosen.run(bytes)
  return 0
}
