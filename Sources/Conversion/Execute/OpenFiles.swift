import ByteIO
import SystemPackage

/// The files of a plan that are open at the moment: a few at a time, however many there are.
final class OpenFiles {
  private let plan: ConversionPlan
  private var open: [(position: Int, file: InputFile)] = []
  private static let capacity = 4

  init(_ plan: ConversionPlan) {
    self.plan = plan
  }

  /// The file at a position of the plan, which must be what it was when the plan was made.
  func file(_ position: Int) throws(ConversionError) -> InputFile {
    if let known = open.firstIndex(where: { $0.position == position }) {
      let found = open.remove(at: known)
      open.append(found)
      return found.file
    }
    let source = plan.files[position]
    do {
      let file = try InputFile(opening: source.path)
      guard file.identity == source.identity else {
        throw FileError(
          .changed, path: source.path, operation: "read",
          reason: "the file was changed since it was looked at")
      }
      if open.count >= OpenFiles.capacity { try open.removeFirst().file.checkUnchanged() }
      open.append((position, file))
      return file
    } catch {
      throw ConversionError(reading: error, file: source.path)
    }
  }

  /// Makes sure that no open file was written to meanwhile.
  func checkUnchanged() throws(ConversionError) {
    for (position, file) in open {
      do {
        try file.checkUnchanged()
      } catch {
        throw ConversionError(reading: error, file: plan.files[position].path)
      }
    }
  }

}
