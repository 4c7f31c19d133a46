import ByteIO
import Conversion
import Diagnostics
import JSON
import LaunchScript
import SystemPackage

extension InspectCommand {
  /// Shows the options that a launch script passes on.
  func inspectScript(_ path: FilePath, _ report: inout Report) throws {
    report.payload["kind"] = "launch-script"
    let script = try source.records.script.script(path)
    let description = LaunchScriptDescription(script)
    for member in description.payload.members { report.payload[member.key] = member.value }
    guard script.launches.isEmpty else {
      report.text = description.text(path.string)
      return
    }
    throw script.withoutLaunch(path)
  }

  private static let endings: Set<String> = ["slurm", "sbatch", "sh", "bash", "pbs", "job"]

  /// Whether a path is a script: by the ending of its name, or by its first two bytes.
  static func isScript(_ path: FilePath) -> Bool {
    guard (try? FileSystem.kind(of: path)) == .file else { return false }
    if let ending = path.extension?.lowercased(), endings.contains(ending) { return true }
    guard let file = try? InputFile(opening: path), file.size > 2 else { return false }
    return (try? file.read(at: 0, count: 2)) == Array("#!".utf8)
  }
}
