import ByteIO
public import Diagnostics
public import SystemPackage

/// The folder that a conversion makes. It comes into being by one rename, whole or not at all.
///
/// Finished files gather in a hidden sibling, `.NAME.meg2hf-FINGERPRINT`, which copies and parts of
/// the same conversion share without a lock. Each file is written under a name of its own, made
/// durable, and renamed within; whichever process renames last, the bytes are the same. To commit,
/// a process first takes the hidden folder away from the others by renaming it, which only one can;
/// then it gathers the files of OUTPUT in a folder inside, because what others were about to write
/// still lands in the outer one; and the last rename makes OUTPUT of that.
public final class OutputTransaction {
  /// What became of OUTPUT.
  public enum Outcome: String, Hashable, Sendable {
    /// It was not there, or was an empty folder.
    case created
    /// It took the place of an earlier one.
    case overwritten
    /// It was there already, made from the same input with the same options.
    case unchanged
    /// Some of its files are made; `--finish` makes OUTPUT of them.
    case part
  }

  /// Another process has taken the hidden folder, or what this one wrote there: OUTPUT is there by
  /// now, or this process begins again with what it finds.
  struct StagingTaken: Error {}

  /// Where OUTPUT appears: the folder itself where a link to one was given.
  public let path: FilePath
  /// What identifies plan, options and inputs.
  public let fingerprint: String
  let staging: FilePath
  let parent: FilePath
  let overwrite: Bool
  /// Folders above OUTPUT that this process has made.
  private var madeParents: [FilePath] = []
  /// Files that this process has begun and not finished.
  private var unfinished: Set<FilePath> = []
  /// The names that belong to OUTPUT.
  private(set) var finished: [String] = []
  var isCommitted = false
  /// Folders of earlier runs that hold what no conversion wrote.
  var kept: [FilePath] = []

  /// The name of the manifest in every output.
  public static let manifestName = "conversion_manifest.json"
  /// What ends the names of files that are being written.
  static let temporarySuffix = ".part"

  /// Prepares to make `path`; nothing is created yet, but what an interrupted exchange left is put
  /// right.
  ///
  /// - Throws: `Failure` 73 when OUTPUT exists and must not be replaced, or when it is the
  ///   input or holds it.
  public init(
    _ path: FilePath, fingerprint: String, overwrite: Bool, inputs: [FilePath]
  ) throws(Failure) {
    let path = OutputTransaction.resolved(path)
    self.path = path
    self.fingerprint = fingerprint
    self.overwrite = overwrite
    (parent, staging) = try OutputTransaction.places(of: path, fingerprint)
    try OutputTransaction.refuseWhatCannotBeMade(path, parent)
    if let taken = FileSystem.identity(of: path) {
      for input in inputs {
        var folder = FileSystem.absolute(input)
        while true {
          if let identity = FileSystem.identity(of: folder), identity.inode == taken.inode,
            identity.device == taken.device
          {
            throw Failure(
              .ioSameFile,
              "the output is the checkpoint itself or holds it", file: path.string)
          }
          guard !folder.components.isEmpty else { break }
          folder.removeLastComponent()
        }
      }
    }
    repairExchange()
    let kind: FileSystem.Kind?
    do {
      kind = try FileSystem.kind(of: path)
    } catch {
      throw Failure(writing: error, creating: error.code != .failed)
    }
    if FileSystem.exists(path), kind != .folder {
      throw Failure(
        .ioNotAFolder,
        kind == nil ? "it is a link that leads nowhere" : "it is a file, not a folder",
        file: path.string,
        hint: kind == nil
          ? "remove the link, or make what it leads to" : "only folders are replaced")
    }
    try ReplaceableFolder.check(path, overwrite: overwrite)
  }

  /// The fingerprint of an output that exists, if a conversion made it and all its files are there.
  public static func fingerprint(of path: FilePath) -> String? {
    guard let manifest = try? ConversionManifest(reading: path.appending(manifestName)) else {
      return nil
    }
    for output in manifest.outputs {
      guard FileSystem.identity(of: path.appending(output.name))?.size == output.size else {
        return nil
      }
    }
    return manifest.fingerprint
  }

  /// Creates the hidden folder, or takes up the one that an earlier run left.
  ///
  /// - Throws: ``StagingTaken``, `Interrupted`, `Failure` 73, or 74 for a full disk.
  func begin(bytes: Int) throws {
    do {
      madeParents = try FileSystem.makeFolders(parent)
    } catch {
      throw Failure(writing: error, creating: true)
    }
    do {
      try FileSystem.makeFolder(staging)
      try adoptTakenFolder()
    } catch let error as FileError {
      guard error.code == .exists else { throw Failure(writing: error, creating: true) }
    }
    // In a folder that others can write to, the name could be a link to somewhere else.
    guard FileSystem.isOwnFolder(staging) else {
      if !FileSystem.exists(staging) { throw StagingTaken() }
      throw Failure(
        .outputStaging, "it is in the way, and no folder of this user",
        file: staging.string, hint: "remove it")
    }
    removeStaleTemporaries()
    let present = ((try? FileSystem.list(staging)) ?? []).reduce(0) {
      $0 + (FileSystem.identity(of: staging.appending($1))?.size ?? 0)
    }
    if let free = FileSystem.freeSpace(at: staging), free < bytes - present {
      abandon()
      throw Failure(
        .ioNoSpace,
        "\(bytes - present) bytes are needed, and \(free) are free", file: parent.string)
    }
  }

  // MARK: - Files

