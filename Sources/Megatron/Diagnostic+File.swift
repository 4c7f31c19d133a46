import ByteIO
package import Diagnostics
import SystemPackage
package import TorchArchive

extension Diagnostic {
  /// What the user should know of how a file holds its tensors.
  package static func about(_ file: TorchFile, _ named: [NamedTensor]) -> [Diagnostic] {
    var result: [Diagnostic] = []
    let hidden = file.hiddenStorages(besides: named)
    if hidden > 0 {
      result.append(
        Diagnostic(
          .tensorHidden,
          "\(file.file.path.lastComponent?.string ?? "") holds "
            + "\(hidden == 1 ? "a tensor or storage" : "\(hidden) tensors or storages") in places "
            + "that "
            + "are not looked into (keys, attributes of dictionaries, storages without a tensor), "
            + "which "
            + "are not listed"))
    }
    let functions = Set(named.compactMap { file.foreignFunction($0.node) }).sorted()
    for function in functions {
      let count = named.count { file.foreignFunction($0.node) == function }
      result.append(
        Diagnostic(
          .tensorForeignFunction,
          "\(count) tensors of \(file.file.path.lastComponent?.string ?? "") are made by "
            + "\"\(function)\", "
            + "which is not known; they are read as plain views, as their arguments say, as are "
            + "those of "
            + "other files like it"))
    }
    return result
  }
}
