import ByteIO
import Diagnostics
public import SystemPackage

/// The event files of TensorBoard below a folder: a run for each folder that holds some.
public struct EventLogs: Sendable {
  /// The runs, in the order of their names.
  public let runs: [EventRun]
  /// The runs as one, where they are pieces of one training: they have the same curve of the loss,
  /// each begins later than the one before it, and none lies within another.
  public let joined: EventRun?

  /// Reads a folder or a single file, once, from front to back.
  ///
  /// - Parameters:
  ///   - path: A file whose name has `tfevents` in it, or a folder; it is searched 8 levels deep,
  ///     and links to folders are not followed.
  ///   - keepsAll: Keeps all points whatever memory they take. Else curves of many points are
  ///     thinned, so that some 50 MB are enough.
  ///   - isEssential: The tags that are thinned last.
  /// - Throws: `Failure` 66 where there is no event file, or none of which a record can be read,
  ///   65 where there are too many, or `Interrupted`.
  public init(
    _ path: FilePath, keepsAll: Bool = false,
    isEssential: @escaping (_ tag: String) -> Bool = { _ in false }
  ) throws {
    var folders: [(name: String, files: [FilePath])] = []
    do {
      if try FileSystem.kind(of: path) == .folder {
        var count = 0
        try EventLogs.search(path, ".", 0, &folders, &count)
      } else {
        folders = [(".", [path])]
      }
    } catch let error as FileError {
      throw Failure(reading: error, file: path.string)
    }
    guard !folders.isEmpty else {
      throw Failure(
        .logsNone, "no file with \"tfevents\" in its name lies here or in the folders below",
        file: path.string)
    }
    var limits = EventLimits()
    if keepsAll { limits.points = .max }
    runs = try folders.map { folder in
      var reader = EventRunReader(folder.name, limits, isEssential: isEssential)
      for file in folder.files {
        do {
          try reader.read(file)
        } catch let error as FileError {
          throw Failure(reading: error, file: file.string)
        }
      }
      return reader.finish()
    }
    guard runs.contains(where: { $0.recordCount > 0 }) else {
      let count = runs.reduce(0) { $0 + $1.files.count }
      throw Failure(
        .logsUnreadable,
        count == 1
          ? "no record of this event file can be read"
          : "no record of \(count) event files can be read",
        file: path.string)
    }
    joined = EventLogs.join(runs)
  }

  /// Whether a name is that of an event file.
  public static func isEventFile(_ name: String) -> Bool { name.contains("tfevents") }

  /// Whether there is an event file in a folder or below it.
  public static func isFound(below path: FilePath) -> Bool {
    var folders: [(name: String, files: [FilePath])] = []
    var count = 0
    let isCounted: Void? = try? search(path, ".", 0, &folders, &count)
    return isCounted == nil ? count > 0 : !folders.isEmpty
  }

  /// Whether bytes are an event that can be read: the payload of a record, without its frame.
  public static func readsEvent(_ payload: [UInt8]) -> Bool {
    var reader = EventRunReader(".", EventLimits()) { _ in false }
    return reader.readEvent(payload.span, payload.indices)
  }

  private static func search(
    _ path: FilePath, _ name: String, _ depth: Int,
    _ folders: inout [(name: String, files: [FilePath])], _ count: inout Int
  ) throws {
    try Interrupted.check()
    var files: [FilePath] = []
    var below: [FilePath.Component] = []
    for component in try FileSystem.list(path) {
      let child = path.appending(component)
      if FileSystem.isLink(child) {
        // A link to a file is taken, one to a folder is not.
        guard isEventFile(component.string), try FileSystem.kind(of: child) == .file else {
          continue
        }
        files.append(child)
      } else if FileSystem.isRegularFile(child) {
        if isEventFile(component.string) { files.append(child) }
      } else if (try? FileSystem.kind(of: child)) == .folder {
        below.append(component)
      }
    }
    count += files.count
    guard count <= EventLimits.files else {
      throw Failure(
        .logsTooMany, "there are more than \(EventLimits.files) event files", file: path.string,
        hint: "give the folder of one run")
    }
    if !files.isEmpty { folders.append((name, files)) }
    guard depth < EventLimits.depth else { return }
    for component in below {
      let child = name == "." ? component.string : "\(name)/\(component.string)"
      // A folder that may not be looked into is passed over.
      do {
        try search(path.appending(component), child, depth + 1, &folders, &count)
      } catch is FileError {
        continue
      }
    }
  }

  /// The runs as one, where they are pieces of one training.
  private static func join(_ runs: [EventRun]) -> EventRun? {
    let pieces = runs.filter { !$0.curves.isEmpty }
    guard pieces.count > 1, let first = pieces.first else { return nil }
    let shared = first.curves.map(\.tag).first { tag in
      isLoss(tag) && pieces.allSatisfy { $0[tag] != nil }
    }
    guard let shared else { return nil }
    for (a, b) in zip(pieces, pieces.dropFirst()) {
      guard let before = a[shared], let after = b[shared], let from = before.starts.min(),
        let to = before.points.last?.step, let start = after.starts.min(),
        let end = after.points.last?.step, let earlier = a.firstTime, let later = b.firstTime
      else { return nil }
      let isNested = start <= from || end <= to
      guard !isNested, earlier < later else { return nil }
    }
    var whole = EventRun(name: ".")
    for piece in pieces { whole.append(piece) }
    return whole
  }

  private static func isLoss(_ tag: String) -> Bool {
    tag.lowercased().contains("loss") && !tag.contains("scale") && !tag.contains("validation")
  }
}
