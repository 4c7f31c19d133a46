public import Diagnostics

/// What an architecture asks of a checkpoint: the names and shapes of its tensors, its arguments,
/// and what its files tell besides.
///
/// `Checkpoint` of the Megatron target conforms to it, so an architecture does not depend on
/// layouts. Names are those that all layouts share, such as `layers.3.self_attention.dense.weight`.
public protocol ModelFacts {
  /// What the model was trained with, and what the user set.
  var arguments: TrainingArguments { get }
  /// The names of all tensors, in the order of the model.
  var tensorNames: [String] { get }
  /// The number of blocks.
  var blockCount: Int { get }
  /// The number of tensor-parallel ranks that hold a part of their own.
  var tensorParallel: Int { get }
  /// How many tensor-parallel ranks were concatenated in each of those parts.
  var mergedRanks: Int { get }
  /// Whether every tensor is stored as a whole, whatever number of ranks it was trained on.
  var isWhole: Bool { get }
  /// Whether the tensors have the names of Megatron-core.
  var isNamedByCore: Bool { get }
  /// Whether the tensors have the names of EleutherAI's GPT-NeoX.
  var isNamedByNeoX: Bool { get }
  /// The table of rotary angles that the checkpoint keeps beside the weights.
  var rotaryTable: RotaryTable? { get }
  /// Rows of the vocabulary before padding, where the files record it next to the arguments.
  var originalVocabularySize: Int? { get }
  /// Whether the embedding was cut to the rows before padding.
  var isCutToVocabulary: Bool { get }
  /// Whether the checkpoint was written by a pipeline module.
  var isOfPipelineModule: Bool { get }
  /// What is wrong with an attention mask that is stored next to the weights; `nil` for a causal
  /// one.
  var oddMask: String? { get }
  /// The names of files that hold experts.
  var expertFiles: [String] { get }
  /// The folder, for messages.
  var folderName: String { get }

  /// The shape that the first rank holds of a tensor; `nil` for a tensor that does not exist.
  func shape(of name: String) -> [Int]?
  /// The file that the first rank's part of a tensor lies in, for messages.
  func file(of name: String) -> String?
  /// The error for a tensor that the model needs and the checkpoint lacks.
  func missing(_ name: String) -> Failure
}

extension ModelFacts {
  /// Whether there is a tensor of a name.
  public func has(_ name: String) -> Bool { shape(of: name) != nil }

  /// The number of tensor-parallel ranks that the model was trained on.
  public var trainedTensorParallel: Int {
    guard isWhole, let said = (try? arguments.int(.tensorModelParallelSize)) ?? nil,
      (1...ModelBounds.count).contains(said)
    else { return tensorParallel * mergedRanks }
    return said
  }
}
