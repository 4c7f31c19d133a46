import Architectures
import Diagnostics
import Megatron
import SystemPackage

/// How many tensor-parallel ranks of the training were put together in each file by now.
///
/// It matters where the rows of query, key and value go in thirds rank by rank: a tool that
/// concatenates ranks leaves the thirds of each after those of the one before.
struct MergedRanks {
  let count: Int
  /// What is shown, where there is something to decide.
  let decision: Decision?

  /// - Parameters:
  ///   - index: The checkpoint.
  ///   - order: The order of the rows.
  ///   - chosen: What the user said.
  /// - Throws: `Failure` 78 where more processes took part than the degrees account for.
  init(_ index: Checkpoint, order: QKVOrder, chosen: Int?) throws(Failure) {
    if let chosen {
      count = chosen
      decision = Decision("merged_ranks", .int(chosen), "given by --merged-ranks")
      return
    }
    count = index.mergedRanks
    guard index.mergedRanks == 1 else {
      decision = Decision(
        "merged_ranks", .int(count), "a universal checkpoint of so many tensor-parallel ranks")
      return
    }
    decision = nil
    guard order == .thirds, let world = try index.arguments.int(.worldSize),
      let data = try index.arguments.int(.dataParallelSize), world > 0, data > 0
    else { return }
    var product = index.tensorParallel
    let stages =
      try index.arguments.int(.pipelineModelParallelSize) ?? index.pipelineParallel ?? 1
    for degree in [
      data, stages, try index.arguments.int(.dsSequenceParallelSize) ?? 1,
      try index.arguments.int(.contextParallelSize) ?? 1,
    ] {
      guard degree > 0, degree < ModelBounds.count, product < ModelBounds.size else { return }
      product *= degree
    }
    guard world != product else { return }
    let merged =
      world > product && world.isMultiple(of: product) ? world / product : nil
    throw Failure(
      .qkvMergedRanks,
      "\(world) processes trained it (world_size), but tensor-parallel \(index.tensorParallel), "
        + "pipeline "
        + "\(stages) and data-parallel \(data) make \(product): a tool put ranks together or "
        + "changed the "
        + "arguments, and the order of the query, key and value rows depends on how many ranks "
        + "there were",
      file: index.folder.path.string,
      hint: "say how many ranks are in each file with --merged-ranks N "
        + (merged.map {
          "(up to \($0), as the stages of the pipeline may be among them; 1 for none)"
        }
          ?? "(1 for none)"))
  }
}