  /// A private name under which a file is written until it is finished.
  func temporaryPath(_ name: String) -> FilePath {
    // Loaders that look for *.safetensors must never meet a file that is not whole.
    staging.appending(".\(name).\(OutputTransaction.mark())\(OutputTransaction.temporarySuffix)")
  }

  /// What makes a name unique, also among hosts and containers whose processes may have the same
  /// number, and says whose it is.
  static func mark() -> String {
    let number = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    return "\(number)-\(Process.identifier)@\(Process.hostName)"
  }

  /// Whether the process that a mark at the end of a name speaks of ran on this machine, and runs
  /// no more.
  static func isAbandoned(_ name: String) -> Bool {
    guard let at = name.lastIndex(of: "@"), name[name.index(after: at)...] == Process.hostName,
      let dash = name[..<at].lastIndex(of: "-"), let owner = Int(name[name.index(after: dash)..<at])
    else { return false }
    return !Process.isRunning(owner)
  }

  /// Notes that a file was created under a private name, so that it is removed if all fails.
  func begun(_ temporary: FilePath) {
    unfinished.insert(temporary)
  }

  /// Gives a file that is whole and durable its final name.
  ///
  /// - Throws: ``StagingTaken``, or `Failure` 74.
  func finish(_ temporary: FilePath, as name: String, belongsToOutput: Bool = true) throws {
    let target = staging.appending(name)
    do {
      // A folder of that name would block every later run; its contents are not ours to remove.
      if FileSystem.isOwnFolder(target) {
        try FileSystem.rename(
          target, to: staging.appending("\(name).kept-\(OutputTransaction.mark())"))
      }
      try FileSystem.rename(temporary, to: target)
    } catch {
      throw failure(error)
    }
    unfinished.remove(temporary)
    if belongsToOutput { keep(name) }
  }

  /// Notes that a file that is there already belongs to OUTPUT.
  func keep(_ name: String) {
    if !finished.contains(name) { finished.append(name) }
  }

  /// Writes a small file.
  ///
  /// - Throws: ``StagingTaken``, or `Failure` 74.
  func write(_ bytes: [UInt8], as name: String, belongsToOutput: Bool = true) throws {
    let temporary = temporaryPath(name)
    do {
      let file = try OutputFile(creating: temporary)
      begun(temporary)
      try file.write(bytes, at: 0)
      try file.finish()
    } catch {
      throw failure(error)
    }
    try finish(temporary, as: name, belongsToOutput: belongsToOutput)
  }

  /// Copies a file, some of it at a time.
  ///
  /// - Returns: Its CRC-32.
  /// - Throws: ``StagingTaken``, `Failure` 66 or 74, or `Interrupted`.
  func copy(_ source: FilePath, as name: String) throws -> UInt32 {
    let temporary = temporaryPath(name)
    let buffer = ByteBuffer(count: ByteBuffer.passSize)
    var (crc, offset) = (UInt32(0), 0)
    let input: InputFile
    do { input = try InputFile(opening: source) } catch {
      throw Failure(reading: error, file: source)
    }
    do {
      let file = try OutputFile(creating: temporary)
      begun(temporary)
      while offset < input.size {
        try Interrupted.check()
        let count = min(buffer.count, input.size - offset)
        try input.read(at: offset, into: buffer, 0..<count)
        crc = CRC32.checksum(0..<count, of: buffer, continuing: crc)
        try file.write(buffer.bytes(0..<count), at: offset)
        offset += count
      }
      try file.finish()
    } catch let error as FileError {
      throw failure(error)
    }
    try finish(temporary, as: name)
    return crc
  }

  /// Where a finished file is.
  func finishedPath(_ name: String) -> FilePath { staging.appending(name) }

  /// Removes a file that turned out to be wrong.
  func discard(_ name: String) {
    try? FileSystem.removeFile(staging.appending(name))
    finished.removeAll { $0 == name }
  }

  /// The SHA-256 of a finished file.
  func sha256(of name: String) throws -> String {
    do {
      return try FileDigest.sha256(staging.appending(name))
    } catch {
      throw FileSystem.exists(staging) ? error : StagingTaken()
    }
  }

  /// What to throw for a failure in the hidden folder: when names in it vanished, another process
  /// took it.
  func failure(_ error: FileError) -> any Error {
    error.code == .notFound ? StagingTaken() : Failure(writing: error, creating: false)
  }

  // MARK: - Leftovers

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
    } catch {
      if FileSystem.exists(staging) { return staging }
    }
    for folder in madeParents.reversed() { try? FileSystem.removeEmptyFolder(folder) }
    madeParents = []
    return nil
  }

  /// Removes the unfinished files of processes that have ended: they would fill the disk when a
  /// job is killed again and again.
  ///
  /// Whether a process on another machine lives cannot be known; its files count as left behind
  /// when they were not written to for an hour. If one lives nevertheless, it loses a file and
  /// begins that again.
  private func removeStaleTemporaries() {
    let now = Process.secondsSince1970
    for name in (try? FileSystem.list(staging)) ?? []
    where name.string.hasSuffix(OutputTransaction.temporarySuffix)
      && HiddenFolder.isOwn(name.string)
    {
      let path = staging.appending(name)
      guard !unfinished.contains(path), let identity = FileSystem.identity(of: path) else {
        continue
      }
      let isIdle = Int64(now) - identity.modified / 1_000_000_000 > 3600
      if isIdle
        || OutputTransaction.isAbandoned(
          String(name.string.dropLast(OutputTransaction.temporarySuffix.count)))
      {
        try? FileSystem.removeFile(path)
      }
    }
  }
}
