import ByteIO
import Diagnostics
import SystemPackage

extension OutputTransaction {
  /// Turns the finished files into OUTPUT.
  ///
  /// - Returns: `created`, or `overwritten`.
  /// - Throws: ``StagingTaken`` when another process has taken the hidden folder; `Failure` 73
  ///   when OUTPUT exists by now, and 74.
  func commit() throws -> Outcome {
    let taken = try take()
    OutputTransaction.scatter(taken)
    do {
      let gathered = taken.appending(HiddenFolder.gathered)
      try FileSystem.makeFolder(gathered)
      for name in finished {
        try FileSystem.rename(taken.appending(name), to: gathered.appending(name))
      }
      try FileSystem.syncFolder(gathered)
      let outcome = try put(gathered)
      isCommitted = true
      kept = OutputTransaction.removeSiblings(path, parent, staging)
      return outcome
    } catch {
      // The next run finds the finished files, and their records, where it looks for them.
      OutputTransaction.scatter(taken)
      try? FileSystem.renameWithoutReplacing(taken, to: staging)
      // A name can be taken by now; any other error is a failure on the way.
      guard error.code == .exists || error.code == .notEmpty else { throw failure(error) }
      if overwrite { throw StagingTaken() }
      throw Failure(
        .outputExists, "it has come into being meanwhile", file: path.string,
        hint: "--overwrite replaces it once the new one is complete")
    }
  }

  /// Brings files back that were gathered for an OUTPUT that did not come about.
  static func scatter(_ folder: FilePath) {
    let gathered = folder.appending(HiddenFolder.gathered)
    for name in (try? FileSystem.list(gathered)) ?? [] {
      try? FileSystem.rename(gathered.appending(name), to: folder.appending(name))
    }
    try? FileSystem.removeEmptyFolder(gathered)
  }

  /// Renames the hidden folder to a name that no other process knows.
  private func take() throws -> FilePath {
    let taken = parent.appending(
      "\(staging.lastComponent?.string ?? "").\(OutputTransaction.mark())")
    do {
      try FileSystem.rename(staging, to: taken)
    } catch {
      throw failure(error)
    }
    return taken
  }

  /// Renames the folder to OUTPUT, and makes that durable; if that fails, OUTPUT is what it was.
  private func put(_ taken: FilePath) throws(FileError) -> Outcome {
    // An empty folder gives way to the rename, and keeps its place if something was put into it.
    if FileSystem.isEmptyFolder(path) {
      if FileSystem.isCurrentFolder(path) { return try moveIn(taken) }
      FileSystem.copyAttributes(from: path, to: taken)
      try FileSystem.rename(taken, to: path)
      try FileSystem.syncFolder(parent)
      return .created
    }
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
    if FileSystem.isCurrentFolder(path) { return try replaceIn(taken) }
    FileSystem.copyAttributes(from: path, to: taken)
    if try FileSystem.exchange(taken, path) {
      let old: [String]
      do throws(FileError) {
        // Somebody may have put something into it since it was looked at.
        guard let names = ReplaceableFolder.names(taken) else {
          throw FileError(
            .exists, path: path, operation: "replace", reason: "something was put into it meanwhile"
          )
        }
        try FileSystem.syncFolder(parent)
        old = names
      } catch {
        _ = try? FileSystem.exchange(taken, path)
        throw error
      }
      // The new folder is in place; what is left of the old one is not a failure.
      ReplaceableFolder.remove(taken, old)
      return .overwritten
    }
    guard ReplaceableFolder.isReplaceable(path) else {
      throw FileError(
        .exists, path: path, operation: "replace", reason: "something was put into it meanwhile")
    }
    ReplaceableFolder.remove(replaced)
    try FileSystem.rename(path, to: replaced)
    var isPlaced = false
    do {
      try FileSystem.renameWithoutReplacing(taken, to: path)
      isPlaced = true
      try FileSystem.syncFolder(parent)
    } catch {
      // What is there by now may be another process's.
      if isPlaced { try? FileSystem.renameWithoutReplacing(path, to: taken) }
      try? FileSystem.renameWithoutReplacing(replaced, to: path)
      throw error
    }
    ReplaceableFolder.remove(replaced)
    return .overwritten
  }

  /// Puts the files into the folder that the shell stands in: replaced by another one, it would
  /// look empty from there. Loaders look for `config.json`, which comes last.
  private func moveIn(_ taken: FilePath) throws(FileError) -> Outcome {
    let names = try FileSystem.list(taken).map(\.string)
    for name in names.filter({ $0 != "config.json" }) + names.filter({ $0 == "config.json" }) {
      try FileSystem.rename(taken.appending(name), to: path.appending(name))
    }
    try FileSystem.syncFolder(path)
    try FileSystem.removeEmptyFolder(taken)
    return .created
  }

