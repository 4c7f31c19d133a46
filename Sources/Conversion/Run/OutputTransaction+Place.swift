import ByteIO
import Diagnostics
import SystemPackage

/// Where an OUTPUT can be made.
extension OutputTransaction {
  /// OUTPUT as a folder of its own: a link to a folder is written through, and `.` is the folder
  /// that it stands for.
  static func resolved(_ path: FilePath) -> FilePath {
    guard FileSystem.exists(path), ((try? FileSystem.kind(of: path)) ?? nil) == .folder else {
      return path
    }
    let isPlain = path.lastComponent?.kind == .regular && !FileSystem.isLink(path)
    return isPlain ? path : FileSystem.absolute(path)
  }

  /// Refuses what would fail at the very end only, or be made in an unexpected place.
  static func refuseWhatCannotBeMade(
    _ path: FilePath, _ parent: FilePath
  ) throws(Failure) {
    func refuse(_ code: Diagnostic.Code, _ what: String, _ hint: String) -> Failure {
      Failure(code.as(.cannotCreate), what, file: path.string, hint: hint)
    }
    let first = path.components.first?.string ?? ""
    if !path.isAbsolute, first.hasSuffix(":"), first.count > 2, !FileSystem.exists(FilePath(first))
    {
      throw refuse(
        .outputName, "only local folders are written", "convert to one, and copy that")
    }
    if !path.isAbsolute, first.hasPrefix("~"), !FileSystem.exists(FilePath(first)) {
      throw refuse(
        .outputName,
        "\"\(first)\" is not a folder here: no shell has put a home folder in its place",
        "write the folder out")
    }
    if !FileSystem.exists(parent),
      parent.components.contains(where: { $0.kind == .parentDirectory })
    {
      throw refuse(.ioNotFound, "the folder above it is not there", "write it without \"..\"")
    }
    guard ((try? FileSystem.kind(of: parent)) ?? nil) == .folder else { return }
    guard FileSystem.isWritable(parent) else {
      throw refuse(
        .ioPermission, "nothing can be created in the folder above it", "choose another OUTPUT")
    }
    guard let inside = FileSystem.identity(of: path), !FileSystem.isCurrentFolder(path) else {
      return
    }
    if let outside = FileSystem.identity(of: parent), outside.device != inside.device {
      throw refuse(
        .outputName, "it is a mount point, in whose place no folder can come",
        "give a folder in it: \(path.appending("model").string)")
    }
    guard ((try? FileSystem.kind(of: path)) ?? nil) != .folder || FileSystem.isWritable(path) else {
      throw refuse(.ioPermission, "it cannot be written to", "choose another OUTPUT")
    }
  }

  /// The folder that OUTPUT appears in, and the hidden folder.
  static func places(
    of path: FilePath, _ fingerprint: String
  ) throws(Failure) -> (parent: FilePath, staging: FilePath) {
    guard let name = path.lastComponent, name.kind == .regular else {
      throw Failure(
        .outputName, "OUTPUT must be a folder of its own, not \"..\" or \"/\"",
        file: path.string)
    }
    // The hidden names are longer than that of OUTPUT, by fingerprint, process and host.
    guard name.string.utf8.count + 64 + Process.hostName.utf8.count <= 255 else {
      throw Failure(
        .ioNameTooLong, "the name leaves no room for those of hidden folders",
        file: path.string)
    }
    let above = path.removingLastComponent()
    let parent = above.isEmpty ? "." : above
    return (parent, parent.appending(".\(name.string).meg2hf-\(fingerprint.prefix(16))"))
  }
}
