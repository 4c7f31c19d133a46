import ByteIO
import Diagnostics
import Transfer

extension ConversionPlan {
  /// What the user should know of what was found in the data.
  func warnings(about report: ExecutionReport) -> [Diagnostic] {
    var result: [Diagnostic] = []
    for (position, tensor) in transfer.tensors.enumerated() {
      guard let finding = report.findings[position] else { continue }
      func warn(_ code: Diagnostic.Code, _ message: String) {
        result.append(Diagnostic(code, message, tensor: tensor.name))
      }
      if finding.differing > 0 {
        let taken = options.replicas == .mean ? "their mean is" : "those of rank 0 are"
        warn(
          .replicasDiffer,
          "the copies of \(tensor.source) on the tensor-parallel ranks differ in "
            + "\(finding.differing) elements, by up to \(finding.largestDifference); \(taken) taken"
        )
      }
      if finding.floats.nan + finding.floats.infinite > 0 {
        warn(
          .valuesNotFinite,
          "\(finding.floats.nan) values are NaN and \(finding.floats.infinite) are infinite")
      }
      if finding.floats.overflowed > 0 {
        warn(
          .valuesOverflow,
          "\(finding.floats.overflowed) values are too large for \(tensor.format.torchName) and "
            + "became infinite")
      }
    }
    if report.crcNotRecorded > 0 {
      result.append(
        Diagnostic(
          .crcNotRecorded,
          "\(report.crcNotRecorded) storages were written without a CRC, so damage to them cannot "
            + "be seen"))
    }
    if report.crcPartlyRead > 0 {
      result.append(
        Diagnostic(
          .crcNotChecked,
          "\(report.crcPartlyRead) storages were read in part, so their CRC was not checked; "
            + "--crc all reads the rest of them"))
    }
    return result
  }
}
