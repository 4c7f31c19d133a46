public import Architectures
public import Diagnostics

/// Which order the rows are in, and how that is known. Shapes do not tell.
public struct QKVEvidence: Hashable, Sendable {
  public let layout: QKVOrder
  /// What it was concluded from.
  public let reason: String
  public let basis: Decision.Basis
  /// What the checkpoint says where the user said something else.
  public private(set) var overridden: String?

  /// Decides for a checkpoint.
  ///
  /// - Throws: `Failure` 78 when nothing tells.
  package init(_ index: Checkpoint, chosen: QKVOrder?) throws(Failure) {
    try self.init(
      chosen: chosen, version: index.checkpointVersion, arguments: index.arguments,
      firstBlock: index.firstBlockLayer, layout: index.folder.layout, names: index.names)
  }

  /// Decides by what the user says, else by what the checkpoint says of its age.
  ///
  /// - Parameters:
  ///   - chosen: The order that the user gave.
  ///   - version: `checkpoint_version`, when the checkpoint has one.
  ///   - arguments: What the model was trained with.
  ///   - firstBlock: The number of the first block's layer file, in pipeline layouts.
  ///   - layout: How the checkpoint is laid out.
  ///   - names: Whose names the tensors have.
  /// - Throws: `Failure` 78 when nothing tells.
  init(
    chosen: QKVOrder?, version: Double?, arguments: TrainingArguments, firstBlock: Int?,
    layout: CheckpointLayout, names: NamingConvention = .megatron
  ) throws(Failure) {
    guard let chosen else {
      try self.init(
        version: version, arguments: arguments, firstBlock: firstBlock, layout: layout,
        names: names)
      return
    }
    self.init(layout: chosen, reason: "given by --qkv-layout")
    let evidence = try? QKVEvidence(
      version: version, arguments: arguments, firstBlock: firstBlock, layout: layout,
      names: names)
    if let evidence, evidence.layout != chosen, evidence.basis == .fact {
      overridden = "\(evidence.layout.rawValue) (\(evidence.reason))"
    }
  }

  /// Decides by what the checkpoint says of its age (NVIDIA/Megatron-LM
  /// `megatron/model/transformer.py` and `checkpointing.py` at the commits that changed the order;
  /// deepspeedai/Megatron-DeepSpeed 676a482c; NeMo `megatron/attention.py`).
  private init(
    version: Double?, arguments: TrainingArguments, firstBlock: Int?, layout: CheckpointLayout,
    names: NamingConvention
  ) throws(Failure) {
    // What the user sets corrects a value; the age of the file it does not tell.
    func recorded(_ key: ArgumentKey) -> Bool {
      arguments.has(key) && arguments.source(of: key) == .checkpoint
    }
    switch names {
    case .megatron: break
    case .core:
      self.init(
        layout: .heads3HN,
        reason: "the tensors have Megatron-core's names, which has one order only")
      return
    case .neox:
      self.init(
        layout: .heads3HN, reason: "the tensors have GPT-NeoX's names, which has one order only")
      return
    case .transformers:
      self.init(
        layout: .thirds, reason: "the tensors have transformers' names, which has one order only")
      return
    }
    if recorded(.nemo) {
      guard try arguments.bool(.megatronLegacy) != true else {
        throw QKVEvidence.open("megatron_legacy is True: NeMo took over a model of an older order")
      }
      self.init(layout: .heads3HN, reason: "a file of NeMo, which has one order only")
      return
    }
    if recorded(.dsSequenceParallelFpdt) {
      self.init(
        layout: .thirds,
        reason: "the arguments have ds_sequence_parallel_fpdt, so Megatron-DeepSpeed from "
          + "2024-12-04 on wrote it, which splits into thirds whatever checkpoint_version says")
      return
    }
    if let version {
      let order: QKVOrder? =
        switch version {
        case 0: .thirds
        case 1: .headsHN3
        case 2...3: .heads3HN
        default: nil
        }
      guard let order else {
        throw QKVEvidence.open("checkpoint_version is \(version); 0 to 3 are known")
      }
      self.init(layout: order, reason: "checkpoint_version \(version)")
      return
    }
    guard arguments.isPresent else {
      switch firstBlock {
      case 3:
        self.init(
          layout: .heads3HN,
          reason: "no arguments, but the blocks begin at layer 03, as until July 2023",
          basis: .guess)
      case let first?:
        throw QKVEvidence.open(
          "there are no arguments, and blocks that begin at layer \(first) were written in two "
            + "orders")
      case nil where layout == .classic:
        self.init(
          layout: .thirds,
          reason: "there are no arguments and no checkpoint_version, as before March 2020",
          basis: .guess)
      case nil:
        throw QKVEvidence.open("there are no arguments and no checkpoint_version")
      }
      return
    }
    if recorded(.oldCheckpointFormat) {
      throw QKVEvidence.open(
        "there is no checkpoint_version, and the arguments have old_checkpoint_format: in the last "
          + "days of September 2020 the order changed twice")
    }
    if recorded(.biasGeluFusion) {
      self.init(
        layout: .heads3HN,
        reason:
          "no checkpoint_version, but the arguments know bias_gelu_fusion, so the code is from "
          + "September 2020 or later",
        // Trainers of that time and later record it: something took it away.
        basis: recorded(.tensorModelParallelSize) ? .guess : .fact)
    } else if QKVEvidence.marksOf2020.allSatisfy(recorded) {
      self.init(
        layout: .thirds,
        reason:
          "no checkpoint_version, and the arguments are those of a trainer before September 2020")
    } else {
      self.init(
        layout: .thirds,
        reason: "there is no checkpoint_version and no bias_gelu_fusion, as before September 2020",
        basis: .guess)
    }
  }

  /// Arguments that every trainer of early 2020 wrote down and that tools which make checkpoints up
  /// do not (Megatron-LM v1.0 `arguments.py`).
  private static let marksOf2020: [ArgumentKey] = [
    .modelParallelSize, .openaiGelu, .fp32Allreduce, .DDPImpl, .layernormEpsilon,
  ]

  private init(layout: QKVOrder, reason: String, basis: Decision.Basis = .fact) {
    self.layout = layout
    self.reason = reason
    self.basis = basis
  }

  /// The decision that is shown.
  package var decision: Decision {
    Decision(
      "qkv_layout", .string(layout.rawValue), reason, basis,
      hint: "--qkv-layout settles it")
  }

  private static func open(_ message: String) -> Failure {
    Failure(
      .qkvAmbiguous, message,
      hint: "say it with --qkv-layout heads-3-hn, heads-hn-3 or thirds")
  }
}
