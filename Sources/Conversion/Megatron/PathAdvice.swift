import ByteIO
public import Diagnostics
public import SystemPackage

/// What to say of a path that is not what was asked for: it looks at what is there first.
public enum PathAdvice {
  /// The error for a path that leads to nothing.
  public static func missing(_ path: FilePath) -> Failure {
    Failure(
      .ioNotFound, "no such file or folder", file: given(path),
      hint: hint(missing: path))
  }

  /// A path as it was given: one of its slashes is lost where a URL was taken for a path.
  private static func given(_ path: FilePath) -> String {
    guard let (scheme, rest) = scheme(of: path) else { return path.string }
    return "\(scheme)://\(rest)"
  }

  /// The scheme of a URL, and what follows.
  private static func scheme(of path: FilePath) -> (scheme: Substring, rest: Substring)? {
    let parts = path.string.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: true)
    guard parts.count == 2, parts[0].hasSuffix(":"), parts[0].count > 2 else { return nil }
    return (parts[0].dropLast(), parts[1])
  }

  private static func hint(missing path: FilePath) -> String? {
    if let (scheme, _) = scheme(of: path) {
      return switch scheme {
      case "s3": "only local files are read; copy it first: aws s3 cp --recursive"
      case "gs": "only local files are read; copy it first: gcloud storage cp -r"
      default: "only local files are read; download it first"
      }
    }
    var folder = path.removingLastComponent()
    var name = path.lastComponent
    while !folder.isEmpty, !FileSystem.exists(folder) {
      name = folder.lastComponent
      folder = folder.removingLastComponent()
    }
    let entries = (try? FileSystem.list(folder.isEmpty ? "." : folder))?.map(\.string) ?? []
    let wanted = name?.string ?? ""
    if let near = Spelling.nearest(to: wanted, in: entries) {
      return "did you mean \((folder.isEmpty ? FilePath(near) : folder.appending(near)).string)?"
    }
    let isHubName =
      !path.isAbsolute && path.components.count == 2 && folder.isEmpty
      && path.components.allSatisfy { $0.kind == .regular }
    if isHubName {
      return
        "for a model of the Hugging Face Hub: hf download \(path.string) --local-dir FOLDER, then "
        + "give the folder"
    }
    guard path.components.count > 1, !folder.isEmpty, FileSystem.exists(folder) else { return nil }
    return "\(folder.string) holds " + listed(entries)
  }

  /// What to do with a folder in which no safetensors are.
  static func withoutWeights(_ path: FilePath) -> String? {
    let names = (try? FileSystem.list(path))?.map(\.string) ?? []
    if names.contains(where: { $0.hasPrefix("pytorch_model") && $0.hasSuffix(".bin") }) {
      return "it holds pytorch_model.bin, which transformers saves as safetensors: "
        + "model.save_pretrained(FOLDER)"
    }
    if (try? CheckpointDirectory(scanning: path)) != nil {
      return "it is a checkpoint: inspect shows it, convert converts it"
    }
    for name in names {
      let below = path.appending(name)
      let inner = (try? FileSystem.list(below))?.map(\.string) ?? []
      if inner.contains(where: { $0.hasSuffix(".safetensors") }) {
        return "there are some in \(below.string)"
      }
    }
    return "it holds \(listed(names))"
  }

  /// The first names of a folder, in quotes.
  static func listed(_ names: [String]) -> String {
    guard !names.isEmpty else { return "nothing" }
    let shown = names.prefix(6).map { "\"\($0)\"" }.joined(separator: ", ")
    return shown + (names.count > 6 ? " and \(names.count - 6) more" : "")
  }
}

/// Words that are nearly those that were meant.
public enum Spelling {
  /// The word that was probably meant; `nil` where none is near enough.
  public static func nearest(to word: String, in words: some Sequence<String>) -> String? {
    // In words of one or two letters any letter could be meant.
    guard word.count > 2 else { return nil }
    let limit = max(1, word.count / 3)
    let near = words.map { ($0, distance(word, $0, limit: limit)) }.filter { $0.1 <= limit }
    return near.min { ($0.1, $0.0) < ($1.1, $1.0) }?.0
  }

  /// The number of letters that are added, left out, exchanged or swapped with their neighbour.
  private static func distance(_ a: String, _ b: String, limit: Int) -> Int {
    let (a, b) = (Array(a.lowercased().utf8.prefix(64)), Array(b.lowercased().utf8.prefix(64)))
    guard abs(a.count - b.count) <= limit else { return limit + 1 }
    var rows = [Array(0...b.count)]
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var best = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          best = min(best, rows[i - 1][j - 1] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
