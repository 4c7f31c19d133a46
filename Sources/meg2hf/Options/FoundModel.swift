import Architectures
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import Megatron
import TorchArchive
import Transfer

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
    if case .checkpoint(let found) = self { found.warnings } else { [] }
  }

  /// The order of query, key and value that a checkpoint names.
  var order: QKVOrder? {
    if case .checkpoint(let found) = self { found.order } else { nil }
  }

  /// Rows of the vocabulary before padding, where the model itself says so.
  var vocabulary: Int? {
    if case .checkpoint(let found) = self { found.checkpoint.originalVocabularySize } else { nil }
  }

  /// Makes sure that the weights of a checkpoint are those that were written; a folder of
  /// transformers records no checksums.
  ///
  /// - Returns: What is worth knowing of them.
  /// - Throws: `Failure` 65 for damage.
  func check(_ crc: CRCMode, threads: Int, _ shown: DisplayOptions) throws -> [Diagnostic] {
    guard case .checkpoint(let found) = self, crc != .none else { return [] }
    let progress = ProgressReporter(shown, verb: "checking")
    defer { progress.finish() }
    return try found.check(
      crc: crc, threads: threads, started: { progress.start(total: $0) },
      progress: { progress.update($0) })
  }

  /// Puts the model together.
  func network(_ options: Network.Options) throws -> Network {
    switch self {
    case .directory(let directory): try Network(of: directory, options: options)
    case .checkpoint(let found): try found.network(found.qkv.get().layout, options)
    }
  }
}

extension RunnableCheckpoint {
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
