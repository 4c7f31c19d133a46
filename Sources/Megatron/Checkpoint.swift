public import Architectures
public import Diagnostics
public import DistributedCheckpoint
public import SystemPackage
public import TorchArchive

/// The two copies of the weights that a trainer in mixed precision has.
public enum WeightSource: String, Hashable, Sendable, CaseIterable {
  /// Those of the model, in the type that it was trained in.
  case model
  /// Those of the optimizer, in float32.
  case fp32Master = "fp32-master"
}

/// All that is known of a checkpoint without reading a tensor: the one form that every layout is
/// brought into, by the reader of its layout. It does not change any more.
public struct Checkpoint: Sendable {
  /// Where it is, and how it is laid out.
  public let folder: CheckpointFolder
  public let files: [SourceFile]
  /// In the order of the model: embedding, blocks, final layernorm, head.
  public let tensors: [IndexedTensor]
  /// Where ``tensors`` come from.
  public let weights: WeightSource
  /// The weights as they were trained, when ``tensors`` are their float32 masters and both are
  /// there.
  public let trained: [IndexedTensor]?
  /// Whether the masters had no names, and were told by their order.
  package let areMastersUnnamed: Bool
  /// Whether that order is not recorded at all, so that every master must be its weight when it is
  /// rounded.
  package let mustMastersFit: Bool
  /// Whether ranks' gates and upward projections lie in an order that is not recorded.
  package let areGatesUnproven: Bool
  /// The number of tensor-parallel ranks.
  public let tensorParallel: Int
  /// The number of pipeline stages, when it is known.
  public let pipelineParallel: Int?
  /// The number of blocks.
  public let blockCount: Int
  /// The number of the first block's layer file, in pipeline layouts.
  public let firstBlockLayer: Int?
  /// How many tensor-parallel ranks were put together already in each tensor: 1 but for universal
  /// checkpoints. It matters where the order of the rows goes rank by rank.
  public let mergedRanks: Int
  public let arguments: TrainingArguments
  public let checkpointVersion: Double?
  public let iteration: Int?
  /// Rows of the vocabulary before padding, as the checkpoint records them.
  public let originalVocabularySize: Int?
  /// The release of DeepSpeed that wrote it.
  public let deepspeedVersion: String?
  public let warnings: [Diagnostic]
  /// What was concluded while the files were read.
  public let decisions: [Decision]
  /// Tensors that are not part of the model, and why; a name with the number of its block left out.
  public let passedOver: [String: String]
  /// The first mask next to the weights that is not causal, and where it is not.
  public let oddMask: String?
  /// The table of rotary angles beside the weights.
  public let rotaryTable: RotaryTable?
  /// The keys of the files of the ranks, next to the weights.
  let stateKeys: [String]
  /// Whose names the tensors have.
  let names: NamingConvention
  /// All that a distributed checkpoint holds, the optimizer's part included; `nil` in other
  /// layouts.
  public let distributed: DistributedCheckpoint?
  private let positions: [String: Int]

  /// Finds a checkpoint and reads the pickles of its files.
  ///
  /// ```swift
  /// let checkpoint = try Checkpoint(at: "runs/gpt2")
  /// print(checkpoint.folder.layout.title, checkpoint.tensors.count)
  /// ```
  ///
  /// - Parameters:
  ///   - path: The folder of a run or of a step, or the file of a single rank.
  ///   - choice: Which step of a run is meant.
  ///   - overrides: Arguments that the user set.
  ///   - weights: Which of the two copies of the weights is read.
  /// - Throws: `Failure` 66 when there is none, 65 for a file that is damaged, 78 when several
  ///   could be meant.
  public init(
    at path: FilePath, choice: CheckpointFolder.Choice = .latest,
    overrides: ArgumentOverrides = ArgumentOverrides(), weights: WeightSource = .model
  ) throws(Failure) {
    try self.init(
      reading: CheckpointFolder(scanning: path, choice: choice), overrides: overrides,
      weights: weights)
  }

  /// Opens a checkpoint and reads the pickles of its files.
  ///
  /// - Parameters:
  ///   - folder: Where it is.
  ///   - overrides: Arguments that the user set.
  ///   - weights: Which of the two copies of the weights is read.
  ///   - limits: How much a file may make the reader do.
  /// - Throws: `Failure`.
  public init(
    reading folder: CheckpointFolder, overrides: ArgumentOverrides = ArgumentOverrides(),
    weights: WeightSource = .model, limits: TorchLimits = TorchLimits()
  ) throws(Failure) {
    var builder = CheckpointBuilder(folder, overrides: overrides, limits: limits)
    try builder.read(weights)
    self.init(builder, tensors: builder.tensors, trained: builder.trained)
  }

  package init(_ builder: CheckpointBuilder, tensors: [IndexedTensor], trained: [IndexedTensor]?) {
    folder = builder.folder
    files = builder.files
    self.tensors = tensors
    weights = builder.weights
    self.trained = trained
    areMastersUnnamed = builder.areMastersUnnamed
    mustMastersFit = builder.mustMastersFit
    areGatesUnproven = builder.areGatesUnproven
    tensorParallel = builder.tensorParallel
    pipelineParallel = builder.pipelineParallel
    blockCount = builder.blockCount
    firstBlockLayer = builder.firstBlockLayer
    mergedRanks = builder.mergedRanks
    arguments = builder.arguments
    checkpointVersion = builder.checkpointVersion
    iteration = builder.iteration
    originalVocabularySize = builder.originalVocabularySize
    deepspeedVersion = builder.deepspeedVersion
    warnings = builder.warnings
    decisions = builder.decisions
    passedOver = builder.passedOver
    oddMask = builder.oddMask
    rotaryTable = builder.rotaryTable
    stateKeys = builder.stateKeys
    names = builder.names
    distributed = builder.distributed
    positions = Dictionary(
      tensors.enumerated().map { ($0.element.name, $0.offset) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The same checkpoint with the weights as they were trained in place of their masters.
  public var withTrainedWeights: Checkpoint? {
    trained.map { Checkpoint(CheckpointBuilder(self), tensors: $0, trained: nil) }
  }

  /// The same checkpoint with arguments that it does not have itself.
  public func filled(_ values: [String: ArgumentValue]) -> Checkpoint {
    guard !values.isEmpty else { return self }
    var builder = CheckpointBuilder(self)
    builder.arguments.fill(values)
    return Checkpoint(builder, tensors: tensors, trained: trained)
  }

  /// The tensor of a name.
  public func tensor(_ name: String) -> IndexedTensor? {
    positions[name].map { tensors[$0] }
  }

  /// The element types of the weights.
  public var dtypes: Set<TorchDType> {
    Set(tensors.flatMap { $0.shards.map(\.dtype) })
  }
}
