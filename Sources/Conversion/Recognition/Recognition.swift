public import Architectures
public import Diagnostics
public import Megatron

/// Which model a checkpoint holds, as far as names, shapes and arguments tell: made once, and asked
/// by `plan`, `convert`, `inspect` and `verify`.
///
/// What cannot be worked out is kept as the error that says why, since `inspect` shows the rest.
public struct Recognition: Sendable {
  /// The checkpoint, with the arguments that records of the run filled in.
  public let checkpoint: Checkpoint
  /// The family of the model: the first one that claims it, or the last of those asked.
  public let architecture: any Architecture
  /// The rules that fit the checkpoint, one for each tensor of the output.
  public let rules: [RuleTable.Applied]
  /// Why a model of this family cannot be converted exactly; empty if it can.
  public let refusals: [Diagnostic]
  /// The order of the query, key and value rows.
  public let qkv: Result<QKVEvidence, Failure>
  /// The ranks that were concatenated in each part.
  let ranks: Result<MergedRanks, Failure>
  /// The records of the run beside the checkpoint, where there are some.
  public let recordCheck: RecordCheck?
  /// Why they are not of this run.
  private let contradiction: Failure?
  /// The sizes, with all rows of the embedding.
  public let sizes: Result<ModelSizes, Failure>

  /// Recognises a model. No tensor is read.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - options: What the user chose: ``ConversionOptions/qkvLayout`` and
  ///     ``ConversionOptions/mergedRanks`` settle what the checkpoint leaves open.
  ///   - architectures: The families that are asked, in their order; the last one takes what no
  ///     other claims.
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  public init(
    _ checkpoint: Checkpoint, options: ConversionOptions = ConversionOptions(),
    architectures: [any Architecture] = KnownArchitectures.all
  ) throws(Failure) {
    let bare = checkpoint
    let fills = options.records.map { RecordCheck.fills($0, bare) } ?? [:]
    let checkpoint = bare.filled(fills.mapValues(\.value))
    let architecture = architectures.first { $0.claims(checkpoint) } ?? architectures.last ?? GPT2()
    self.checkpoint = checkpoint
    self.architecture = architecture
    rules = architecture.table.applied(blocks: checkpoint.blockCount) {
      checkpoint.tensor($0) != nil
    }
    refusals = try checkpoint.refusals + architecture.refusals(checkpoint)
    let qkv = Result { () throws(Failure) in
      try QKVEvidence(checkpoint, chosen: options.qkvLayout)
    }
    self.qkv = qkv
    ranks = Result { () throws(Failure) in
      try MergedRanks(checkpoint, order: try qkv.get().layout, chosen: options.mergedRanks)
    }
    let sizes = Result { () throws(Failure) in
      try architecture.sizes(
        checkpoint, mergedRanks: options.mergedRanks ?? checkpoint.mergedRanks)
    }
    self.sizes = sizes
    let check = options.records.map { RecordCheck($0, bare, try? sizes.get(), fills) }
    recordCheck = check
    do throws(Failure) {
      if let records = options.records { try check?.requireAgreement(records) }
      contradiction = nil
    } catch {
      contradiction = error
    }
  }

  /// The same model with the weights as they were trained in place of their masters.
  var ofTrainedWeights: Recognition? {
    checkpoint.withTrainedWeights.map { Recognition(self, weights: $0) }
  }

  private init(_ other: Recognition, weights: Checkpoint) {
    checkpoint = weights
    architecture = other.architecture
    rules = other.rules
    refusals = other.refusals
    qkv = other.qkv
    ranks = other.ranks
    sizes = other.sizes
    recordCheck = other.recordCheck
    contradiction = other.contradiction
  }

  /// Makes sure that this is a model at all, and one that can be converted.
  ///
  /// - Throws: `Failure` 69, or 65 without an embedding.
  func requireModel() throws(Failure) {
    if let refusal = refusals.first { throw Failure(refusal) }
    if let contradiction { throw contradiction }
    // What is not a Megatron model at all is said first.
    let words = ParameterName.wordEmbeddings
    if !checkpoint.has(words) { throw checkpoint.missing(words) }
  }

  /// Whether the head is the embedding.
  public var isTied: Bool {
    !rules.contains { if case .tied = $0.rule.presence { true } else { false } }
  }
}
