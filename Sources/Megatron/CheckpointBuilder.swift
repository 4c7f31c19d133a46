import Architectures
import ByteIO
import Diagnostics
import DistributedCheckpoint
import Pickle
import SystemPackage
import TorchArchive

/// What the reader of a layout fills while it opens one file after the other; a ``Checkpoint`` is
/// made of it when all is read.
package struct CheckpointBuilder {
  let folder: CheckpointFolder
  let limits: TorchLimits
  private let overrides: ArgumentOverrides
  var files: [SourceFile] = []
  var tensors: [IndexedTensor] = []
  private(set) var weights = WeightSource.model
  private(set) var trained: [IndexedTensor]?
  var areMastersUnnamed = false
  var mustMastersFit = false
  /// Whether a universal checkpoint does not say that gates were put together apart from upward
  /// projections.
  var areGatesUnproven = false
  var tensorParallel = 1
  var pipelineParallel: Int?
  var blockCount = 0
  var firstBlockLayer: Int?
  var mergedRanks = 1
  var arguments = TrainingArguments.absent
  var checkpointVersion: Double?
  var iteration: Int?
  var originalVocabularySize: Int?
  var deepspeedVersion: String?
  var warnings: [Diagnostic] = []
  private(set) var decisions: [Decision] = []
  private(set) var passedOver: [String: String] = [:]
  private(set) var oddMask: String?
  var rotaryTable: RotaryTable?
  /// The keys of the files of the ranks, next to the weights.
  var stateKeys: [String] = []
  /// Whose names the tensors have.
  var names = NamingConvention.megatron
  /// What a distributed checkpoint holds besides the model.
  var distributed: DistributedCheckpoint?
  /// Checksums, offsets and shapes of the masks that were read.
  private var knownMasks: Set<[Int]> = []
  private var positions: [String: Int] = [:]

  init(_ folder: CheckpointFolder, overrides: ArgumentOverrides, limits: TorchLimits) {
    self.folder = folder
    self.overrides = overrides
    self.limits = limits
  }

  /// What a checkpoint was made of, to make another of it.
  package init(_ checkpoint: Checkpoint) {
    folder = checkpoint.folder
    overrides = ArgumentOverrides()
    limits = TorchLimits()
    files = checkpoint.files
    tensors = checkpoint.tensors
    weights = checkpoint.weights
    trained = checkpoint.trained
    areMastersUnnamed = checkpoint.areMastersUnnamed
    mustMastersFit = checkpoint.mustMastersFit
    areGatesUnproven = checkpoint.areGatesUnproven
    tensorParallel = checkpoint.tensorParallel
    pipelineParallel = checkpoint.pipelineParallel
    blockCount = checkpoint.blockCount
    firstBlockLayer = checkpoint.firstBlockLayer
    mergedRanks = checkpoint.mergedRanks
    arguments = checkpoint.arguments
    checkpointVersion = checkpoint.checkpointVersion
    iteration = checkpoint.iteration
    originalVocabularySize = checkpoint.originalVocabularySize
    deepspeedVersion = checkpoint.deepspeedVersion
    warnings = checkpoint.warnings
    decisions = checkpoint.decisions
    passedOver = checkpoint.passedOver
    oddMask = checkpoint.oddMask
    rotaryTable = checkpoint.rotaryTable
    stateKeys = checkpoint.stateKeys
    names = checkpoint.names
    distributed = checkpoint.distributed
  }

  /// Reads the weights by the reader of the layout, and their masters where they are asked for.
  mutating func read(_ wanted: WeightSource) throws(Failure) {
    try folder.reader.read(into: &self)
    switch folder.reader.masters {
    case .areTheWeights: return
    case .besideTheWeights where wanted == .model: return
    case .besideTheWeights, .inPlaceOfWeights: break
    }
    let model = tensors
    do {
      try folder.reader.readMasters(into: &self)
    } catch {
      // Training in float32 has one copy of the weights only.
      let dtypes = Set(tensors.flatMap { $0.shards.map(\.dtype) })
      guard error.code == .mastersNone, dtypes == [.float32] else { throw error }
      tensors = model
      warnings.append(
        Diagnostic(
          .mastersNone, "the weights are float32 themselves: they have no other masters"))
      return
    }
    weights = .fp32Master
    if !model.isEmpty {
      try compareStructure(model)
      trained = model
    }
  }

  /// Notes a decision once, however many files lead to it.
  mutating func note(_ decision: Decision) {
    if !decisions.contains(decision) { decisions.append(decision) }
  }

  /// Notes a warning once, however many files lead to it.
  mutating func noteHolding(of file: TorchFile, _ named: [NamedTensor]) {
    for warning in Diagnostic.about(file, named) where !warnings.contains(warning) {
      // Files of one checkpoint are made alike: one of them is enough to say it.
      let isKnown =
        warning.code == .tensorForeignFunction && warnings.contains { $0.code == warning.code }
      if !isKnown { warnings.append(warning) }
    }
  }

  /// The tensor of a name in a file, unless it is known to be no part of a model.
  ///
  /// - Throws: `Failure`, naming the tensor, for one that cannot be read.
  mutating func kept(
    _ named: NamedTensor, of file: TorchFile, _ source: String
  ) throws(Failure) -> TorchTensor? {
    let tensor: TorchTensor
    do {
      guard let found = try file.tensor(named.node) else {
        throw Failure(
          .bugNoTensor, "a named value is not a tensor", file: source, tensor: named.name)
      }
      tensor = found
    } catch {
      if named.name.contains("_extra_state") { return nil }
      throw Failure(reading: error, file: FilePath(source), tensor: named.name)
    }
    let name = ParameterName.unwrapped(named.name)
    guard let reason = Bookkeeping.reason(name, tensor) else { return tensor }
    if reason == Bookkeeping.mask, oddMask == nil, isNewMask(tensor) {
      do {
        oddMask = try CausalMask.contradiction(tensor, in: file).map { "in \(name), \($0)" }
      } catch {
        throw Failure(reading: error, file: FilePath(source), tensor: named.name)
      }
    }
    if reason == Bookkeeping.frequencies { noteRounded(tensor.dtype) }
    passOver(name, reason)
    return nil
  }

  /// Says that the angles of rotary positions were computed in 16 bits, as their frequencies are
  /// (EleutherAI/gpt-neox before 3bfedf47 of September 2023; bigscience's fork): no class of
  /// transformers does so.
  private mutating func noteRounded(_ dtype: TorchDType) {
    guard [.float16, .bfloat16].contains(dtype),
      !warnings.contains(where: { $0.code == .rotaryPrecision })
    else { return }
    let error = dtype == .float16 ? "0.5" : "4"
    warnings.append(
      Diagnostic(
        .rotaryPrecision,
        "the trainer turned queries and keys by angles of \(dtype.rawValue), which are up to "
          + "\(error) radians off within 2,048 positions; transformers computes them in float32, "
          + "so that logits are not those of the training",
        hint: dtype == .float16 ? nil : "compare the loss of a long text with the training's"))
  }

  /// Whether a mask has to be read: each layer has one, and those with one checksum are read once.
  private mutating func isNewMask(_ tensor: TorchTensor) -> Bool {
    guard let crc = tensor.storage.entry.crc, tensor.isPlain else { return true }
    return knownMasks.insert([Int(crc), tensor.storageOffset] + tensor.sizes).inserted
  }

  /// Notes a tensor that is not part of the model.
  mutating func passOver(_ name: String, _ reason: String) {
    let parts = name.split(separator: ".").map { Int($0) == nil ? String($0) : "*" }
    passedOver[parts.joined(separator: ".")] = reason
  }

  /// Puts what the user set over what the checkpoint says.
  mutating func applyOverrides() throws(Failure) {
    arguments.override(overrides.values)
    for (key, recorded) in arguments.replaced.sorted(by: { $0.key < $1.key }) {
      warnings.append(
        Diagnostic(
          .argumentsOverridden,
          "\(key) is set to \(arguments.values[key]?.quoted ?? "None"), against the evidence: the "
            + "checkpoint "
            + "says \(recorded.quoted)"))
    }
    if let version = try arguments.double(.checkpointVersion) { checkpointVersion = version }
  }

  /// Masters and weights must be the same tensors.
  private func compareStructure(_ model: [IndexedTensor]) throws(Failure) {
    for tensor in model where tensor.name != ParameterName.embeddingCopy {
      guard let master = self.tensor(tensor.name) else {
        throw Failure(
          .mastersMismatch, "the optimizer has no master of it", tensor: tensor.name)
      }
      guard master.shards.map(\.sizes) == tensor.shards.map(\.sizes) else {
        throw Failure(
          .mastersMismatch,
          "the shapes of its masters are \(master.shards.map(\.sizes)), but those of the weights "
            + "\(tensor.shards.map(\.sizes))", tensor: tensor.name)
      }
    }
    let known = Set(model.map(\.name))
    if let other = tensors.first(where: { !known.contains($0.name) }) {
      throw Failure(
        .mastersMismatch, "the optimizer has a master of it, the model has no weight",
        tensor: other.name)
    }
  }

  /// The tensor of a name, among those that were read so far.
  func tensor(_ name: String) -> IndexedTensor? { tensors.first { $0.name == name } }

  /// Notes a file and gives its position.
  mutating func add(_ file: TorchFile, named name: String, stage: Int? = nil) -> Int {
    // States are opened once more for the masters in them.
    if let known = positions[name], files[known].identity == file.file.identity { return known }
    // A file without a directory of entries is known by its size and the time of its last change.
    let digest =
      file.container == .legacy ? "modified \(file.file.identity.modified)" : file.directoryDigest
    files.append(
      SourceFile(
        path: file.file.path, name: name, identity: file.file.identity,
        directoryDigest: digest, isPickleVerified: file.isPickleVerified, stage: stage))
    positions[name] = files.count - 1
    return files.count - 1
  }
}
