public import Architectures
public import Diagnostics
public import Megatron
import SystemPackage
public import Transfer

/// A checkpoint that could be converted, and so can be run as it was trained: nothing is missing or
/// left over, and every part has the shape that it must have.
public struct RunnableCheckpoint: Sendable {
  /// The checkpoint as it was given, without what records of the run fill in.
  public let checkpoint: Checkpoint
  /// The order of query, key and value, or why it is not known.
  public let qkv: Result<QKVEvidence, Failure>
  /// How many tensor-parallel ranks were put together in each part.
  public let mergedRanks: Int
  /// What is worth knowing of a conversion is worth knowing here.
  public let warnings: [Diagnostic]
  private let plan: ConversionPlan

  /// Plans the conversion, without reading a tensor. That the order of query, key and value is open
  /// is no error yet.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - options: What the user chose.
  /// - Throws: `Failure` for one that cannot be converted.
  public init(
    _ checkpoint: Checkpoint, options: ConversionOptions = ConversionOptions()
  ) throws(Failure) {
    var options = options
    let model = try Recognition(checkpoint, options: options)
    guard model.architecture is GPT2 else {
      throw Failure(
        .networkUnsupported,
        "the model is a \(model.architecture.format.title); only GPT-2 is run",
        file: checkpoint.folder.path.string)
    }
    self.checkpoint = checkpoint
    qkv = model.qkv
    guard case .failure = qkv else {
      plan = try Planner.plan(model, options: options)
      (mergedRanks, warnings) = (try model.ranks.get().count, plan.warnings)
      return
    }
    // All else is looked at under one of the orders.
    options.qkvLayout = .heads3HN
    let supposed = try Recognition(checkpoint, options: options)
    plan = try Planner.plan(supposed, options: options)
    (mergedRanks, warnings) = (try supposed.ranks.get().count, plan.warnings)
  }

  /// The order of query, key and value that the checkpoint names, or the user.
  public var order: QKVOrder? { (try? qkv.get())?.layout }

  /// Reads all weights once: damage is an error wherever a checksum was recorded.
  ///
  /// - Parameters:
  ///   - crc: Which of the checksums are compared.
  ///   - threads: How many threads share the work.
  ///   - started: Called with the number of bytes that will be read.
  ///   - progress: Called with the number of bytes that were read so far.
  /// - Returns: What is worth knowing of the values, such as replicas that differ.
  /// - Throws: `Failure` 65, or `Interrupted`.
  public func check(
    crc: CRCMode, threads: Int, started: (Int) -> Void = { _ in },
    progress: @escaping ExecutionReport.Progress = { _ in }
  ) throws -> [Diagnostic] {
    started(plan.sourceBytes)
    let executor = PlanExecutor(plan.transfer, crc: crc, threads: threads, progress: progress)
    try executor.run(into: nil)
    try executor.finish()
    // That their mean is taken is said of conversions; each rank runs with its own.
    return plan.warnings(about: executor.report).filter { $0.code != .replicasDiffer }
  }
}
