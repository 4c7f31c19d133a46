import ByteIO
public import Diagnostics
import Megatron
import Transfer

/// Compares the float32 masters, rounded to the type that was trained in, with the weights.
///
/// Neither is held in memory, and no order of reading is asked for: of each tensor a `WordHash`
/// is formed where its elements are read, once from the masters and once from the weights.
public struct MasterComparison: Sendable {
  /// The names of the tensors whose weights are not their rounded masters.
  public let differing: [String]
  /// The number of tensors that were compared.
  public let compared: Int

  /// The findings as warnings.
  public var warnings: [Diagnostic] {
    differing.map { name in
      Diagnostic(
        .mastersDiffer,
        "the masters, rounded to the type of the weights, are not the weights: the optimizer may "
          + "have been saved at another step", tensor: name)
    }
  }

  /// - Parameters:
  ///   - plan: The plan whose tensors were hashed.
  ///   - masters: The sums over the masters.
  ///   - weights: The sums over the weights.
  init(_ plan: ConversionPlan, masters: [Int: WordHash], weights: [Int: WordHash]) {
    // Where 1 is added, or ranks are summed up, the sum of the rounded and the rounded sum are two
    // things.
    let comparable = plan.tensors.indices.filter {
      !plan.tensors[$0].hasAddend && !plan.tensors[$0].isSummed
    }
    compared = comparable.count
    differing = comparable.filter { masters[$0] != weights[$0] }.map { plan.tensors[$0].name }
  }

  /// Masters without names are told by their order alone; when most of them are not the weights,
  /// the order is another one, or the file of another run.
  func check(_ index: Checkpoint) throws(Failure) {
    if index.mustMastersFit, let name = differing.first {
      throw Failure(
        .mastersOrder,
        "\(differing.count) of \(compared) masters, rounded, are not the weights; in which order "
          + "they lie is not recorded, and it is not the one that was tried", tensor: name,
        hint: "--weights model takes the weights as trained")
    }
    guard index.areMastersUnnamed, differing.count * 2 > compared else { return }
    throw Failure(
      .mastersMismatch,
      "\(differing.count) of \(compared) masters, rounded, are not the weights; the shards do not "
        + "say "
        + "which parameters they hold, and the order seems to be another one than is recorded",
      tensor: differing[0], hint: "--weights model takes the weights as trained")
  }
}
