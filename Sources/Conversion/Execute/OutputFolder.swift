import ByteIO
public import SystemPackage

/// The folder that a conversion makes. It comes into being by one rename, whole or not at all.
///
/// Finished files gather in a hidden sibling, `.NAME.meg2hf-FINGERPRINT`. Each is written under a
/// name of its own, made durable, and renamed within; the last step renames the folder.
public final class OutputFolder {
  /// What became of OUTPUT.
  public enum Outcome: String, Hashable, Sendable {
    case created
    case overwritten
    /// It was there already, made from the same input with the same options.
    case unchanged
  }

  public let path: FilePath
  /// What identifies plan, options and inputs.
  public let fingerprint: String
  private let staging: FilePath
  private let parent: FilePath
  private let overwrite: Bool
  /// Files that this process has begun and not finished.
  private var unfinished: Set<FilePath> = []
  private var finished: [String] = []
  private var isCommitted = false

  /// The name of the manifest in every output.
  public static let manifestName = "conversion_manifest.json"

  /// Prepares to make `path`; nothing is created yet.
  ///
  /// - Throws: ``ConversionError`` 73 when OUTPUT exists and must not be replaced, or when it is the
  ///   input or holds it.
  public init(
    _ path: FilePath, fingerprint: String, overwrite: Bool, inputs: [FilePath]
  ) throws(ConversionError) {
    guard let name = path.lastComponent, name.kind == .regular else {
      throw ConversionError(
        .cannotCreate, "output/name", "the output needs a name of its own", file: path.string)
    }
    self.path = path
    self.fingerprint = fingerprint
    self.overwrite = overwrite
    let above = path.removingLastComponent()
    parent = above.isEmpty ? "." : above
    staging = parent.appending(".\(name.string).meg2hf-\(fingerprint.prefix(16))")
    if let taken = FileSystem.identity(of: path) {
      for input in inputs {
        var folder = FileSystem.absolute(input)
        while true {
          if let identity = FileSystem.identity(of: folder), identity.inode == taken.inode,
            identity.device == taken.device
          {
            throw ConversionError(
              .cannotCreate, "io/same-file",
              "the output is the checkpoint itself or holds it", file: path.string)
          }
          guard !folder.components.isEmpty else { break }
          folder.removeLastComponent()
        }
      }
    }
    guard FileSystem.exists(path), !overwrite else { return }
    throw ConversionError(
      .cannotCreate, "output/exists", "it exists already", file: path.string,
      hint: "--overwrite replaces it once the new one is complete")
  }

  /// The fingerprint of an output that exists, if a conversion made it and all its files are there.
  public static func fingerprint(of path: FilePath) -> String? {
    guard let manifest = try? ConversionManifest(reading: path.appending(manifestName)) else {
      return nil
    }
    for (name, size) in manifest.outputs {
      guard FileSystem.identity(of: path.appending(name))?.size == size else { return nil }
    }
    return manifest.fingerprint
  }

  /// Creates the hidden folder, or takes the one that an earlier run left.
  ///
  /// - Throws: ``ConversionError`` 73, or 74 for a full disk.
  public func begin(bytes: Int) throws(ConversionError) {
    do {
      try FileSystem.makeFolder(staging)
    } catch {
      guard error.code == .exists else { throw ConversionError(writing: error, creating: true) }
      // In a folder that others can write to, the name could be a link to somewhere else.
      guard FileSystem.isOwnFolder(staging) else {
        throw ConversionError(
          .cannotCreate, "output/staging", "it is in the way, and no folder of this user",
          file: staging.string, hint: "remove it")
      }
    }
    if let free = FileSystem.freeSpace(at: staging), free < bytes {
      abandon()
      throw ConversionError(
        .inputOutput, "io/no-space", "\(bytes) bytes are needed, and \(free) are free",
        file: parent.string)
    }
  }

  /// A private name under which a file is written until it is finished.
  func temporaryPath(_ name: String) -> FilePath {
    // Loaders that look for *.safetensors must never meet a file that is not whole. The name is
    // unique among hosts and containers, whose processes may have the same number.
    let unique = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    return staging.appending(".\(name).\(Process.hostName)-\(Process.identifier)-\(unique).part")
  }

  /// Notes that a file was created under a private name, so that it is removed if all fails.
  func begun(_ temporary: FilePath) {
    unfinished.insert(temporary)
  }

  /// Gives a file that is whole and durable its final name.
  func finish(_ temporary: FilePath, as name: String) throws(ConversionError) {
    do {
      try FileSystem.rename(temporary, to: staging.appending(name))
    } catch {
      throw ConversionError(writing: error, creating: false)
    }
    unfinished.remove(temporary)
    finished.append(name)
  }

  /// Writes a small file.
  func write(_ bytes: [UInt8], as name: String) throws(ConversionError) {
    let temporary = temporaryPath(name)
    do {
      let file = try OutputFile(creating: temporary)
      begun(temporary)
      try file.write(bytes, at: 0)
      try file.finish()
    } catch {
      throw ConversionError(writing: error, creating: false)
    }
    try finish(temporary, as: name)
  }

  /// Where a finished file is.
  func finishedPath(_ name: String) -> FilePath { staging.appending(name) }

  /// The SHA-256 of a finished file.
  func sha256(of name: String) throws(ConversionError) -> String {
    try FileDigest.sha256(staging.appending(name))
  }

  /// Turns the hidden folder into OUTPUT.
  public func commit() throws(ConversionError) -> Outcome {
    do {
      // Nothing but what this conversion made may come along.
      for name in try FileSystem.list(staging) where !finished.contains(name.string) {
        try FileSystem.removeTree(staging.appending(name))
      }
      try FileSystem.syncFolder(staging)
      var outcome = Outcome.created
      if overwrite, FileSystem.exists(path) {
        try replace()
        outcome = .overwritten
      } else {
        try FileSystem.renameWithoutReplacing(staging, to: path)
      }
      isCommitted = true
      try FileSystem.syncFolder(parent)
      return outcome
    } catch {
      throw ConversionError(writing: error, creating: error.code == .exists)
    }
  }

  /// Exchanges the old and the new folder, then removes the old one.
  private func replace() throws(FileError) {
    if try FileSystem.exchange(staging, path) {
      isCommitted = true
      // The new folder is in place; what is left of the old one is no failure.
      try? FileSystem.removeTree(staging)
      return
    }
    let old = parent.appending(".\(path.lastComponent?.string ?? "").meg2hf-old")
    try FileSystem.removeTree(old)
    try FileSystem.rename(path, to: old)
    try FileSystem.renameWithoutReplacing(staging, to: path)
    isCommitted = true
    try? FileSystem.removeTree(old)
  }

  /// Removes what this process left unfinished, and the hidden folder if nothing else is in it.
  ///
  /// - Returns: The hidden folder, when finished files are kept in it.
  @discardableResult
  public func abandon() -> FilePath? {
    guard !isCommitted else { return nil }
    for path in unfinished { try? FileSystem.removeFile(path) }
    unfinished = []
    do {
      try FileSystem.removeEmptyFolder(staging)
      return nil
    } catch {
      return FileSystem.exists(staging) ? staging : nil
    }
  }
}
