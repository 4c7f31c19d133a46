/// A way in which trainers lay a model out on disk, by its name.
public struct CheckpointLayout: RawRepresentable, Hashable, Sendable, CaseIterable {
  public let rawValue: String
  /// What a person calls it.
  public let title: String

  /// A layout of a name; a reader goes with it.
  package init(_ name: String, title: String) {
    rawValue = name
    self.title = title
  }

  /// The layout that a reader is known for; `nil` for another name.
  public init?(rawValue: String) {
    guard let known = CheckpointLayout.allCases.first(where: { $0.rawValue == rawValue }) else {
      return nil
    }
    self = known
  }

  /// DeepSpeed's pipeline module: one file for each layer and tensor-parallel rank.
  public static let deepspeedPipeline = CheckpointLayout(
    "deepspeed-pipeline", title: "Megatron-DeepSpeed, pipeline module")
  /// DeepSpeed without the pipeline module: the weights are in the model states.
  public static let deepspeed = CheckpointLayout(
    "deepspeed", title: "Megatron-DeepSpeed, without pipeline")
  /// DeepSpeed ZeRO-3: the weights are in the optimizer shards.
  public static let deepspeedZero3 = CheckpointLayout(
    "deepspeed-zero3", title: "Megatron-DeepSpeed, ZeRO-3")
  /// DeepSpeed's universal checkpoint: one folder for each parameter.
  public static let universal = CheckpointLayout(
    "universal", title: "DeepSpeed universal checkpoint")
  /// Megatron-LM before its core: one folder for each rank.
  public static let classic = CheckpointLayout("megatron-classic", title: "Megatron-LM, classic")
  /// Megatron-core's distributed checkpoint.
  public static let distributed = CheckpointLayout(
    "megatron-core", title: "Megatron-core distributed checkpoint")

  /// In the order in which they are listed.
  public static let allCases: [CheckpointLayout] = [
    .deepspeedPipeline, .deepspeed, .deepspeedZero3, .universal, .classic, .distributed,
  ]
}
