import Architectures
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import Megatron
import TorchArchive

/// A model that can be run.
enum FoundModel {
  case directory(ModelDirectory)
  case checkpoint(RunnableCheckpoint)

  /// The size of all weights in bytes.
  var weightBytes: Int {
    switch self {
    case .directory(let directory):
      directory.files.reduce(0) { $0 + $1.file.header.dataSize }
    case .checkpoint(let found):
      found.checkpoint.tensors.reduce(0) { sum, tensor in
        sum + tensor.shards.reduce(0) { $0 + $1.sizes.reduce($1.dtype.size, *) }
      }
    }
  }

  /// How it is run.
  ///
  /// - Parameters:
  ///   - memory: How much of the weights is held in memory, if the user said so.
  ///   - passes: How many times all weights are needed.
  ///   - threads: How many threads share the work.
  /// - Returns: Threads and memory.
  func options(_ memory: MemoryArgument?, passes: Int, threads: Int) -> Network.Options {
    var options = Network.Options(threads: threads)
    switch memory {
    case .all: options.memory = nil
    case .bytes(let bytes): options.memory = bytes
    case nil:
      let isWorthIt = passes > 4 && weightBytes <= (Process.availableMemory ?? .max) / 2
      options.memory = isWorthIt ? nil : 0
    }
    return options
  }

  /// What it is, for the JSON document.
  var kind: String { if case .directory = self { "directory" } else { "checkpoint" } }

  /// What is worth knowing before it is run.
  var warnings: [Diagnostic] {
    guard case .checkpoint(let found) = self else { return [] }
    return found.checkpoint.warnings
      + [(try? found.qkv.get())?.decision.warning].compactMap { $0 }
  }

  /// The order of query, key and value that a checkpoint names.
  var order: QKVOrder? {
    if case .checkpoint(let found) = self { found.order } else { nil }
  }

  /// Rows of the vocabulary before padding, where the model itself says so.
  var vocabulary: Int? {
    if case .checkpoint(let found) = self { found.checkpoint.originalVocabularySize } else { nil }
  }

  /// Puts the model together.
  func network(_ options: Network.Options) throws -> Network {
    switch self {
    case .directory(let directory): try Network(of: directory, options: options)
    case .checkpoint(let found): try found.network(found.qkv.get().layout, options)
    }
  }
}

/// A checkpoint that could be converted, and so can be run.
struct RunnableCheckpoint {
  let checkpoint: Checkpoint
  /// The order of query, key and value, or why it is not known.
  let qkv: Result<QKVEvidence, Failure>
  private let mergedRanks: Int

  /// - Throws: ``Failure`` for one that cannot be converted.
  init(_ checkpoint: Checkpoint, _ options: ConversionOptions) throws(Failure) {
    let model = try Recognition(checkpoint, options: options)
    self.checkpoint = checkpoint
    mergedRanks = try model.checkForRunning(options)
    qkv = model.qkv
  }

  /// The order that is taken without a proof.
  var order: QKVOrder? { (try? qkv.get())?.layout }

  /// Puts the model together with an order of query, key and value.
  func network(_ order: QKVOrder, _ options: Network.Options) throws -> Network {
    try Network(of: checkpoint, order: order, mergedRanks: mergedRanks, options: options)
  }

  /// Finds out which order a text speaks for.
  ///
  /// - Parameters:
  ///   - options: How the model is run.
  ///   - compute: The loss of the text.
  /// - Returns: The verdict with the losses.
  /// - Throws: What reading or computing throws.
  func arbitrate(
    _ options: Network.Options, _ compute: (Network) throws -> TextLoss
  ) throws -> OrderArbitration {
    var vocabulary = 0
    let losses = try QKVOrder.allCases.map { order in
      let network = try network(order, options)
      vocabulary = network.sizes.vocabulary
      return (order, try compute(network))
    }
    return OrderArbitration(losses, evidence: order, vocabulary: vocabulary)
  }
}
