import ByteIO
import Diagnostics

/// The files of a plan that are open at the moment: a few at a time, however many there are.
final class OpenFiles {
  private let plan: TransferPlan
  private var open: [(position: Int, file: InputFile)] = []
  /// The files that were handed out since they were last compared. A caller that reads several side
  /// by side holds files that are not among the open ones any more.
  private var used: Set<Int> = []
  private static let capacity = 4

  init(_ plan: TransferPlan) {
    self.plan = plan
  }

  /// The file at a position of the plan, which must be what it was when the plan was made.
  func file(_ position: Int) throws(Failure) -> InputFile {
    used.insert(position)
    if let known = open.firstIndex(where: { $0.position == position }) {
      let found = open.remove(at: known)
      open.append(found)
      return found.file
    }
    let source = plan.files[position]
    do {
      let file = try InputFile(opening: source.path, asItWas: source.identity)
      if open.count >= OpenFiles.capacity { open.removeFirst() }
      open.append((position, file))
      return file
    } catch {
      throw Failure(reading: error, file: source.path)
    }
  }

  /// Makes sure that no file that was used was written to, cut or replaced meanwhile.
  func checkUnchanged() throws(Failure) {
    for source in used.sorted().map({ plan.files[$0] })
    where FileSystem.identity(of: source.path) != source.identity {
      throw Failure(
        reading: FileError(
          .changed, path: source.path, operation: "read",
          reason: "the file was changed while it was read"), file: source.path)
    }
    used = []
  }
}