  /// The same for a folder with an earlier OUTPUT in it, whose files are replaced one by one.
  private func replaceIn(_ taken: FilePath) throws(FileError) -> Outcome {
    guard ReplaceableFolder.isReplaceable(path) else {
      throw FileError(
        .exists, path: path, operation: "replace", reason: "something was put into it meanwhile")
    }
    let new = try FileSystem.list(taken).map(\.string)
    for name in try FileSystem.list(path).map(\.string) where !new.contains(name) {
      try FileSystem.removeFile(path.appending(name))
    }
    _ = try moveIn(taken)
    return .overwritten
  }

  /// Where the old OUTPUT is for a moment, on file systems that cannot exchange two names.
  private var replaced: FilePath { OutputTransaction.replaced(path, parent) }

  private static func replaced(_ path: FilePath, _ parent: FilePath) -> FilePath {
    parent.appending(".\(path.lastComponent?.string ?? "").meg2hf-replaced")
  }

  /// Puts right what a process left that ended between two renames.
  func repairExchange() {
    guard FileSystem.exists(replaced) else { return }
    if FileSystem.exists(path) {
      ReplaceableFolder.remove(replaced)
    } else if ReplaceableFolder.isReplaceable(replaced) {
      try? FileSystem.renameWithoutReplacing(replaced, to: path)
    }
  }

  /// Brings a folder back that a process had taken when it ended.
  ///
  /// A process that lives needs but a moment to make OUTPUT of it, so that is waited for; on other
  /// machines one cannot tell, and after some seconds counts as dead. If it lives after all, it
  /// finds its folder gone and begins again with what is there.
  func adoptTakenFolder() throws {
    var patience = 100
    while let sibling = OutputTransaction.siblings(parent, staging).first(where: {
      FileSystem.isOwnFolder($0) && !HiddenFolder.holdsOldOutput($0, fingerprint)
    }) {
      guard OutputTransaction.fingerprint(of: path) != fingerprint else { throw StagingTaken() }
      if patience == 0 || OutputTransaction.isAbandoned(sibling.lastComponent?.string ?? "") {
        // The hidden folder is new and empty; a rename replaces it.
        do {
          try FileSystem.rename(sibling, to: staging)
          return OutputTransaction.scatter(staging)
        } catch {
          guard [.notFound, .notEmpty, .exists].contains(error.code) else { throw error }
        }
      }
      guard patience > 0 else { return }
      patience -= 1
      try Interrupted.check()
      Process.sleep(milliseconds: 100)
    }
  }

  /// Removes what earlier runs left next to an OUTPUT that is there.
  ///
  /// - Returns: Folders that hold what no conversion wrote, and are kept.
  static func clean(beside path: FilePath, _ fingerprint: String) -> [FilePath] {
    guard let (parent, staging) = try? places(of: path, fingerprint) else { return [] }
    ReplaceableFolder.remove(replaced(path, parent))
    return removeSiblings(path, parent, staging)
  }

  /// Warnings about folders that were kept.
  static func warnings(about kept: [FilePath]) -> [Diagnostic] {
    kept.map {
      Diagnostic(
        .outputKept,
        "\($0.string) holds files that no conversion wrote, or an earlier OUTPUT that was "
          + "changed: take what "
          + "is yours, and remove the folder")
    }
  }

  /// Removes what earlier runs left next to OUTPUT, once that is there: all of the same conversion,
  /// and of others what was not touched for a day.
  private static func removeSiblings(
    _ path: FilePath, _ parent: FilePath, _ staging: FilePath
  ) -> [FilePath] {
    var kept: [FilePath] = []
    for sibling in siblings(parent, staging) + [staging] where FileSystem.isOwnFolder(sibling) {
      HiddenFolder.remove(sibling)
      if HiddenFolder.holdsForeign(sibling) { kept.append(sibling) }
    }
    let old = Int64(Process.secondsSince1970 - 24 * 3600) * 1_000_000_000
    let prefix = ".\(path.lastComponent?.string ?? "").meg2hf-"
    for name in (try? FileSystem.list(parent)) ?? [] where isStaging(name.string, prefix) {
      let folder = parent.appending(name)
      guard FileSystem.isOwnFolder(folder), let identity = FileSystem.identity(of: folder),
        identity.modified < old
      else { continue }
      HiddenFolder.remove(folder)
    }
    return kept
  }

  /// Whether a name is that of a hidden folder of ours: the prefix, and 16 digits of a fingerprint.
  private static func isStaging(_ name: String, _ prefix: String) -> Bool {
    guard name.hasPrefix(prefix) else { return false }
    let digits = name.dropFirst(prefix.count).prefix { $0 != "." }
    return digits.count == 16 && digits.allSatisfy { $0.isHexDigit && $0.isASCII }
  }

  /// The names under which processes took the hidden folder.
  private static func siblings(_ parent: FilePath, _ staging: FilePath) -> [FilePath] {
    guard let prefix = staging.lastComponent?.string else { return [] }
    return ((try? FileSystem.list(parent)) ?? []).filter { $0.string.hasPrefix("\(prefix).") }
      .map { parent.appending($0) }
  }
}
