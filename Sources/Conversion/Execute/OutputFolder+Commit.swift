import ByteIO
import SystemPackage

extension OutputFolder {
  /// Turns the hidden folder into OUTPUT.
  ///
  /// - Returns: `created`, or `overwritten`.
  /// - Throws: ``Lost`` when another process has taken the hidden folder; ``ConversionError`` 73 when
  ///   OUTPUT exists by now, and 74.
  func commit() throws -> Outcome {
    let taken = try take()
    do {
      // Nothing but what this conversion made may come along.
      let present = Set(try FileSystem.list(taken).map(\.string))
      guard present.isSuperset(of: finished) else { throw Lost() }
      for name in present.subtracting(finished) {
        try FileSystem.removeTree(taken.appending(name))
      }
      try FileSystem.syncFolder(taken)
      let outcome = try put(taken)
      isCommitted = true
      OutputFolder.removeSiblings(path, parent, staging)
      return outcome
    } catch {
      // The next run finds the finished files where it looks for them.
      try? FileSystem.renameWithoutReplacing(taken, to: staging)
      guard let error = error as? FileError else { throw error }
      // The name of OUTPUT can be taken by now; all else is a failure on the way.
      guard error.code == .exists || error.code == .notEmpty else { throw failure(error) }
      throw ConversionError(
        .cannotCreate, "output/exists", "it has come into being meanwhile", file: path.string,
        hint: "--overwrite replaces it once the new one is complete")
    }
  }

  /// Renames the hidden folder to a name that no other process knows.
  private func take() throws -> FilePath {
    let unique = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    let taken = parent.appending(
      "\(staging.lastComponent?.string ?? "").\(Process.hostName)-\(Process.identifier)-\(unique)")
    do {
      try FileSystem.rename(staging, to: taken)
    } catch {
      throw failure(error)
    }
    return taken
  }

  /// Renames the folder to OUTPUT, and makes that durable; if that fails, OUTPUT is what it was.
  private func put(_ taken: FilePath) throws(FileError) -> Outcome {
    guard overwrite, FileSystem.exists(path) else {
      try FileSystem.renameWithoutReplacing(taken, to: path)
      do {
        try FileSystem.syncFolder(parent)
      } catch {
        try? FileSystem.renameWithoutReplacing(path, to: taken)
        throw error
      }
      return .created
    }
    if try FileSystem.exchange(taken, path) {
      do {
        try FileSystem.syncFolder(parent)
      } catch {
        _ = try? FileSystem.exchange(taken, path)
        throw error
      }
      // The new folder is in place; what is left of the old one is no failure.
      try? FileSystem.removeTree(taken)
      return .overwritten
    }
    try FileSystem.removeTree(replaced)
    try FileSystem.rename(path, to: replaced)
    do {
      try FileSystem.renameWithoutReplacing(taken, to: path)
      try FileSystem.syncFolder(parent)
    } catch {
      if FileSystem.exists(path) { try? FileSystem.renameWithoutReplacing(path, to: taken) }
      try? FileSystem.renameWithoutReplacing(replaced, to: path)
      throw error
    }
    try? FileSystem.removeTree(replaced)
    return .overwritten
  }

  /// Where the old OUTPUT is for a moment, on file systems that cannot exchange two names.
  private var replaced: FilePath {
    parent.appending(".\(path.lastComponent?.string ?? "").meg2hf-replaced")
  }

  /// Puts right what a process left that ended between two renames.
  func repairExchange() {
    guard FileSystem.isOwnFolder(replaced) else { return }
    if FileSystem.exists(path) {
      try? FileSystem.removeTree(replaced)
    } else {
      try? FileSystem.renameWithoutReplacing(replaced, to: path)
    }
  }

  /// Brings a folder back that a process had taken when it ended.
  ///
  /// A process that lives needs but a moment to make OUTPUT of it, so that is waited for; on other
  /// machines one cannot tell, and after some seconds counts as dead. If it lives after all, it finds
  /// its folder gone and begins again with what is there.
  func adoptTakenFolder() throws {
    var patience = 100
    while let sibling = OutputFolder.siblings(parent, staging).first(where: FileSystem.isOwnFolder)
    {
      guard OutputFolder.fingerprint(of: path) != fingerprint else { throw Lost() }
      if patience == 0 || isAbandoned(sibling) {
        // The hidden folder is new and empty; a rename replaces it.
        do {
          return try FileSystem.rename(sibling, to: staging)
        } catch {
          guard [.notFound, .notEmpty, .exists].contains(error.code) else { throw error }
        }
      }
      guard patience > 0 else { return }
      patience -= 1
      try Stop.check()
      Process.sleep(milliseconds: 100)
    }
  }

  /// Whether the process that took a folder ran on this machine and does not run any more.
  private func isAbandoned(_ taken: FilePath) -> Bool {
    let name = taken.lastComponent?.string ?? ""
    guard name.contains(".\(Process.hostName)-") else { return false }
    return name.split(separator: "-").dropLast().last.flatMap { Int($0) }
      .map { !Process.isRunning($0) } ?? true
  }

  /// Removes what earlier runs left beside an OUTPUT that is there.
  static func clean(beside path: FilePath, _ fingerprint: String) {
    guard let (parent, staging) = try? places(of: path, fingerprint) else { return }
    removeSiblings(path, parent, staging)
  }

  /// Removes what earlier runs left beside OUTPUT, once that is there: all of the same conversion,
  /// and of others what was not touched for a day.
  private static func removeSiblings(_ path: FilePath, _ parent: FilePath, _ staging: FilePath) {
    for sibling in siblings(parent, staging) + [staging] where FileSystem.isOwnFolder(sibling) {
      try? FileSystem.removeTree(sibling)
    }
    let old = Int64(Process.secondsSince1970 - 24 * 3600) * 1_000_000_000
    let prefix = ".\(path.lastComponent?.string ?? "").meg2hf-"
    for name in (try? FileSystem.list(parent)) ?? [] where name.string.hasPrefix(prefix) {
      let folder = parent.appending(name)
      guard FileSystem.isOwnFolder(folder), let identity = FileSystem.identity(of: folder),
        identity.modified < old
      else { continue }
      try? FileSystem.removeTree(folder)
    }
  }

  /// The names under which processes took the hidden folder.
  private static func siblings(_ parent: FilePath, _ staging: FilePath) -> [FilePath] {
    guard let prefix = staging.lastComponent?.string else { return [] }
    return ((try? FileSystem.list(parent)) ?? []).filter { $0.string.hasPrefix("\(prefix).") }
      .map { parent.appending($0) }
  }
}
