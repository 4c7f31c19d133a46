import ByteIO
public import SystemPackage

/// Where a checkpoint is and how it is laid out, found by names alone.
public struct CheckpointDirectory: Sendable {
  /// Which step of a run is meant.
  public enum Choice: Hashable, Sendable {
    /// What `latest` or `latest_checkpointed_iteration.txt` says, or the only one there is.
    case latest
    case tag(String)
    case iteration(Int)
  }

  /// The path that was given.
  public let root: FilePath
  /// The folder that holds the files.
  public let folder: FilePath
  /// The name of that folder, when it was found below the root.
  public let tag: String?
  public let layout: CheckpointLayout
  /// Why it is taken for that layout.
  public let reason: String
  let files: [CheckpointFile]

  /// Looks at `root` and finds the checkpoint in it.
  ///
  /// - Parameters:
  ///   - root: The folder of a run or of a step, or the file of a single rank.
  ///   - choice: Which step of a run is meant.
  ///   - layout: How it is laid out; `nil` to tell by the names.
  /// - Throws: ``ConversionError`` 66 when there is none, 78 when there are several.
  public init(
    scanning root: FilePath, choice: Choice = .latest, layout: CheckpointLayout? = nil
  ) throws(ConversionError) {
    switch try CheckpointDirectory.kind(root) {
    case .folder: try self.init(folder: root, choice, layout)
    case .file: try self.init(file: root)
    case .other:
      throw ConversionError(
        .noInput, "io/not-a-file", "neither a folder nor a file", file: root.string)
    case nil:
      throw ConversionError(
        .noInput, "io/not-found", "there is nothing of that name", file: root.string)
    }
  }

  private init(
    folder root: FilePath, _ choice: Choice, _ layout: CheckpointLayout?
  ) throws(ConversionError) {
    self.root = root
    var folder = root
    var tag: String?
    var files = try CheckpointDirectory.list(root)
    if choice != .latest || CheckpointDirectory.layouts(of: files).isEmpty {
      let found = try CheckpointDirectory.step(in: root, files, choice, layout)
      guard let component = FilePath.Component(found), component.kind == .regular else {
        throw ConversionError(
          .malformed, "checkpoint/bad-tag", "\"\(found)\" is no name of a folder",
          file: root.string,
          hint: CheckpointDirectory.available(files) ?? "name a folder with --tag")
      }
      folder = root.appending(component)
      tag = found
      guard try CheckpointDirectory.kind(folder) == .folder else {
        throw ConversionError(
          .noInput, "checkpoint/no-step", "there is no folder \(found)", file: root.string,
          hint: CheckpointDirectory.available(files))
      }
      files = try CheckpointDirectory.list(folder)
    }
    let found = CheckpointDirectory.layouts(of: files)
    guard !found.isEmpty else {
      throw ConversionError(
        .noInput, "checkpoint/none",
        files.isEmpty
          ? "no checkpoint of Megatron-DeepSpeed or Megatron-LM is in this folder"
          : "the folder holds \(files[0].name), but no model weights", file: folder.string,
        hint: "expected: layer_XX-model_YY-model_states.pt, mp_rank_XX_model_states.pt, "
          + "mp_rank_XX/model_optim_rng.pt, or a folder above them with a file `latest`")
    }
    let fitting = found.filter { layout == nil ? $0.isPrimary : $0.layout == layout }
    guard let chosen = fitting.first else {
      throw ConversionError(
        .undecided, "layout/absent",
        "nothing in the folder is of the layout \(layout?.rawValue ?? "")", file: folder.string,
        hint: "found: " + found.map(\.layout.rawValue).joined(separator: ", "))
    }
    guard fitting.count == 1 else {
      throw ConversionError(
        .undecided, "layout/several",
        "the folder holds several checkpoints: "
          + fitting.map { "\($0.layout.title) (\($0.mark))" }.joined(separator: ", "),
        file: folder.string,
        hint: "choose with --layout " + fitting.map(\.layout.rawValue).joined(separator: " or "))
    }
    self.folder = folder
    self.tag = tag ?? folder.lastComponent?.string
    self.layout = chosen.layout
    self.files = files
    reason = "the folder holds \(chosen.mark)"
  }

  /// The file of a single rank, given by itself.
  private init(file: FilePath) throws(ConversionError) {
    let name = file.lastComponent?.string ?? file.string
    let kind = CheckpointFileKind.of(name)?.kind
    if kind == .layer || kind == .optimizerStates {
      throw ConversionError(
        .noInput, "checkpoint/part", "this file is a part of a checkpoint", file: file.string,
        hint: "give the folder that it is in")
    }
    root = file
    let above = file.removingLastComponent()
    folder = above.isEmpty ? "." : above
    tag = nil
    layout = kind == .modelStates ? .deepspeed : .classic
    files = [
      CheckpointFile(
        name: name, kind: kind == .modelStates ? .modelStates : .rankFile, numbers: [:])
    ]
    reason = "one file was given"
  }

  // MARK: - Names

  private static func kind(_ path: FilePath) throws(ConversionError) -> FileSystem.Kind? {
    do {
      return try FileSystem.kind(of: path)
    } catch {
      throw ConversionError(reading: error, file: path)
    }
  }

