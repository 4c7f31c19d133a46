public import Architectures
public import ByteIO
public import Diagnostics
public import SystemPackage
public import TorchArchive

/// A file that tensors are read from.
public struct SourceFile: Hashable, Sendable {
  public let path: FilePath
  /// The name within the checkpoint's folder.
  public let name: String
  public let identity: InputFile.Identity
  /// A SHA-256 over the directory of the archive: names, sizes, offsets and CRCs of all entries.
  public let directoryDigest: String
  /// Whether the pickle had a CRC that was checked.
  public let isPickleVerified: Bool
  /// The pipeline stage, where the name of the file tells it.
  public let stage: Int?
}

/// The two copies of the weights that a trainer in mixed precision has.
public enum WeightSource: String, Hashable, Sendable, CaseIterable {
  /// Those of the model, in the type that it was trained in.
  case model
  /// Those of the optimizer, in float32.
  case fp32Master = "fp32-master"
}

/// All that is known of a checkpoint without reading a tensor: the one form that every layout is
/// brought into.
public struct Checkpoint: Sendable {
  public let directory: CheckpointFolder
  public var files: [SourceFile] = []
  /// In the order of the model: embedding, blocks, final layernorm, head.
  public var tensors: [IndexedTensor] = []
  /// Where ``tensors`` come from.
  public private(set) var weights = WeightSource.model
  /// The weights as they were trained, when ``tensors`` are their float32 masters and both are there.
  public private(set) var trained: [IndexedTensor]?
  /// Whether the masters had no names, and were told by their order.
  package var areMastersUnnamed = false
  /// The number of tensor-parallel ranks.
  public var tensorParallel = 1
  /// The number of pipeline stages, when it is known.
  public var pipelineParallel: Int?
  /// The number of blocks.
  public var blockCount = 0
  /// The number of the first block's layer file, in pipeline layouts.
  public var firstBlockLayer: Int?
  /// How many tensor-parallel ranks were put together already in each tensor: 1 but for universal
  /// checkpoints. It matters where the order of the rows goes rank by rank.
  public var mergedRanks = 1
  public var arguments = TrainingArguments.absent
  public var checkpointVersion: Double?
  public var iteration: Int?
  /// Rows of the vocabulary before padding, as the checkpoint records them.
  public var originalVocabularySize: Int?
  /// The release of DeepSpeed that wrote it.
  public var deepspeedVersion: String?
  public var warnings: [Diagnostic] = []
  /// What was concluded while the files were read.
  public private(set) var decisions: [Decision] = []
  /// Tensors that are no part of the model, and why; a name with the number of its block left out.
  public private(set) var passedOver: [String: String] = [:]
  /// The first mask beside the weights that is not causal, and where it is not.
  public private(set) var oddMask: String?
  /// Whether the tensors have the names of Megatron-core.
  var isCore = false
  /// Checksums, offsets and shapes of the masks that were read.
  private var knownMasks: Set<[Int]> = []
  private var positions: [String: Int] = [:]
  private let overrides: ArgumentOverrides

  /// Opens a checkpoint and reads the pickles of its files.
  ///
  /// - Parameters:
  ///   - directory: Where it is.
  ///   - overrides: Arguments that the user set.
  ///   - weights: Which of the two copies of the weights is read.
  ///   - limits: How much a file may make the reader do.
  /// - Throws: ``Failure``.
  public init(
    reading directory: CheckpointFolder, overrides: ArgumentOverrides = ArgumentOverrides(),
    weights: WeightSource = .model, limits: TorchLimits = TorchLimits()
  ) throws(Failure) {
    self.directory = directory
    self.overrides = overrides
    switch directory.layout {
    case .deepspeedPipeline: try readPipeline(limits)
    case .deepspeed, .classic: try readRanks(limits)
    case .universal: try readUniversal(limits)
    case .deepspeedZero3: try readZero3States(limits)
    case .distributed:
      throw Failure(
        .layoutMegatronCore,
        "\(directory.layout.title) (\(directory.reason)) is not read",
        file: directory.folder.string,
        hint: "Megatron-LM's tools/checkpoint/convert.py writes the classic layout from it")
    }
    // ZeRO-3 divides the weights themselves: the shards are all there is. Universal checkpoints hold
    // nothing but masters.
    if weights == .fp32Master && directory.layout != .universal
      || directory.layout == .deepspeedZero3
    {
      let model = tensors
      do {
        try readMasters(limits)
      } catch {
        // Training in float32 has one copy of the weights only.
        guard error.code == .mastersNone, dtypes == [.float32] else { throw error }
        tensors = model
        warnings.append(
          Diagnostic(
            .mastersNone, "the weights are float32 themselves: they have no other masters"))
        return
      }
      self.weights = .fp32Master
      if !model.isEmpty {
        try compareStructure(model)
        trained = model
      }
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
  /// - Throws: ``Failure``, naming the tensor, for one that cannot be read.
  mutating func kept(
    _ named: NamedTensor, of file: TorchFile, _ source: String
  ) throws(Failure) -> TorchTensor? {
    let tensor: TorchTensor
    do {
      guard let found = try file.tensor(named.node) else {
        throw Failure(
          .bugNoTensor, "a named tensor is none", file: source, tensor: named.name)
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
    passOver(name, reason)
    return nil
  }

  /// Whether a mask has to be read: each layer has one, and those with one checksum are read once.
  private mutating func isNewMask(_ tensor: TorchTensor) -> Bool {
    guard let crc = tensor.storage.entry.crc, tensor.isPlain else { return true }
    return knownMasks.insert([Int(crc), tensor.storageOffset] + tensor.sizes).inserted
  }

  /// Notes a tensor that is no part of the model.
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
          "\(key) is set to \(arguments.values[key]?.quoted ?? "None"), against the evidence: the checkpoint "
            + "says \(recorded.quoted)"))
    }
    if let version = try arguments.double("checkpoint_version") { checkpointVersion = version }
  }

  /// The same checkpoint with the weights as they were trained in place of their masters.
  public var withTrainedWeights: Checkpoint? {
    guard let trained else { return nil }
    var index = self
    index.tensors = trained
    index.trained = nil
    return index
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

  /// The tensor of a name.
  public func tensor(_ name: String) -> IndexedTensor? {
    tensors.first { $0.name == name }
  }

  /// The element types of the weights.
  public var dtypes: Set<TorchDType> {
    Set(tensors.flatMap { $0.shards.map(\.dtype) })
  }

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
