import Foundation
public import SystemPackage

/// What a run of the command came to.
public struct CommandOutcome {
  public let status: Int32
  public let output: String
  public let errors: String
}

/// Runs the built command as a process of its own.
///
/// - Parameters:
///   - arguments: Its arguments.
///   - folder: Where it runs; by default where the tests run.
///   - shell: A shell command line that runs it as `"$@"`, to set limits first.
/// - Returns: Its exit status (128 + number for a signal) and what it printed.
/// - Throws: When it cannot be started.
public func meg2hf(
  _ arguments: [String], in folder: FilePath? = nil, shell: String? = nil
) throws -> CommandOutcome {
  let process = Foundation.Process()
  let program = commandPath()
  if let shell {
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", shell, "sh", program] + arguments
  } else {
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
  }
  if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder.string) }
  var environment = ProcessInfo.processInfo.environment
  environment["NO_COLOR"] = nil
  process.environment = environment
  let files = try TemporaryFolder()
  // Files instead of pipes: a pipe that nobody empties would block the command.
  let outputs = try ["out", "err"].map { name in
    _ = FileManager.default.createFile(atPath: files.path.appending(name).string, contents: nil)
    return try FileHandle(forWritingTo: URL(fileURLWithPath: files.path.appending(name).string))
  }
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = outputs[0]
  process.standardError = outputs[1]
  // The threads of the tests block all signals, which a process would inherit.
  var open = sigset_t()
  var blocked = sigset_t()
  sigemptyset(&open)
  pthread_sigmask(SIG_SETMASK, &open, &blocked)
  defer { pthread_sigmask(SIG_SETMASK, &blocked, nil) }
  try process.run()
  process.waitUntilExit()
  let isSignal = process.terminationReason == .uncaughtSignal
  return CommandOutcome(
    status: (isSignal ? 128 : 0) + process.terminationStatus,
    output: String(decoding: try bytes(of: files.path.appending("out")), as: UTF8.self),
    errors: String(decoding: try bytes(of: files.path.appending("err")), as: UTF8.self))
}

/// The command lies next to the test bundle.
private func commandPath() -> String {
  let name = "meg2hf"
  var folder = FilePath(CommandLine.arguments[0]).removingLastComponent()
  for _ in 0..<6 {
    let candidate = folder.appending(name)
    if FileManager.default.isExecutableFile(atPath: candidate.string) { return candidate.string }
    folder.removeLastComponent()
  }
  return FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent().appending(".build/debug/meg2hf").string
}

/// Compiles a file of C among the fixtures into a library that can be preloaded.
///
/// - Parameters:
///   - name: The fixture.
///   - library: The library to make.
/// - Throws: When the compiler, which is clang of the Swift toolchain, fails.
public func compileLibrary(_ name: String, to library: FilePath) throws {
  struct CompilerFailed: Error {}
  let compiler = Foundation.Process()
  compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  compiler.arguments = [
    "clang", "-shared", "-fPIC", "-O1", "-o", library.string, fixture(name).string, "-ldl",
  ]
  try compiler.run()
  compiler.waitUntilExit()
  guard compiler.terminationStatus == 0 else { throw CompilerFailed() }
}