  private static func list(_ folder: FilePath) throws(ConversionError) -> [CheckpointFile] {
    let names: [FilePath.Component]
    do {
      names = try FileSystem.list(folder)
    } catch {
      throw ConversionError(reading: error, file: folder)
    }
    return names.compactMap { name in
      CheckpointFileKind.of(name.string).map {
        CheckpointFile(name: name.string, kind: $0.kind, numbers: $0.numbers)
      }
    }
  }

  /// The layouts of which a folder holds marks. Model states go with other layouts too, and count
  /// as one of their own only where they are alone.
  private static func layouts(
    of files: [CheckpointFile]
  ) -> [(layout: CheckpointLayout, mark: String, isPrimary: Bool)] {
    var found: [(layout: CheckpointLayout, mark: String, isPrimary: Bool)] = []
    for (kind, layout) in CheckpointLayout.marks {
      guard let file = files.first(where: { $0.kind == kind }),
        !found.contains(where: { $0.layout == layout })
      else { continue }
      let isCompanion =
        layout == .deepspeed && found.contains { $0.layout != .classic }
        || layout == .deepspeedZero3 && found.contains { $0.layout == .universal }
      found.append((layout, file.name, !isCompanion))
    }
    return found
  }

  // MARK: - Steps

  /// The name of the step folder that is meant.
  private static func step(
    in root: FilePath, _ files: [CheckpointFile], _ choice: Choice, _ layout: CheckpointLayout?
  ) throws(ConversionError) -> String {
    switch choice {
    case .tag(let tag): return tag
    case .iteration(let number):
      let numbered = files.filter {
        $0.numbers["step"] == number || $0.numbers["iteration"] == number
      }
      // A universal checkpoint lies beside the one that it was made of.
      let wanted = numbered.filter {
        layout == nil || $0.name.hasSuffix("_universal") == (layout == .universal)
      }
      let fitting = wanted.isEmpty ? numbered : wanted
      guard let found = fitting.first else {
        throw ConversionError(
          .noInput, "checkpoint/no-step", "there is no folder of iteration \(number)",
          file: root.string, hint: available(files))
      }
      guard fitting.count == 1 else {
        throw ConversionError(
          .undecided, "checkpoint/several-steps",
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
      if word == "release" { return word }
      if let number = Int(word) {
        return try step(in: root, files, .iteration(number), layout)
      }
      throw ConversionError(
        .malformed, "checkpoint/bad-tracker", "\"\(word)\" is neither a number nor `release`",
        file: root.appending("latest_checkpointed_iteration.txt").string,
        hint: "name a folder with --tag")
    }
    let steps = files.filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    if steps.count > 1 {
      throw ConversionError(
        .undecided, "checkpoint/several-steps",
        "there are \(steps.count) steps and no file `latest` that names one", file: root.string,
        hint: available(files))
    }
    guard let only = steps.first else {
      throw ConversionError(
        .noInput, "checkpoint/none",
        "no checkpoint of Megatron-DeepSpeed or Megatron-LM is in this folder",
        file: root.string,
        hint: "expected: a file `latest`, a folder global_stepN, or the files of a step")
    }
    return only.name
  }

  /// The names of the folders of all steps of a run, by their numbers.
  static func steps(in root: FilePath) throws(ConversionError) -> [String] {
    let folders = try list(root).filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    func number(_ file: CheckpointFile) -> Int {
      file.numbers["step"] ?? file.numbers["iteration"] ?? -1
    }
    // A universal checkpoint lies beside the one that it was made of, and is the same model.
    let names = Set(folders.map(\.name))
    return folders.filter {
      !$0.name.hasSuffix("_universal") || !names.contains(String($0.name.dropLast(10)))
    }
    .sorted { (number($0), $0.name) < (number($1), $1.name) }.map(\.name)
  }

  private static func available(_ files: [CheckpointFile]) -> String? {
    let steps = files.filter { $0.kind == .stepFolder || $0.kind == .iterationFolder }
    guard !steps.isEmpty else { return nil }
    return "name one with --tag: " + steps.prefix(8).map(\.name).joined(separator: ", ")
      + (steps.count > 8 ? ", ..." : "")
  }

  /// The text of a small file, without the white space around it.
  private static func text(
    _ name: String, in root: FilePath
  ) throws(ConversionError) -> String? {
    let path = root.appending(name)
    guard try kind(path) != nil else { return nil }
    let bytes: [UInt8]
    do {
      let file = try InputFile(opening: path)
      guard file.size <= 4096 else {
        throw ConversionError(
          .malformed, "checkpoint/bad-tracker", "\(file.size) bytes where a name was expected",
          file: path.string)
      }
      bytes = try file.read(at: 0, count: file.size)
    } catch {
      throw ConversionError(reading: error, file: path)
    }
    let space: [UInt8] = [0x20, 0x09, 0x0A, 0x0D]
    let trimmed = bytes.drop { space.contains($0) }.reversed().drop { space.contains($0) }
    return String(decoding: trimmed.reversed(), as: UTF8.self)
  }
}
