import ByteIO
import Safetensors
import SystemPackage

/// Writes tensors into a file of the output at their final places.
final class FileSink: TensorSink {
  private let file: OutputFile
  /// The same for whoever writes. File systems let one thread at a time write to a file, and others wait for it
  /// at full speed; here they sleep.
  private let writer: Locked<OutputFile>
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
    writer = Locked(file)
    created()
    var starts: [Int: Int] = [:]
    for (position, tensor) in zip(shard.tensors, shard.header.tensors) {
      starts[position] = header.count + tensor.dataOffsets.lowerBound
    }
    self.starts = starts
    try file.preallocate(header.count + shard.header.dataSize)
    try file.write(header, at: 0)
  }

  /// What is shorter is left to the end: each call takes time of its own.
  private static let announcedFrom = 1 << 20

  var takesTurns: Bool { true }

  func accept(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
    guard let start = starts[tensor] else {
      throw ConversionError(.bug, "bug/sink", "tensor \(tensor) is not in this file")
    }
    do {
      try writer.withLock { file throws(FileError) in try file.write(rows, at: start + offset) }
    } catch {
      throw ConversionError(writing: error, creating: false)
    }
  }

  func finished(_ range: Range<Int>, tensor: Int) {
    guard range.count >= FileSink.announcedFrom, let start = starts[tensor] else { return }
    file.startWriteback(start + range.lowerBound..<start + range.upperBound)
  }

  /// Waits until the file is on the disk.
  func finish() throws(FileError) {
    try file.finish()
  }
}
