import ByteIO
import Transfer

/// Forms the hashes of the weights during a conversion of their masters.
final class WeightHashing {
  private let hashes: TensorHashes
  private let work: BackgroundWork

  /// Begins.
  ///
  /// - Parameters:
  ///   - trained: The plan that makes the output of the weights.
  ///   - crc: How much of the recorded CRCs is checked.
  init(_ trained: TransferPlan, _ crc: CRCMode) {
    let hashes = TensorHashes(trained)
    self.hashes = hashes
    work = BackgroundWork { try hashes.addAll(of: trained, crc, threads: 1) }
  }

  /// A conversion that failed does not wait for the rest.
  deinit { hashes.cancel() }

  /// Waits for the hashes.
  ///
  /// - Returns: The hashes, by the positions of the tensors.
  /// - Throws: `Failure`, or `Interrupted`.
  func found() throws -> [Int: WordHash] {
    try work.wait()
    return hashes.found
  }
}
