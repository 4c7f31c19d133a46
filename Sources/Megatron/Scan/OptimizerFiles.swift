import Architectures
import ByteIO
import DistributedCheckpoint
public import JSON
package import SystemPackage

/// The optimizer's part of a checkpoint, told by the names of its files: what there is, and whether
/// it is complete.
public struct OptimizerFiles: Hashable, Sendable {
  /// The names within the checkpoint's folder.
  public let names: [String]
  /// What they are, in words.
  public let text: String
  /// What is missing; empty where all is there.
  public let missing: [String]
  package let paths: [FilePath]

  /// Those of a checkpoint, by the reader of its layout.
  public init(_ checkpoint: Checkpoint) {
    self = checkpoint.folder.reader.optimizerFiles(of: checkpoint)
  }

  /// The moments of a universal checkpoint, next to the parameters.
  init(momentsOf folder: CheckpointFolder) {
    let zero = folder.path.appending("zero")
    let states = ((try? FileSystem.list(zero)) ?? []).flatMap { parameter in
      ["exp_avg.pt", "exp_avg_sq.pt"].map {
        ("zero/\(parameter.string)/\($0)", zero.appending(parameter).appending($0))
      }
    }.filter { FileSystem.exists($0.1) }
    self.init(
      states, states.isEmpty ? "none" : "\(states.count) moments of Adam, one file each", [])
  }

  private init(_ files: [(name: String, path: FilePath)], _ text: String, _ missing: [String]) {
    names = files.map(\.name)
    paths = files.map(\.path)
    self.text = text
    self.missing = missing
  }

  /// The shards of ZeRO: one for each data-parallel rank of each model-parallel rank.
  init(shardsOf index: Checkpoint) {
    let files = index.folder.files.filter { $0.kind == .optimizerStates }
    guard !files.isEmpty else {
      self.init([], "no files of its own", [])
      return
    }
    var grid = RankGrid<CheckpointFile>()
    for file in files { _ = grid.insert(file, file.numbers["mp"] ?? 0, file.numbers["dp"] ?? 0) }
    let said = (try? index.arguments.int(.dataParallelSize)) ?? nil
    let data = max(grid.columnCount, min(said ?? 1, 1 << 16))
    let stages = min(max(index.pipelineParallel ?? 1, 1), 1 << 16)
    let model = max(grid.rowCount, min(index.tensorParallel * stages, 1 << 16))
    var missing: [String] = []
    for mp in 0..<model {
      for dp in 0..<data where grid[mp, dp] == nil && missing.count < 64 {
        missing.append("data-parallel rank \(dp) of model-parallel rank \(mp)")
      }
    }
    self.init(
      files.map { ($0.name, index.folder.path.appending($0.name)) },
      "\(files.count) shards of ZeRO (\(data) data-parallel x \(model) model-parallel ranks)",
      missing)
  }

  /// The files in the folders of classic ranks.
  init(ranksOf folder: CheckpointFolder) {
    var files: [(name: String, path: FilePath)] = []
    for rank in folder.files where rank.kind == .rankFolder {
      for name in ["distrib_optim.pt", "optim.pt"] {
        let path = folder.path.appending(rank.name).appending(name)
        if FileSystem.exists(path) { files.append(("\(rank.name)/\(name)", path)) }
      }
    }
    self.init(
      files,
      files.isEmpty
        ? "in the files of the ranks, if it was saved"
        : "\(files.count) files of a distributed optimizer",
      [])
  }

  /// The keys of the optimizer in a distributed checkpoint, which lie in the files of the model.
  init(keysOf source: DistributedCheckpoint?) {
    let keys = (source?.tensors.map(\.name) ?? []) + (source?.objects.map(\.name) ?? [])
    let own = keys.count { $0.hasPrefix("optimizer.") || $0.hasPrefix("chained_") }
    let form = source.flatMap { CoreMasterForm($0) }
    self.init(
      [],
      own == 0
        ? "none"
        : "\(own) keys in the same files" + (form.map { ", \($0.title)" } ?? ", of no known form"),
      [])
  }

  /// The same for machine-readable output.
  public var json: JSONValue {
    [
      "files": .array(names.map { .string($0) }), "description": .string(text),
      "complete": .bool(missing.isEmpty), "missing": .array(missing.map { .string($0) }),
    ]
  }
}
