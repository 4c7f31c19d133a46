import ByteIO
import Safetensors
import SystemPackage

/// Writes tensors into a file of the output at their final places.
final class FileSink: ConcurrentSink {
  private let file: OutputFile
  /// Where the bytes of each tensor begin in the file.
  private let starts: [Int: Int]

  /// Creates the file, makes room for it, and writes its header.
  ///
  /// - Parameters:
  ///   - shard: The file of the plan.
  ///   - path: Where it is written.
  ///   - created: Called as soon as the file exists.
  /// - Throws: `FileError`.
  init(
    _ shard: OutputShard, at path: FilePath, created: () -> Void = {}
  ) throws(FileError) {
    let header = shard.header.serialized
    file = try OutputFile(creating: path)
    created()
    var starts: [Int: Int] = [:]
    for (position, tensor) in zip(shard.tensors, shard.header.tensors) {
      starts[position] = header.count + tensor.dataOffsets.lowerBound
    }
    self.starts = starts
    try file.preallocate(header.count + shard.header.dataSize)
    try file.write(header, at: 0)
  }

  func accept(_ range: Range<Int>, of buffer: ByteBuffer, tensor: Int, at offset: Int) throws {
    guard let start = starts[tensor] else {
      throw ConversionError(.bug, "bug/sink", "tensor \(tensor) is not in this file")
    }
    do {
      try file.write(range, of: buffer, at: start + offset)
    } catch {
      throw ConversionError(writing: error, creating: false)
    }
  }

  func finished(_ range: Range<Int>, tensor: Int) {
    guard let start = starts[tensor] else { return }
    file.startWriteback(start + range.lowerBound..<start + range.upperBound)
  }

  /// Waits until the file is on the disk.
  func finish() throws(FileError) {
    try file.finish()
  }
}
