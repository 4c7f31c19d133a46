import ByteIO
import Conversion
import JSON
import SystemPackage
import Transfer

extension Conversion.Result {
  /// What a conversion came to, for machine-readable output.
  ///
  /// - Parameters:
  ///   - path: OUTPUT.
  ///   - seconds: How long it took.
  /// - Returns: The members of the document.
  func payload(_ path: FilePath, _ seconds: Double) -> JSONObject {
    var payload = JSONObject()
    payload["output"] = .string(path.string)
    payload["fingerprint"] = .string(fingerprint)
    payload["outputs"] = .array(
      outputs.map { output in
        var object = JSONObject()
        object["file"] = .string(output.name)
        object["size"] = .int(output.size)
        if let sum = sha256.first(where: { $0.name == output.name }) {
          object["sha256"] = .string(sum.digest)
        }
        return .object(object)
      })
    payload["checksums"] = [
      "verified": .int(report.crcVerified), "not_recorded": .int(report.crcNotRecorded),
      "partly_read": .int(report.crcPartlyRead),
    ]
    payload["bytes_read"] = .int(report.bytesRead)
    payload["seconds"] = .double((seconds * 1000).rounded() / 1000)
    payload["peak_resident_bytes"] = .int(Process.peakResidentBytes)
    payload["host"] = .string(Process.hostName)
    payload["task"] = BatchSystem.task.map { .string($0) } ?? .null
    return payload
  }
}
