import ByteIO
public import Diagnostics
public import SystemPackage
import TorchArchive

/// Where a checkpoint is and how it is laid out, found by names alone.
public struct CheckpointFolder: Sendable {
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
  public let path: FilePath
  /// The name of that folder, when it was found below the root.
  public let tag: String?
  public var layout: CheckpointLayout { reader.layout }
  /// Why it is taken for that layout.
  public let reason: String
  package let files: [CheckpointFile]
  /// What reads it.
  package let reader: any LayoutReader

  /// Looks at `root` and finds the checkpoint in it.
  ///
  /// - Parameters:
  ///   - root: The folder of a run or of a step, or the file of a single rank.
  ///   - choice: Which step of a run is meant.
  ///   - layout: How it is laid out; `nil` to tell by the names.
  /// - Throws: `Failure` 66 when there is none, 78 when there are several.
  public init(
    scanning root: FilePath, choice: Choice = .latest, layout: CheckpointLayout? = nil
  ) throws(Failure) {
    try self.init(scanning: root, choice: choice, layout: layout, readers: LayoutReaders.all)
  }

  /// The same with readers of the caller's.
  package init(
    scanning root: FilePath, choice: Choice = .latest, layout: CheckpointLayout? = nil,
    readers: [any LayoutReader]
  ) throws(Failure) {
    switch try CheckpointFolder.kind(root) {
    case .folder: try self.init(folder: root, choice, layout, readers)
    case .file: try self.init(file: root)
    case .other:
      throw Failure(
        .ioNotAFile, "neither a folder nor a file", file: root.string)
    case nil:
      throw PathAdvice.missing(root)
    }
  }

  private init(
    folder root: FilePath, _ choice: Choice, _ layout: CheckpointLayout?,
    _ readers: [any LayoutReader]
  ) throws(Failure) {
    self.root = root
    var folder = root
    var tag: String?
    var files = try CheckpointFolder.list(root, readers)
    if choice != .latest || CheckpointFolder.layouts(of: files, readers).isEmpty {
      let found = CheckpointFolder.withSlashes(
        try CheckpointFolder.step(in: root, files, choice, layout))
      // Trackers that people wrote may hold a path, or end in a slash.
      let isUpward = FilePath(found).components.contains { $0.kind == .parentDirectory }
      let name = isUpward ? found : FilePath(found).lastComponent.map(\.string) ?? found
      guard let component = FilePath.Component(name), component.kind == .regular else {
        throw Failure(
          .checkpointBadTag, "\"\(found)\" is not the name of a folder",
          file: root.string,
          hint: CheckpointFolder.available(files) ?? "name a folder with --tag")
      }
      folder = root.appending(component)
      tag = name
      if try CheckpointFolder.kind(folder) != .folder {
        // A number alone is that of a step.
        guard let number = Int(name),
          let step = try? CheckpointFolder.step(in: root, files, .iteration(number), layout),
          let component = FilePath.Component(step)
        else { throw CheckpointAdvice.noStep(name, in: root, files, choice) }
        folder = root.appending(component)
        tag = step
      }
      files = try CheckpointFolder.list(folder, readers)
    }
    let found = CheckpointFolder.layouts(of: files, readers)
    guard !found.isEmpty else {
      throw CheckpointAdvice.none(in: folder, of: folder == root ? nil : root)
    }
    let fitting = found.filter { layout == nil ? $0.isPrimary : $0.reader.layout == layout }
    guard let chosen = fitting.first else {
      throw Failure(
        .layoutAbsent,
        "nothing in the folder is of the layout \(layout?.rawValue ?? "")", file: folder.string,
        hint: "found: " + found.map(\.reader.layout.rawValue).joined(separator: ", "))
    }
    guard fitting.count == 1 else {
      throw Failure(
        .layoutSeveral,
        "the folder holds several checkpoints: "
          + fitting.map { "\($0.reader.layout.title) (\($0.mark))" }.joined(separator: ", "),
        file: folder.string,
        hint: "choose with --layout "
          + fitting.map(\.reader.layout.rawValue).joined(separator: " or "))
    }
    if chosen.reader.layout == .classic, choice == .latest {
      try CheckpointAdvice.refuseLoneRank(folder, files)
    }
    path = folder
    self.tag = tag ?? folder.lastComponent?.string
    reader = chosen.reader
    self.files = files
    reason = "the folder holds \(chosen.mark)"
    isLayoutChosen = layout != nil
  }

  /// The file of a single rank, given by itself.
  private init(file: FilePath) throws(Failure) {
    let name = file.lastComponent?.string ?? file.string
    let kind = CheckpointFileKind.of(name)?.kind
    let above = file.removingLastComponent()
    let folder: FilePath = above.isEmpty ? "." : above
    try CheckpointAdvice.refusePart(file, kind, in: folder)
    root = file
    path = folder
    tag = nil
    reader = kind == .modelStates ? DeepSpeedReader() : ClassicReader()
    files = [
      CheckpointFile(
        name: name, kind: kind == .modelStates ? .modelStates : .rankFile, numbers: [:])
    ]
    reason = "one file was given"
  }

  /// Whether the user said how the checkpoint is laid out.
  public private(set) var isLayoutChosen = false

  /// The number in the name of the step's folder, if it has one.
  var stepNumber: Int? {
    let numbers = tag.flatMap { CheckpointFileKind.of($0) }?.numbers
    return numbers?["step"] ?? numbers?["iteration"]
  }

  /// Opens a file of the folder and hands it over.
  ///
  /// - Parameters:
  ///   - name: The name within the folder.
  ///   - limits: How much the file may make the reader do.
  ///   - body: What is done with it; its errors are told as those of this file.
  /// - Returns: What the body returns.
  /// - Throws: `Failure`.
  func open<Value>(
    _ name: String, _ limits: TorchLimits, _ body: (TorchFile) throws -> Value
  ) throws(Failure) -> Value {
    try CheckpointFolder.open(path.appending(name), limits, body)
  }

  /// The same for a file anywhere.
  static func open<Value>(
    _ path: FilePath, _ limits: TorchLimits, _ body: (TorchFile) throws -> Value
  ) throws(Failure) -> Value {
    do {
      return try body(TorchFile(opening: path, limits: limits))
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  // MARK: - Names

  static func kind(_ path: FilePath) throws(Failure) -> FileSystem.Kind? {
    do {
      return try FileSystem.kind(of: path)
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  static func list(
    _ folder: FilePath, _ readers: [any LayoutReader] = []
  ) throws(Failure) -> [CheckpointFile] {
    let forms = readers.flatMap(\.names)
    let names: [FilePath.Component]
    do {
      names = try FileSystem.list(folder)
    } catch {
      throw Failure(reading: error, file: folder)
    }
    return names.compactMap { name in
      CheckpointFileKind.of(name.string, besides: forms).map {
        CheckpointFile(name: name.string, kind: $0.kind, numbers: $0.numbers)
      }
    }
  }

  /// The layouts of which a folder holds marks. Model states go with other layouts too, and count
  /// as one of their own only where they are alone.
  static func layouts(
    of files: [CheckpointFile], _ readers: [any LayoutReader]
  ) -> [(reader: any LayoutReader, mark: String, isPrimary: Bool)] {
    var found: [(reader: any LayoutReader, mark: String, isPrimary: Bool)] = []
    for reader in readers {
      let marks = reader.marks.compactMap { kind in files.first { $0.kind == kind } }
      guard let file = marks.first else { continue }
      let isCompanion = reader.isCompanion(of: found.map(\.reader.layout))
      found.append((reader, file.name, !isCompanion))
    }
    return found
  }
}
