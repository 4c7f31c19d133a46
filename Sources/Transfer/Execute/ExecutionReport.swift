public import ByteIO

/// What a pass over the sources found out about a tensor.
public struct TensorFindings: Hashable, Sendable {
  public var floats = FloatCounts()
  /// How many elements differed between replicas, and by how much at most.
  public var differing = 0
  public var largestDifference: Float = 0

  package init() {}
}

/// What a pass over the sources found out.
public struct ExecutionReport: Hashable, Sendable {
  /// What is called after each step of a pass, with the number of bytes that were read so far.
  public typealias Progress = (_ bytesRead: Int) -> Void

  /// By the positions of the tensors in the plan.
  public var findings: [Int: TensorFindings] = [:]
  /// Bytes that were read from storages.
  public var bytesRead = 0
  /// Storages whose CRC was checked, that have none, and of which only a part was read.
  public var crcVerified = 0
  public var crcNotRecorded = 0
  public var crcPartlyRead = 0

  package init(
    findings: [Int: TensorFindings] = [:], bytesRead: Int = 0, crcVerified: Int = 0,
    crcNotRecorded: Int = 0, crcPartlyRead: Int = 0
  ) {
    self.findings = findings
    self.bytesRead = bytesRead
    self.crcVerified = crcVerified
    self.crcNotRecorded = crcNotRecorded
    self.crcPartlyRead = crcPartlyRead
  }
}

/// What was found out while some of the tensors were made: all that the manifest and the last
/// checks need to know of work that is not done again.
package struct PartialFindings: Sendable {
  /// By the positions of the tensors in the plan.
  package var tensors: [Int: TensorFindings] = [:]
  /// What was read of storages, by their positions in the plan.
  package var checksums: [Int: ChecksumLedger] = [:]

  package init(
    tensors: [Int: TensorFindings] = [:], checksums: [Int: ChecksumLedger] = [:]
  ) {
    self.tensors = tensors
    self.checksums = checksums
  }
}
