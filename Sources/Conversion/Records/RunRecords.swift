import Architectures
import ByteIO
public import Diagnostics
public import EventLog
public import LaunchScript
public import SystemPackage

/// What was kept of a run besides its checkpoints: the script that started it, and its event files.
public struct RunRecords: Hashable, Sendable {
  /// The script, by what it passes on.
  public struct Script: Hashable, Sendable {
    /// The last part of its path: where it lies is nobody's business.
    public let name: String
    /// The size of the file in bytes.
    public let size: Int
    /// The SHA-256 of the file, as hexadecimal digits.
    public let sha256: String
    /// Its options by Megatron's names, with the values that those stand for.
    public let arguments: RecordedArguments
    /// What it passes on, with dashes, where that is known whatever the machine is.
    public let options: [LaunchScript.Option]
    /// What was assumed where the script depends on what is not in it.
    public let assumptions: [String]
    /// What tokenizer files it names.
    public var tokenizerFiles: [String] {
      ["vocab_file", "merge_file", "tokenizer_model"].compactMap { arguments[$0]?.text }
    }
  }

  /// One event file.
  public struct LogFile: Hashable, Sendable {
    /// Where it is read and copied from.
    public let path: FilePath
    /// The size of the file in bytes.
    public let size: Int
    /// The SHA-256 of the file, as hexadecimal digits.
    public let sha256: String

    /// How the name of a copy begins, as the hub looks for it.
    static let prefix = "events.out.tfevents."

    /// The name of a copy: with the seconds of the original's, and without its host and process.
    func copyName(_ number: Int) -> String {
      let name = path.lastComponent?.string ?? ""
      let parts = name.split(separator: ".")
      let seconds = parts.firstIndex(of: "tfevents").flatMap { index in
        index + 1 < parts.count ? Int(parts[index + 1]) : nil
      }
      // Files are read in the order of their names.
      let digits = "\(number)"
      return LogFile.prefix
        + "\(seconds ?? 0).\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)"
    }
  }

  /// The launch script; `nil` until one is added.
  public var script: Script?
  /// The run of the event files.
  public var logs: EventRun?
  /// The event files of ``logs``, in the order of reading; empty until some are added.
  public var logFiles: [LogFile] = []
  /// What the user should know of them.
  public private(set) var warnings: [Diagnostic] = []

  /// No records yet; ``add(script:arguments:environment:)`` and ``add(logs:)`` read some.
  public init() {}

  /// Reads a launch script.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - arguments: What the script was given; `nil` if that is not known.
  ///   - environment: Variables of its environment.
  /// - Throws: `Failure` 66 or 65, also for a script that starts no training.
  public mutating func add(
    script path: FilePath, arguments: [String]?, environment: [String: String]
  ) throws {
    let read = try LaunchScript(path, arguments: arguments, environment: environment)
    guard !read.launches.isEmpty else { throw read.withoutLaunch(path) }
    script = Script(
      name: path.lastComponent?.string ?? "", size: read.size,
      sha256: try FileDigest.sha256(path), arguments: RecordedArguments(read),
      options: read.options, assumptions: read.assumptions)
  }

  /// Reads event files.
  ///
  /// - Parameter path: A folder, or a file.
  /// - Throws: `Failure` 66 if there are no event files, or `Interrupted`.
  public mutating func add(logs path: FilePath) throws {
    let read = try EventLogs(path, isEssential: TrainingTags.mayBeOne)
    let trainings = read.runs.filter { TrainingTags(among: $0.curves.map(\.tag)) != nil }
    guard
      let run = read.joined ?? (trainings.count == 1 ? trainings.first : nil) ?? read.runs.first,
      read.joined != nil || trainings.count < 2
    else {
      let names = trainings.prefix(6).map(\.name).joined(separator: ", ")
      throw Failure(
        .logsSeveral,
        "\(trainings.count) runs lie here: \(names)",
        file: path.string, hint: "give the folder of one of them")
    }
    logs = run
    let isFile = try FileSystem.kind(of: path) == .file
    logFiles = try run.files.map { name in
      let below = run.name == "." ? path.appending(name) : path.appending(run.name).appending(name)
      let file = isFile ? path : below
      return LogFile(
        path: file, size: try InputFile(opening: file).size, sha256: try FileDigest.sha256(file))
    }
    for damage in run.damage where !damage.isUsual {
      warnings.append(
        Diagnostic(.logsDamaged, "\(damage.file), byte \(damage.offset): \(damage.message)"))
    }
  }

  /// What the texts of the event files say of the job that wrote a checkpoint.
  func logArguments(upTo iteration: Int?) -> RecordedArguments? {
    logs.map { RecordedArguments($0, upTo: iteration) }
  }
}

extension LaunchScript {
  /// The error for a script that starts no training.
  package func withoutLaunch(_ path: FilePath) -> Failure {
    let called = submitted.joined(separator: ", ")
    return Failure(
      .scriptNoLaunch, "no command of it starts a training that is known here", file: path.string,
      hint: called.isEmpty
        ? "give the script that calls the trainer" : "it submits or calls \(called)")
  }
}
