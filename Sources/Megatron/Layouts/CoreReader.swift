import Architectures
import ByteIO
import Diagnostics
import DistributedCheckpoint
import OrderedCollections
import Pickle
import SystemPackage
import TorchArchive

/// Distributed checkpoints: those of Megatron-core (`torch_dist`, zarr, `torch_dcp`,
/// `fsdp_dtensor`), and those that other programs wrote with `torch.distributed.checkpoint`.
///
/// Their tensors are stored as wholes, in chunks: how many ranks trained them leaves no trace, and
/// replicas of other ranks were left out (Megatron-core `dist_checkpointing/strategies/torch.py`).
struct CoreReader: LayoutReader {
  let layout = CheckpointLayout.distributed
  // swift-format-ignore
  let names: [(form: FilePattern, kind: CheckpointFileKind)] = [
    // PyTorch torch/distributed/checkpoint/filesystem.py
    (FilePattern(".metadata"),                                     .distributed),
    (FilePattern(".metadata.tmp"),                                 .distributed),
    (FilePattern("__{rank}.metadata"),                             .distributed),
    (FilePattern("__{rank}_{n}.distcp"),                           .distributed),
    // Megatron-core dist_checkpointing/strategies/common.py
    (FilePattern("common.pt"),                                     .distributed),
    (FilePattern("metadata.json"),                                 .distributed),
    // PyTorch torch/distributed/checkpoint/hf_storage.py
    (FilePattern("shard-{rank}-model-{i}-of-{n}.safetensors"),     .distributed),
  ]
  let marks = [CheckpointFileKind.distributed]

  func read(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    // Others have a file of this name, too.
    if checkpoint.folder.files.filter({ $0.kind == .distributed }).map(\.name) == ["metadata.json"],
      try !DistributedCheckpoint.isNamed(byMetadataIn: checkpoint.folder.path)
    {
      throw CheckpointAdvice.none(in: checkpoint.folder.path)
    }
    let source = try DistributedCheckpoint(
      opening: checkpoint.folder.path, limits: checkpoint.limits)
    checkpoint.distributed = source
    let names = CoreNames(source.tensors.map(\.name))
    try checkpoint.readCommonState(source, names)
    checkpoint.names = names.convention
    if names.convention == .core {
      checkpoint.note(
        Decision(
          "replicas", "not stored",
          "the trainer left out the copies of other ranks: whether they had drifted apart cannot "
            + "be seen"))
    }
    if source.form == .huggingFace, source.tensors.contains(where: { $0.chunks.count > 1 }) {
      checkpoint.warnings.append(
        Diagnostic(
          .distributedShapes,
          "\(source.files.count) files; they do not say how many there were, nor how large a whole "
            + "tensor is: if those of the last ranks are missing, this is not seen",
          file: checkpoint.folder.path.string, hint: "each rank that saved has one"))
    }
    var parts = CoreParts(source)
    for tensor in source.tensors where !CoreNames.isBeside(tensor.name) {
      if let reason = Bookkeeping.reason(tensor.name, tensor.shape, tensor.dtype) {
        checkpoint.passOver(tensor.name, reason)
        continue
      }
      for (name, whole) in try parts.tensors(of: tensor, names: names) {
        guard parts.isNew(name) else {
          throw Failure(
            .checkpointDuplicateTensor, "two of its keys have this tensor",
            file: checkpoint.folder.path.string, tensor: name)
        }
        checkpoint.tensors.append(IndexedTensor(name: name, shards: [whole]))
      }
    }
    checkpoint.tensors = try CoreParts.joiningGates(checkpoint.tensors)
    checkpoint.tensors.sort { CoreNames.precedes($0.name, $1.name) }
    checkpoint.files = parts.files
    checkpoint.blockCount =
      (checkpoint.tensors.compactMap { ParameterName.local($0.name).layer }.max() ?? -1) + 1
    guard checkpoint.blockCount <= checkpoint.tensors.count else {
      throw Failure(
        .checkpointMissingLayer,
        "its last block is number \(checkpoint.blockCount - 1), but there are "
          + "\(checkpoint.tensors.count) tensors in all", file: checkpoint.folder.path.string)
    }
  }

  /// A value `args`; `nil` where another program than Megatron has one that is no Namespace.
  fileprivate static func arguments(
    _ object: DistributedObject, in source: DistributedCheckpoint, _ names: CoreNames
  ) throws(Failure) -> TorchFile? {
    let archive = try source.archive(of: object)
    let isOthers =
      names.convention == .transformers
      && TrainingArguments(archive.graph.root, in: archive) == nil
    return isOthers ? nil : archive
  }

  func readMasters(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readCoreMasters()
  }

  func optimizerFiles(of checkpoint: Checkpoint) -> OptimizerFiles {
    OptimizerFiles(keysOf: checkpoint.distributed)
  }
}

extension CheckpointBuilder {
  /// What the trainer says besides tensors: in a file of its own, in a value of that name, or in
  /// values for each part of it.
  fileprivate mutating func readCommonState(
    _ source: DistributedCheckpoint, _ names: CoreNames
  ) throws(Failure) {
    let path = folder.path.appending("common.pt")
    if FileSystem.exists(path) {
      try adopt([
        CheckpointFolder.open(path, limits) { try StateFile($0, named: "common.pt") }
      ])
    } else if let state = source.objects.first(where: { $0.name.hasPrefix("common_state/") }) {
      try adopt([StateFile(try source.archive(of: state), named: state.name)])
    } else if let arguments = source.object("args"),
      let archive = try CoreReader.arguments(arguments, in: source, names)
    {
      var values: [String: TorchFile] = ["args": archive]
      for key in ["iteration", "checkpoint_version"] {
        if let object = source.object(key) { values[key] = try source.archive(of: object) }
      }
      try adopt([StateFile(values, named: "args")])
    } else {
      warnings.append(
        Diagnostic(.argumentsAbsent, "the checkpoint holds no training arguments"))
      try applyOverrides()
    }
    iteration = iteration ?? folder.stepNumber
    pipelineParallel = try arguments.int(.pipelineModelParallelSize)
  }
}
