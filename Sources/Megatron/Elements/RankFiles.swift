package import ByteIO
package import Diagnostics
package import SystemPackage

/// The files of a checkpoint, some of them open: large models have more than a process may have.
package final class RankFiles: Sendable {
  private let files: [SourceFile]
  /// Those that are open, the one that was used last at the end.
  private let open = Locked<[(position: Int, file: InputFile)]>([])
  private static let capacity = 64

  package init(_ checkpoint: Checkpoint) {
    files = checkpoint.files
  }

  /// The path of a file, by its position in the checkpoint's list.
  package func path(_ position: Int) -> FilePath { files[position].path }

  /// A file that is open, or is opened now.
  ///
  /// - Throws: `Failure` for one that cannot be opened, or was changed since it was looked at.
  package func file(_ position: Int) throws(Failure) -> InputFile {
    let source = files[position]
    do {
      return try open.withLock { open throws(FileError) in
        if let known = open.lastIndex(where: { $0.position == position }) {
          let found = open.remove(at: known)
          open.append(found)
          return found.file
        }
        let file = try InputFile(opening: source.path, asItWas: source.identity)
        if open.count >= RankFiles.capacity { open.removeFirst() }
        open.append((position, file))
        return file
      }
    } catch {
      throw Failure(reading: error, file: source.path)
    }
  }
}
