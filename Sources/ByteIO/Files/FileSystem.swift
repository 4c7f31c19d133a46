import CGlibc
import Glibc
public import SystemPackage

/// Operations on names: folders, renames, removals.
public enum FileSystem {
  /// What a name stands for.
  public enum Kind: Hashable, Sendable {
    case file, folder, other
  }

  /// What `path` stands for, following symbolic links; `nil` when there is nothing.
  ///
  /// - Throws: ``FileError`` when the path cannot be looked up.
  public static func kind(of path: FilePath) throws(FileError) -> Kind? {
    do {
      return switch try path.stat().type {
      case .regular: .file
      case .directory: .folder
      default: .other
      }
    } catch {
      if error == .noSuchFileOrDirectory { return nil }
      throw FileError(errno: error.rawValue, path: path, operation: "look up")
    }
  }

  /// What a name itself is, be it a symbolic link; `nil` when it cannot be looked up.
  private static func own(_ path: FilePath) -> Stat? {
    try? path.stat(followTargetSymlink: false)
  }

  /// Whether the name is taken, even if it is a symbolic link that leads nowhere.
  public static func exists(_ path: FilePath) -> Bool {
    own(path) != nil
  }

  /// Whether the name is a folder, and no link to one, that belongs to the user of this process.
  public static func isOwnFolder(_ path: FilePath) -> Bool {
    own(path).map { $0.type == .directory && $0.userID.rawValue == geteuid() } ?? false
  }

  /// Whether the name is a regular file, and no link to one.
  public static func isRegularFile(_ path: FilePath) -> Bool {
    own(path)?.type == .regular
  }

  /// Whether this process may create and rename names in a folder.
  public static func isWritable(_ path: FilePath) -> Bool {
    unsafe path.withPlatformString { unsafe access($0, W_OK | X_OK) } == 0
  }

  /// Gives a folder the mode of another one, and its owner and group as far as this process may.
  public static func copyAttributes(from: FilePath, to: FilePath) {
    guard let status = try? from.stat() else { return }
    unsafe to.withPlatformString { path in
      // The mode comes last: a change of the owner takes the set-group-ID bit away.
      if unsafe chown(path, status.userID.rawValue, status.groupID.rawValue) != 0 {
        _ = unsafe chown(path, uid_t.max, status.groupID.rawValue)
      }
      _ = unsafe chmod(path, status.permissions.rawValue)
    }
  }

  /// Whether the name is a symbolic link.
  public static func isLink(_ path: FilePath) -> Bool {
    own(path)?.type == .symbolicLink
  }

  /// Whether the name is a folder without anything in it, and no link to one.
  public static func isEmptyFolder(_ path: FilePath) -> Bool {
    guard !isLink(path), let names = try? list(path) else { return false }
    return names.isEmpty
  }

  /// Whether a folder is the one that this process stands in.
  public static func isCurrentFolder(_ path: FilePath) -> Bool {
    guard let here = identity(of: "."), let there = identity(of: path) else { return false }
    return here.inode == there.inode && here.device == there.device
  }

  /// Creates a folder and those above it.
  ///
  /// - Returns: The folders that were not there before, outermost first.
  @discardableResult
  public static func makeFolders(_ path: FilePath) throws(FileError) -> [FilePath] {
    guard !path.isEmpty, !exists(path) else { return [] }
    let above = try makeFolders(path.removingLastComponent())
    do {
      try makeFolder(path)
    } catch {
      guard error.code == .exists else { throw error }
      return above
    }
    return above + [path]
  }

  /// The device and inode that `path` leads to, to find out whether two paths are one thing.
  public static func identity(of path: FilePath) -> InputFile.Identity? {
    (try? path.stat()).map { InputFile.Identity($0) }
  }

  /// The path from the root of the file system, with symbolic links and `..` resolved where the
  /// path exists.
  public static func absolute(_ path: FilePath) -> FilePath {
    // Sound: realpath allocates the string, which is freed once it was copied.
    let resolved = unsafe path.withPlatformString { unsafe realpath($0, nil) }
    guard let resolved = unsafe resolved else { return path }
    defer { unsafe free(resolved) }
    return unsafe FilePath(platformString: resolved)
  }

