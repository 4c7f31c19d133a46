import ByteIO
import Conversion
import Diagnostics
import SystemPackage
import Transfer

/// What a conversion will need, as far as the plan tells.
struct ResourceNeed {
  /// Bytes of OUTPUT, the small files included.
  let disk: Int
  /// Bytes of resident memory: what is known of the checkpoint by now, and the buffers.
  let memory: Int

  init(_ converter: Conversion, threads: Int) {
    let plan = converter.plan
    // The tokenizer and the JSON files grow with the number of tensors, and hardly else.
    disk = plan.shards.reduce(4 << 20 + plan.tensors.count * 1024) { $0 + $1.size }
    memory = Process.peakResidentBytes + converter.bufferSize(threads: threads) + 8 << 20
  }

  /// Makes sure that the file system of OUTPUT has room for it.
  ///
  /// - Returns: The free bytes; `nil` where they are not known.
  /// - Throws: `Failure` 74.
  func requireRoom(for output: FilePath) throws(Failure) -> Int? {
    var folder = FileSystem.absolute(output)
    while !FileSystem.exists(folder), !folder.components.isEmpty { folder.removeLastComponent() }
    guard let free = FileSystem.freeSpace(at: folder) else { return nil }
    guard free >= disk else {
      throw Failure(
        .ioNoSpace, "\(disk) bytes are needed, and \(free) are free",
        file: folder.string)
    }
    return free
  }
}
