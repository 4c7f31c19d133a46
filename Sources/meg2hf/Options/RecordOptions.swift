import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import LaunchScript
import Megatron
import SystemPackage

/// What a launch script was given: it may hang on that what it passes on.
struct ScriptOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The arguments that the script was given, as one text; quotes count.", valueName: "words"))
  var scriptArgs: String?

  @Option(
    name: .long, help: ArgumentHelp("A variable of its environment.", valueName: "name=value"))
  var scriptEnv: [String] = []

  /// The words and variables that were given.
  ///
  /// - Throws: `Failure` 64.
  func given() throws(Failure) -> (words: [String]?, environment: [String: String]) {
    var environment: [String: String] = [:]
    for item in scriptEnv {
      let name = item.prefix { $0 != "=" }
      guard name.count < item.count, !name.isEmpty else {
        throw Failure(.usageArguments, "--script-env takes NAME=VALUE, and got \"\(item)\"")
      }
      environment[String(name)] = String(item.dropFirst(name.count + 1))
    }
    guard let scriptArgs else { return (nil, environment) }
    guard let words = LaunchScript.words(of: scriptArgs) else {
      throw Failure(
        .usageArguments,
        "--script-args has a quotation mark that is not closed: \"\(scriptArgs)\"")
    }
    return (words, environment)
  }

  /// Reads a script.
  func script(_ path: FilePath) throws(Failure) -> LaunchScript {
    let given = try given()
    return try LaunchScript(path, arguments: given.words, environment: given.environment)
  }
}

/// What was kept of a run besides its checkpoints.
struct RecordOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The script that started the training; it is read and never run.", valueName: "file"),
    completion: .file())
  var trainingScript: String?

  @Option(
    name: .long,
    help: ArgumentHelp("A folder with TensorBoard's event files.", valueName: "folder"),
    completion: .directory)
  var trainingLogs: String?

  @OptionGroup var script: ScriptOptions

  /// Whether a path has names to be filled in, which only a batch does.
  var isTemplate: Bool {
    [trainingScript, trainingLogs].contains { $0?.contains("{") == true }
  }

  /// Reads them; `nil` if there are none.
  ///
  /// - Parameter folder: The checkpoint of a batch, whose names are filled in.
  /// - Returns: What they say.
  /// - Throws: `Failure` 66, 65 or 64.
  func read(for folder: CheckpointFolder? = nil) throws(Failure) -> RunRecords? {
    func filled(_ text: String?) throws(Failure) -> String? {
      guard let text, let folder else { return text }
      return try BatchList.fill(text, folder) ?? text
    }
    let trainingScript = try filled(trainingScript)
    let trainingLogs = try filled(trainingLogs)
    guard trainingScript != nil || trainingLogs != nil else { return nil }
    var records = RunRecords()
    do {
      if let trainingScript {
        let given = try script.given()
        try records.add(
          script: Process.path(argument: trainingScript), arguments: given.words,
          environment: given.environment)
      }
      if let trainingLogs { try records.add(logs: Process.path(argument: trainingLogs)) }
    } catch is Interrupted {
      throw Failure(.stoppedWarning, "stopped while the event files were read")
    } catch {
      throw Failure(reading: error, file: trainingLogs ?? "")
    }
    return records
  }
}
