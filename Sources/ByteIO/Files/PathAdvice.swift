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

  /// The first names of a folder, in quotes.
  package static func listed(_ names: [String]) -> String {
    guard !names.isEmpty else { return "nothing" }
    let shown = names.prefix(6).map { "\"\($0)\"" }.joined(separator: ", ")
    return shown + (names.count > 6 ? " and \(names.count - 6) more" : "")
  }
}
