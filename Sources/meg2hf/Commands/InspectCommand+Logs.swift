import ByteIO
import Conversion
import Diagnostics
import EventLog
import JSON
import SystemPackage

extension InspectCommand {
  /// Shows the curves of event files.
  func inspectLogs(_ path: FilePath, _ report: inout Report) throws {
    report.payload["kind"] = "event-logs"
    let logs = try EventLogs(path, keepsAll: points, isEssential: TrainingTags.mayBeOne)
    let description = EventLogDescription(logs)
    report.warnings = description.warnings
    guard !shown.json else {
      for member in description.payload(points: points).members {
        report.payload[member.key] = member.value
      }
      return
    }
    report.text = description.text(
      path.string, verbose: shown.verbose,
      draws: draw || Process.Stream.output.columns != nil && !shown.quiet)
  }

  /// Whether a path is an event file.
  static func isEventFile(_ path: FilePath) -> Bool {
    guard EventLogs.isEventFile(path.lastComponent?.string ?? "") else { return false }
    return (try? FileSystem.kind(of: path)) == .file
  }
}
