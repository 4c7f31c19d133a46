package import ByteIO
import Diagnostics
import Safetensors
package import SystemPackage

/// Writes tensors into a file of the output at their final places.
package final class FileSink: TensorSink {
  private let file: OutputFile
  /// The same for threads that write. File systems let one thread at a time write to a file, and
  /// others wait for it at full speed; here they sleep.
  private let writer: Locked<OutputFile>
  /// Where the bytes of each tensor lie in the file.
  private let places: [Int: Range<Int>]
  private let header: [UInt8]
  private let sums = Locked<[Int: UInt32]>([:])

  /// The CRC-32 of the bytes of each tensor, of those that were written so far.
  package var checksums: [Int: UInt32] { sums.withLock { $0 } }

  /// Creates the file, makes room for it, and writes its header.
  ///
  /// - Parameters:
  ///   - shard: The file of the plan.
  ///   - path: Where it is written.
  ///   - created: Called as soon as the file exists.
  /// - Throws: `FileError`.
  package init(
    _ shard: FilePlan, at path: FilePath, created: () -> Void = {}
  ) throws(FileError) {
    header = shard.header.serialized
    file = try OutputFile(creating: path)
    writer = Locked(file)
    created()
    var places: [Int: Range<Int>] = [:]
    for (position, tensor) in zip(shard.tensors, shard.header.tensors) {
      let start = header.count + tensor.dataOffsets.lowerBound
      places[position] = start..<start + tensor.dataOffsets.count
    }
    self.places = places
    try file.preallocate(header.count + shard.header.dataSize)
    try file.write(header, at: 0)
  }

  /// What is shorter is left to the end: each call takes time of its own.
  private static let announcedFrom = 1 << 20

  package var takesTurns: Bool { true }

  package func note(
    _ crc: @autoclosure () -> UInt32, of count: Int, tensor: Int, at offset: Int
  ) throws {
    let following = try place(of: tensor).count - offset - count
    let shifted = CRC32.Shift(by: following)(crc())
    sums.withLock { $0[tensor, default: 0] ^= shifted }
  }

  package func take(_ rows: BufferRows, tensor: Int, at offset: Int) throws {
    let place = try place(of: tensor)
    do {
      try writer.withLock { file throws(FileError) in
        try file.write(rows, at: place.lowerBound + offset)
      }
    } catch {
      throw Failure(writing: error, creating: false)
    }
  }

  private func place(of tensor: Int) throws(Failure) -> Range<Int> {
    guard let place = places[tensor] else {
      throw Failure(.bugSink, "tensor \(tensor) is not in this file")
    }
    return place
  }

  package func finished(_ range: Range<Int>, tensor: Int) {
    guard range.count >= FileSink.announcedFrom, let place = places[tensor] else { return }
    let start = place.lowerBound
    file.startWriteback(start + range.lowerBound..<start + range.upperBound)
  }

  /// Waits until the file is on the disk.
  package func finish() throws(FileError) {
    try file.finish()
  }
}
