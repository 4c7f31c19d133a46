import ByteIO
import Diagnostics
import SystemPackage
import TorchArchive

/// DeepSpeed ZeRO-3, which divides the weights themselves: the shards of the optimizer are all
/// there is (`zero_pp_rank_XX_mp_rank_YY_model_states.pt` hold the arguments).
struct Zero3Reader: LayoutReader {
  let layout = CheckpointLayout.deepspeedZero3
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    (FilePattern("zero_pp_rank_{dp}_mp_rank_{mp}_model_states.pt"), .zeroModelStates)
  ]
  let marks = [CheckpointFileKind.zeroModelStates]
  let masters = MasterPlace.inPlaceOfWeights

  // A universal checkpoint may keep the states that it was made of.
  func isCompanion(of others: [CheckpointLayout]) -> Bool { others.contains(.universal) }

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readZero3States()
  }
}

extension CheckpointBuilder {
  /// The states of a ZeRO-3 checkpoint: arguments, but no weights.
  fileprivate mutating func readZero3States() throws(Failure) {
    var states: [StateFile] = []
    var ranks: Set<Int> = []
    for file in folder.files where file.kind == .zeroModelStates {
      guard file.numbers["dp"] == 0, let rank = file.numbers["mp"] else { continue }
      ranks.insert(rank)
      try folder.open(file.name, limits) { torchFile in
        _ = add(torchFile, named: file.name)
        states.append(try StateFile(torchFile, named: file.name))
      }
    }
    try adopt(states)
    // ZeRO-3 does not go with a pipeline, so model-parallel ranks are tensor-parallel ones.
    tensorParallel = (ranks.max() ?? 0) + 1
    pipelineParallel = 1
  }
}
