import ByteIO
package import Diagnostics
package import SystemPackage

/// Which step of a run is meant.
extension CheckpointFolder {
  /// The name of the step folder that is meant.
  static func step(
    in root: FilePath, _ files: [CheckpointFile], _ choice: Choice, _ layout: CheckpointLayout?
  ) throws(Failure) -> String {
    switch choice {
    case .tag(let tag): return tag
    case .iteration(let number):
      let numbered = files.filter {
        $0.numbers["step"] == number || $0.numbers["iteration"] == number
      }
      // A universal checkpoint lies next to the one that it was made of.
      let wanted = numbered.filter {
        layout == nil || $0.name.hasSuffix("_universal") == (layout == .universal)
      }
      let fitting = wanted.isEmpty ? numbered : wanted
      guard let found = fitting.first else {
        throw Failure(
          .checkpointNoStep, "there is no folder of iteration \(number)",
          file: root.string, hint: available(files))
      }
      guard fitting.count == 1 else {
        throw Failure(
          .checkpointSeveralSteps,
          "\(fitting.map(\.name).joined(separator: " and ")) are both of iteration \(number)",
          file: root.string, hint: "name one with --tag")
      }
      return found.name
    case .latest: break
    }
    let trackers =
      layout == .universal ? ["latest_universal", "latest"] : ["latest", "latest_universal"]
    for tracker in trackers {
      if let tag = try text(tracker, in: root) { return tag }
    }
    if let word = try text("latest_checkpointed_iteration.txt", in: root) {
      if word.lowercased() == "release" { return "release" }
      if CheckpointFileKind.of(word)?.kind == .iterationFolder { return word }
      if let number = Int(word) {
        return try step(in: root, files, .iteration(number), layout)
      }
      throw Failure(
        .checkpointBadTracker, "\"\(word)\" is neither a number nor `release`",
        file: root.appending("latest_checkpointed_iteration.txt").string,
        hint: "name a folder with --tag")
    }
    let steps = files.filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    if steps.count > 1 {
      throw Failure(
        .checkpointSeveralSteps,
        "there are \(steps.count) steps and no file `latest` that names one", file: root.string,
        hint: available(files))
    }
    guard let only = steps.first else { throw CheckpointAdvice.none(in: root) }
    return only.name
  }

  /// The names of the folders of all steps of a run, by their numbers.
  package static func steps(in root: FilePath) throws(Failure) -> [String] {
    let folders = try list(root).filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    func number(_ file: CheckpointFile) -> Int {
      file.numbers["step"] ?? file.numbers["iteration"] ?? -1
    }
    // A universal checkpoint lies next to the one that it was made of, and is the same model.
    let names = Set(folders.map(\.name))
    return folders.filter {
      !$0.name.hasSuffix("_universal") || !names.contains(String($0.name.dropLast(10)))
    }
    .sorted { (number($0), $0.name) < (number($1), $1.name) }.map(\.name)
  }

  static func available(_ files: [CheckpointFile]) -> String? {
    let steps = files.filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    guard !steps.isEmpty else { return nil }
    return "name one with --tag: " + steps.prefix(8).map(\.name).joined(separator: ", ")
      + (steps.count > 8 ? ", ..." : "")
  }

  /// The text of a small file, without the white space around it.
  static func text(
    _ name: String, in root: FilePath
  ) throws(Failure) -> String? {
    let path = root.appending(name)
    guard try kind(path) != nil else { return nil }
    let bytes: [UInt8]
    do {
      let file = try InputFile(opening: path)
      guard file.size <= 4096 else {
        throw Failure(
          .checkpointBadTracker, "\(file.size) bytes where a name was expected",
          file: path.string)
      }
      bytes = try file.read(at: 0, count: file.size)
    } catch {
      throw Failure(reading: error, file: path)
    }
    let line = TrackerText.firstLine(bytes)
    func bad(_ what: String, _ hint: String) -> Failure {
      Failure(
        .checkpointBadTracker, what, file: path.string, hint: hint)
    }
    let steps = (try? available(list(root))) ?? "name a folder with --tag"
    if line.isEmpty { throw bad("it names no step: it is empty", steps) }
    if line.hasPrefix("version https://git-lfs") {
      throw bad(
        "it is a git-lfs pointer, not the file itself",
        "fetch the files: git lfs pull (after git lfs install)")
    }
    if line.hasPrefix("<") {
      throw bad("it is a page of HTML, not the file itself", "download it again")
    }
    return line
  }

  /// A name that was written on Windows, with slashes.
  static func withSlashes(_ name: String) -> String {
    name.contains("\\") && !name.contains("/")
      ? name.split(separator: "\\").joined(separator: "/") : name
  }
}
