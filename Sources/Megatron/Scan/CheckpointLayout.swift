/// The ways in which trainers lay a model out on disk.
public enum CheckpointLayout: String, Hashable, Sendable, CaseIterable {
  /// DeepSpeed's pipeline module: one file for each layer and tensor-parallel rank.
  case deepspeedPipeline = "deepspeed-pipeline"
  /// DeepSpeed without the pipeline module: the weights are in the model states.
  case deepspeed = "deepspeed"
  /// DeepSpeed ZeRO-3: the weights are in the optimizer shards.
  case deepspeedZero3 = "deepspeed-zero3"
  /// DeepSpeed's universal checkpoint: one folder for each parameter.
  case universal = "universal"
  /// Megatron-LM before its core: one folder for each rank.
  case classic = "megatron-classic"
  /// Megatron-core's distributed checkpoint.
  case distributed = "megatron-core"

  /// What a person calls it.
  public var title: String {
    switch self {
    case .deepspeedPipeline: "Megatron-DeepSpeed, pipeline module"
    case .deepspeed: "Megatron-DeepSpeed, without pipeline"
    case .deepspeedZero3: "Megatron-DeepSpeed, ZeRO-3"
    case .universal: "DeepSpeed universal checkpoint"
    case .classic: "Megatron-LM, classic"
    case .distributed: "Megatron-core distributed checkpoint"
    }
  }

  /// What makes a folder one of this layout: the kinds of names in it, the first row that fits
  /// counts. Pipeline dumps hold model states too, so order matters.
  // swift-format-ignore
  static let marks: [(kind: CheckpointFileKind, layout: CheckpointLayout)] = [
    (.distributed,     .distributed),
    (.layer,           .deepspeedPipeline),
    (.universalFolder, .universal),
    (.zeroModelStates, .deepspeedZero3),
    (.modelStates,     .deepspeed),
    (.rankFolder,      .classic),
    (.rankFile,        .classic),
  ]
}
