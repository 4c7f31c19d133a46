import ArgumentParser
import ByteIO
import Diagnostics
import LaunchScript
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

  /// Reads a script.
  func script(_ path: FilePath) throws -> LaunchScript {
    var environment: [String: String] = [:]
    for item in scriptEnv {
      let name = item.prefix { $0 != "=" }
      guard name.count < item.count, !name.isEmpty else {
        throw Failure(.usageArguments, "--script-env takes NAME=VALUE, and got \"\(item)\"")
      }
      environment[String(name)] = String(item.dropFirst(name.count + 1))
    }
    let words = try scriptArgs.map { text in
      guard let words = LaunchScript.words(of: text) else {
        throw Failure(
          .usageArguments, "--script-args has a quotation mark that is not closed: \"\(text)\"")
      }
      return words
    }
    return try LaunchScript(path, arguments: words, environment: environment)
  }
}