  /// The names in a folder, without `.` and `..`, sorted by their bytes.
  public static func list(_ path: FilePath) throws(FileError) -> [FilePath.Component] {
    // Sound: the stream is closed below, and each entry is used before the next call.
    guard let stream = unsafe path.withPlatformString({ unsafe opendir($0) }) else {
      throw FileError(errno: errno, path: path, operation: "list")
    }
    defer { unsafe closedir(stream) }
    var names: [FilePath.Component] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else { break }
      let component = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe FilePath.Component(platformString: $0)
        }
      }
      if let component, component.kind == .regular { names.append(component) }
    }
    if errno != 0 { throw FileError(errno: errno, path: path, operation: "list") }
    return names.sorted { $0.string.utf8.lexicographicallyPrecedes($1.string.utf8) }
  }

  /// Creates a folder.
  public static func makeFolder(_ path: FilePath) throws(FileError) {
    try check(unsafe path.withPlatformString { unsafe mkdir($0, 0o777) }, path, "create")
  }

  /// Renames a file, replacing what is there.
  public static func rename(_ from: FilePath, to: FilePath) throws(FileError) {
    let result = unsafe from.withPlatformString { a in
      unsafe to.withPlatformString { b in unsafe Glibc.rename(a, b) }
    }
    try check(result, to, "rename to")
  }

  /// Renames a folder to a name that is free, or fails with `exists`.
  ///
  /// Where the file system cannot do that in one step, an empty folder of that name would be
  /// replaced; anything else is refused by the system.
  public static func renameWithoutReplacing(_ from: FilePath, to: FilePath) throws(FileError) {
    let result = unsafe from.withPlatformString { a in
      unsafe to.withPlatformString { b in unsafe cglibc_rename_noreplace(a, b) }
    }
    if result == 0 { return }
    guard errno == EINVAL || errno == ENOSYS || errno == ENOTSUP else {
      throw FileError(errno: errno, path: to, operation: "rename to")
    }
    if exists(to) { throw FileError(errno: EEXIST, path: to, operation: "rename to") }
    try rename(from, to: to)
  }

  /// Exchanges two names in one step.
  ///
  /// - Returns: `false` where the file system cannot do that.
  public static func exchange(_ a: FilePath, _ b: FilePath) throws(FileError) -> Bool {
    let result = unsafe a.withPlatformString { a in
      unsafe b.withPlatformString { b in unsafe cglibc_rename_exchange(a, b) }
    }
    if result == 0 { return true }
    if errno == EINVAL || errno == ENOSYS || errno == ENOTSUP { return false }
    throw FileError(errno: errno, path: b, operation: "exchange")
  }

  /// Removes a file.
  public static func removeFile(_ path: FilePath) throws(FileError) {
    try check(unsafe path.withPlatformString { unsafe unlink($0) }, path, "remove")
  }

  /// Removes a folder that is empty.
  public static func removeEmptyFolder(_ path: FilePath) throws(FileError) {
    try check(unsafe path.withPlatformString { unsafe rmdir($0) }, path, "remove")
  }

  /// Removes a folder and all in it, without following symbolic links.
  public static func removeTree(_ path: FilePath) throws(FileError) {
    guard let status = own(path) else { return }
    guard status.type == .directory else { return try removeFile(path) }
    for name in try list(path) { try removeTree(path.appending(name)) }
    try removeEmptyFolder(path)
  }

  /// Makes the names in a folder durable. File systems that cannot do that are let pass.
  public static func syncFolder(_ path: FilePath) throws(FileError) {
    let descriptor = unsafe path.withPlatformString {
      unsafe cglibc_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    }
    guard descriptor >= 0 else { throw FileError(errno: errno, path: path, operation: "open") }
    defer { close(descriptor) }
    if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS, errno != ENOTSUP {
      throw FileError(errno: errno, path: path, operation: "flush")
    }
  }

  /// Bytes that an unprivileged process can still write below `path`; `nil` when unknown.
  public static func freeSpace(at path: FilePath) -> Int? {
    var status = statvfs()
    guard unsafe path.withPlatformString({ unsafe statvfs($0, &status) }) == 0 else { return nil }
    let (free, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
      by: Int(clamping: status.f_frsize))
    return overflow ? nil : free
  }

  private static func check(
    _ result: Int32, _ path: FilePath, _ operation: String
  ) throws(FileError) {
    if result != 0 { throw FileError(errno: errno, path: path, operation: operation) }
  }
}
