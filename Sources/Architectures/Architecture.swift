public import Diagnostics
public import JSON

/// A family of models: its table of tensors, what it takes from a checkpoint, and what transformers
/// calls it.
///
/// All that is particular to a family stands in its folder: planner, executor, verifier and command
/// ask these functions and nothing else. The order of the calls is ``claims(_:)``,
/// ``refusals(_:)``, ``sizes(_:mergedRanks:)``, ``configuration(_:for:)``.
public protocol Architecture: Sendable {
  /// How transformers reads and names a model of the family.
  var format: ModelFormat { get }
  /// Every tensor, from Megatron to transformers.
  var table: RuleTable { get }
  /// The names of training arguments that the family reads besides `ArgumentOverrides.common`.
  var argumentKeys: [String] { get }

  /// Whether a checkpoint holds a model of the family, be it one that cannot be converted.
  func claims(_ facts: any ModelFacts) -> Bool

  /// Every reason why the model cannot be converted exactly.
  ///
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  func refusals(_ facts: any ModelFacts) throws(Failure) -> [Diagnostic]

  /// The sizes, from the tensors, compared with the arguments.
  ///
  /// - Parameters:
  ///   - facts: The checkpoint.
  ///   - mergedRanks: How many tensor-parallel ranks were concatenated in each part.
  /// - Returns: The sizes with all rows of the embedding, padding included.
  /// - Throws: `Failure` 65 when tensors are missing or disagree with each other, 78 when they
  ///   contradict the arguments or the arguments leave a size open.
  func sizes(_ facts: any ModelFacts, mergedRanks: Int) throws(Failure) -> ModelSizes

  /// What the model computes besides its tensors, as `config.json`.
  ///
  /// - Throws: `Failure` 78 for arguments that contradict each other.
  func configuration(
    _ facts: any ModelFacts, for output: ModelOutput
  ) throws(Failure) -> ModelConfiguration

  /// The sizes that a `config.json` states; `nil` unless it states them all.
  func sizes(config: JSONObject) -> ModelSizes?

  /// What is wrong with, or worth knowing of, a `config.json`, beyond the types of its fields.
  ///
  /// - Parameters:
  ///   - config: The configuration under the family's own names.
  ///   - hasTensor: Whether the folder has a tensor, by its name without the model's prefix.
  /// - Returns: Faults and notes.
  func review(_ config: JSONObject, hasTensor: (String) -> Bool) -> [ReviewFinding]

  /// Whether a configuration asks for a tensor that a model of the family may lack.
  ///
  /// - Parameters:
  ///   - target: Its name in the table.
  ///   - config: The configuration under the family's own names.
  /// - Returns: Whether it has to be there.
  func asks(for target: String, _ config: JSONObject) -> Bool

  /// What a tensor is that no rule names; `nil` for one that does not belong to the model.
  ///
  /// - Parameters:
  ///   - name: Its name without the model's prefix.
  ///   - config: The configuration.
  /// - Returns: What it is.
  func surplus(_ name: String, _ config: JSONObject) -> Surplus?

  /// The number of parameters that model cards of the family state.
  func statedParameters(_ sizes: ModelSizes) -> Int
}

extension Architecture {
  public var argumentKeys: [String] { [] }
  public func review(_ config: JSONObject, hasTensor: (String) -> Bool) -> [ReviewFinding] { [] }
  public func asks(for target: String, _ config: JSONObject) -> Bool { false }
  public func surplus(_ name: String, _ config: JSONObject) -> Surplus? { nil }
  public func statedParameters(_ sizes: ModelSizes) -> Int {
    sizes.parameterCount(table.applied(blocks: sizes.layers) { _ in false })
  }
}

/// The families that are converted.
public enum KnownArchitectures {
  /// In the order in which they are asked.
  public static let all: [any Architecture] =
    [Bloom()] + GPTNeoX.Residual.allCases.map { GPTNeoX($0) }
    + Llama.Kind.allCases.map { Llama($0) } + [Llama(.llama, isGateLast: true), GPT2()]

  /// The names of the training arguments that any family reads.
  public static var argumentKeys: [String] { all.flatMap(\.argumentKeys) }
}

/// What the output of a conversion is, as far as `config.json` depends on it.
public struct ModelOutput: Sendable {
  /// The sizes, with the rows of the embedding that are written.
  public let sizes: ModelSizes
  /// Whether the head is the embedding.
  public let isTied: Bool
  /// The element type, by the name that PyTorch has for it.
  public let dtype: String
  /// The tokens that the given tokenizer names; `nil` without a tokenizer.
  public let tokens: SpecialTokens.Given?

  /// An output.
  public init(sizes: ModelSizes, isTied: Bool, dtype: String, tokens: SpecialTokens.Given?) {
    self.sizes = sizes
    self.isTied = isTied
    self.dtype = dtype
    self.tokens = tokens
  }
}

/// What a model computes besides its tensors, and the decisions that led to it.
public struct ModelConfiguration: Hashable, Sendable {
  /// `config.json`.
  public let config: JSONObject
  /// `generation_config.json`.
  public let generation: JSONObject
  /// What is added to the weights of norms: 1 where they are stored as their distance from 1.
  public let normAddend: Float
  /// Whether that sum may be rounded to 16 bits.
  public let mayRoundNorms: Bool
  /// In the order in which they are shown.
  public let decisions: [Decision]

  /// A configuration.
  public init(
    config: JSONObject, generation: JSONObject, normAddend: Float = 0, mayRoundNorms: Bool = false,
    decisions: [Decision]
  ) {
    self.mayRoundNorms = mayRoundNorms
    self.config = config
    self.generation = generation
    self.normAddend = normAddend
    self.decisions = decisions
  }
}

/// What a look at a configuration brought to light.
public enum ReviewFinding: Hashable, Sendable {
  /// It breaks a rule, or loads silently wrong.
  case fault(Diagnostic)
  /// It deserves to be known.
  case note(Diagnostic)
}

/// A tensor of a folder that no rule names and that does no harm.
public enum Surplus: Hashable, Sendable {
  /// The configuration asks for it.
  case expected
  /// A mask that releases of transformers used to store.
  case mask
}
