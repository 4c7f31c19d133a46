import ByteIO
public import Diagnostics
public import Megatron
public import SystemPackage

/// Several checkpoints, and the folder to make of each.
///
/// A list is a text file with a checkpoint on each line, and, after a tab, its OUTPUT if it has
/// one of its own; empty lines and lines that begin with `#` are passed over. A folder stands for
/// all steps in it.
public struct BatchList: Sendable {
  /// A checkpoint of the list.
  public struct Item: Sendable {
    /// The checkpoint as it was found by names alone, or why it was not.
    public let folder: Result<CheckpointFolder, Failure>
    /// The path that the list names; for each step in a folder, that folder.
    public let checkpoint: FilePath
    /// The folder to make; `nil` when its name depends on a checkpoint that was not found.
    public let output: FilePath?
  }

  /// In the order of the list, or of the steps; never empty.
  public let items: [Item]

  /// Larger files are not lists.
  private static let maximumSize = 16 << 20

  /// Reads a list, or the steps in a folder.
  ///
  /// - Parameters:
  ///   - path: The list or the folder.
  ///   - template: The path of each OUTPUT, in which `{tag}`, `{iteration}` and `{name}` (of the
  ///     run) are filled in; `nil` if each line names its own.
  ///   - layout: How the checkpoints are laid out; `nil` to tell by the names.
  /// - Throws: `Failure` 66 when the list is missing, 64 when a line of it makes no sense.
  public init(
    reading path: FilePath, template: String?, layout: CheckpointLayout? = nil
  ) throws(Failure) {
    let kind: FileSystem.Kind?
    do {
      kind = try FileSystem.kind(of: path)
    } catch {
      throw Failure(reading: error, file: path)
    }
    var items: [Item] = []
    if kind == .folder {
      for tag in try CheckpointFolder.steps(in: path) {
        items.append(try BatchList.item(path, .tag(tag), nil, template, layout))
      }
    } else {
      for line in try BatchList.lines(path) {
        let parts = line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: true)
          .map { BatchList.trimmed($0) }.map { String(decoding: $0, as: UTF8.self) }
        guard let first = parts.first, parts.count <= 2 else {
          throw Failure(
            .batchLine,
            "\"\(String(decoding: line, as: UTF8.self))\" is not a checkpoint, or a checkpoint, a "
              + "tab "
              + "and an output", file: path.string)
        }
        items.append(
          try BatchList.item(
            FilePath(BatchList.unquoted(first)), .latest,
            parts.count == 2 ? BatchList.unquoted(parts[1]) : nil, template, layout))
      }
    }
    guard !items.isEmpty else {
      throw Failure(
        .batchEmpty, "it holds no checkpoint", file: path.string,
        hint: kind == .folder ? BatchList.runs(in: path) : nil)
    }
    var outputs: [String: FilePath] = [:]
    for item in items {
      guard let output = item.output else { continue }
      let known = outputs.updateValue(
        item.checkpoint,
        forKey: FileSystem.absolute(output.removingLastComponent())
          .appending(output.lastComponent?.string ?? "").lexicallyNormalized().string)
      if let known {
        throw Failure(
          .batchSameOutput,
          "\(output.string) would be made of \(known.string) and of \(item.checkpoint.string)",
          file: path.string, hint: "--output with {name}, {tag} or {iteration}")
      }
    }
    self.items = items
  }

  /// The positions of the items that task `index` of `count` carries out: every `count`th.
  public func positions(task index: Int, of count: Int) -> [Int] {
    Array(stride(from: index, to: items.count, by: max(1, count)))
  }

  private static func lines(_ path: FilePath) throws(Failure) -> [ArraySlice<UInt8>] {
    let bytes: [UInt8]
    do {
      let file = try InputFile(opening: path)
      guard file.size <= maximumSize else {
        throw Failure(
          .batchSize, "\(file.size) bytes are too many for a list of checkpoints", file: path.string
        )
      }
      bytes = try file.read(at: 0, count: file.size)
    } catch {
      throw Failure(reading: error, file: path)
    }
    // Editors of other systems write a mark in front.
    let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
    guard String(validating: text, as: UTF8.self) != nil, !text.contains(0) else {
      throw Failure(
        .batchLine, "the list is not UTF-8 text", file: path.string)
    }
    return text.split(separator: UInt8(ascii: "\n")).map(trimmed).filter {
      !$0.isEmpty && $0.first != UInt8(ascii: "#")
    }
  }

  /// A path as people write it into a list: in quotes, or from their home on.
  private static func unquoted(_ text: String) -> String {
    var text = text
    for quote in ["\"", "'"] where text.count > 1 && text.hasPrefix(quote) && text.hasSuffix(quote)
    {
      text = String(text.dropFirst().dropLast())
    }
    guard text == "~" || text.hasPrefix("~/"), let home = Process.environment("HOME") else {
      return text
    }
    return home + text.dropFirst()
  }

  /// What to do with a folder whose folders are runs.
  private static func runs(in path: FilePath) -> String? {
    let runs = ((try? FileSystem.list(path)) ?? []).filter { name in
      ((try? CheckpointFolder.steps(in: path.appending(name))) ?? []).isEmpty == false
    }
    guard let first = runs.first else { return nil }
    return "\(runs.count == 1 ? "a run is" : "\(runs.count) runs are") in it: give one of them, as "
      + "\(path.appending(first).string), or a list: ls -d \(path.string)/*/* > list.txt"
  }

  /// A line without the white space around it.
  private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let space: [UInt8] = [0x20, 0x09, 0x0D]
    var line = line.drop { space.contains($0) }
    while let last = line.last, space.contains(last) { line.removeLast() }
    return line
  }

  private static func item(
    _ checkpoint: FilePath, _ choice: CheckpointFolder.Choice, _ own: String?,
    _ template: String?, _ layout: CheckpointLayout?
  ) throws(Failure) -> Item {
    guard let pattern = own ?? template else {
      throw Failure(
        .batchOutput, "no output is given for \(checkpoint.string)",
        hint: "--output TEMPLATE, such as --output 'hf/{name}-{iteration}'")
    }
    let folder: Result<CheckpointFolder, Failure>
    do {
      folder = .success(
        try CheckpointFolder(scanning: checkpoint, choice: choice, layout: layout))
    } catch {
      folder = .failure(error)
    }
    let output = try fill(pattern, try? folder.get())
    return Item(
      folder: folder, checkpoint: checkpoint, output: output.map { FilePath($0) })
  }

  /// Fills in the names; `nil` when one is asked for that is not known.
  ///
  /// - Throws: `Failure` 64 for a placeholder with an unknown name.
  package static func fill(
    _ pattern: String, _ folder: CheckpointFolder?
  ) throws(Failure) -> String? {
    var result = ""
    var rest = pattern[...]
    while let open = rest.firstIndex(of: "{") {
      result += rest[..<open]
      guard let close = rest[open...].firstIndex(of: "}") else {
        throw Failure(
          .batchPlaceholder, "a brace is not closed in \"\(pattern)\"")
      }
      let name = rest[rest.index(after: open)..<close]
      let value: String? =
        switch name {
        case "tag": folder?.tag
        case "iteration": folder?.iterationText
        case "name": folder?.runName
        default:
          throw Failure(
            .batchPlaceholder,
            "unknown placeholder {\(name)}; known: {name}, {tag}, {iteration}")
        }
      guard let value else { return nil }
      result += value
      rest = rest[rest.index(after: close)...]
    }
    return result + rest
  }
}

extension CheckpointFolder {
  /// The number of the step by the name of its folder, or that name.
  var iterationText: String? {
    guard let tag else { return nil }
    let numbers = CheckpointFileKind.of(tag)?.numbers ?? [:]
    return (numbers["step"] ?? numbers["iteration"]).map { "\($0)" } ?? tag
  }

  /// The name of the folder of the run, in which the step is.
  var runName: String? {
    let folder = FileSystem.absolute(path)
    let isStep = tag != nil && folder.lastComponent?.string == tag
    return (isStep ? folder.removingLastComponent() : folder).lastComponent?.string
  }
}
