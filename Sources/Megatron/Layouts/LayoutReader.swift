package import Diagnostics

/// Reads the checkpoints of one layout: all that is particular to it. A new layout is one more
/// reader in ``LayoutReaders/all``.
package protocol LayoutReader: Sendable {
  /// What the layout is called.
  var layout: CheckpointLayout { get }
  /// The forms that the names of its files have, and what they are.
  var names: [(form: FilePattern, kind: CheckpointFileKind)] { get }
  /// The kinds that make a folder one of this layout, be there what may besides.
  var marks: [CheckpointFileKind] { get }
  /// Where the float32 masters of the weights are.
  var masters: MasterPlace { get }

  /// Whether files of this layout are not a checkpoint of their own next to those of others.
  func isCompanion(of others: [CheckpointLayout]) -> Bool

  /// Reads the pickles of all files and brings their tensors into the form that all layouts share.
  ///
  /// - Throws: `Failure`.
  func read(into checkpoint: inout CheckpointBuilder) throws(Failure)

  /// Puts the float32 masters in the place of the weights.
  ///
  /// - Throws: `Failure` with `masters/none` when there are none.
  func readMasters(into checkpoint: inout CheckpointBuilder) throws(Failure)

  /// What the folder holds of the optimizer, by names alone.
  func optimizerFiles(of checkpoint: Checkpoint) -> OptimizerFiles
}

/// Where the float32 masters of the weights are.
package enum MasterPlace: Hashable, Sendable {
  /// In files of the optimizer, read when they are asked for.
  case besideTheWeights
  /// In files of the optimizer, which hold the only copy of the weights.
  case inPlaceOfWeights
  /// The weights are the masters.
  case areTheWeights
}

extension LayoutReader {
  package var masters: MasterPlace { .besideTheWeights }
  package func isCompanion(of others: [CheckpointLayout]) -> Bool { false }
  package func readMasters(into checkpoint: inout CheckpointBuilder) throws(Failure) {
    try checkpoint.readZeroShards()
  }
  package func optimizerFiles(of checkpoint: Checkpoint) -> OptimizerFiles {
    OptimizerFiles(shardsOf: checkpoint)
  }
}

/// The layouts that are known.
package enum LayoutReaders {
  /// In the order in which a folder is asked for their marks: pipeline dumps hold model states,
  /// too.
  package static let all: [any LayoutReader] = [
    CoreReader(), PipelineReader(), UniversalReader(), Zero3Reader(), DeepSpeedReader(),
    ClassicReader(),
  ]
}
