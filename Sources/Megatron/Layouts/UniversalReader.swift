import Architectures
import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// DeepSpeed's universal checkpoint: `zero/PARAMETER/fp32.pt`, each a parameter in float32 that was
/// put together from all tensor-parallel ranks (DeepSpeed `checkpoint/ds_to_universal.py`).
struct UniversalReader: LayoutReader {
  let layout = CheckpointLayout.universal
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    (FilePattern("zero"), .universalFolder)
  ]
  let marks = [CheckpointFileKind.universalFolder]
  let masters = MasterPlace.areTheWeights

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readUniversal()
  }

  func optimizerFiles(of checkpoint: Checkpoint) -> OptimizerFiles {
    OptimizerFiles(momentsOf: checkpoint.folder)
  }
}

extension CheckpointBuilder {
  fileprivate mutating func readUniversal() throws(Failure) {
    let zero = folder.path.appending("zero")
    var parameters: [(name: String, shard: RankPart)] = []
    var states: [StateFile] = []
    var shapes: [String: [Int]] = [:]
    for file in folder.files
    where file.kind == .modelStates || file.kind == .zeroModelStates && file.numbers["dp"] == 0 {
      try folder.open(file.name, limits) { torchFile in
        _ = add(torchFile, named: file.name)
        states.append(try StateFile(torchFile, named: file.name))
        for group in ParameterShapes(torchFile, torchFile.graph.root)?.groups ?? [] {
          for parameter in group { shapes[parameter.name] = parameter.sizes }
        }
      }
    }
    try adopt(states)
    do {
      for component in try FileSystem.list(zero) {
        let path = zero.appending(component).appending("fp32.pt")
        guard FileSystem.exists(path) else { continue }
        if component.string.contains("_extra_state") {
          passOver(ParameterName.unwrapped(component.string), Bookkeeping.extraState)
          continue
        }
        parameters.append(
          try readParameter(component.string, path, shapes[component.string]))
      }
    } catch {
      throw Failure(reading: error, file: zero)
    }
    // Ranks were put together; where the order of rows goes rank by rank, their number matters.
    let ranks = try arguments.int(.tensorModelParallelSize)
    let oldRanks = try arguments.int(.modelParallelSize)
    mergedRanks = min(max(1, ranks ?? oldRanks ?? 1), ModelBounds.count)
    pipelineParallel = try arguments.int(.pipelineModelParallelSize)
    let names = try PipelineNames(parameters.map(\.name))
    tensors = parameters.map { parameter in
      IndexedTensor(name: names.shared(parameter.name), shards: [parameter.shard])
    }.sorted { ParameterName.precedes($0.name, $1.name) }
    blockCount = names.blockCount
    firstBlockLayer = names.firstBlock
  }

  /// The parameter in a file: a dictionary with `param`, or the tensor itself; that of a ZeRO-3 run
  /// is flat, and `param_shapes` has its shape.
  private mutating func readParameter(
    _ name: String, _ path: FilePath, _ shape: [Int]?
  ) throws(Failure) -> (name: String, shard: RankPart) {
    return try CheckpointFolder.open(path, limits) { file in
      let graph = file.graph
      let node = graph.value("param", in: graph.root) ?? graph.root
      guard let tensor = try file.tensor(node) else {
        throw Failure(
          .checkpointNoParameter, "the file holds no parameter",
          file: path.string, tensor: name)
      }
      // DeepSpeed checkpoint/ds_to_universal.py: SUB_PARAMETERS of Megatron-DeepSpeed's swiglu.
      if name.hasSuffix("dense_h_to_4h.weight"),
        graph.value("param_n_sub_params", in: graph.root) == nil
      {
        areGatesUnproven = true
      }
      let position = add(file, named: "zero/\(name)/fp32.pt")
      if node == graph.root, tensor.sizes.count == 1, tensor.strides == [1], let shape,
        shape.count > 1, shape.reduce(1, { $0 &* $1 }) == tensor.sizes[0]
      {
        let run = RankPart.Run(
          elements: 0..<tensor.sizes[0], file: position, tensor: tensor, start: 0)
        return (
          name, RankPart(rank: 0, key: name, dtype: tensor.dtype, sizes: shape, runs: [run])
        )
      }
      return (name, RankPart(rank: 0, file: position, key: "param", tensor: tensor))
    }
  }
}
