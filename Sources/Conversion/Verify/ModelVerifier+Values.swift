import ByteIO
import Diagnostics
public import HuggingFace
import Safetensors
public import Transfer

extension ModelVerifier {
  /// How many tensors have the values that were written.
  public struct Values: Hashable, Sendable {
    /// Tensors whose checksum agrees with the manifest.
    public var verified = 0
    /// Tensors whose checksum was not recorded.
    public var notRecorded = 0

    /// Nothing is counted yet.
    public init() {}
  }

  /// Reads all tensors and compares their checksums with those in the manifest, which were formed
  /// while they were written. The source is not needed.
  ///
  /// - Parameters:
  ///   - threads: How many threads share the work.
  ///   - started: Called with the number of bytes that will be read.
  ///   - progress: Called with the number of bytes that were read so far.
  /// - Returns: How many tensors agree; those that do not are faults.
  /// - Throws: `Failure` when a file cannot be read, or `Interrupted`.
  public mutating func checkValues(
    threads: Int = 1, started: (_ bytes: Int) -> Void = { _ in },
    progress: @escaping ExecutionReport.Progress = { _ in }
  ) throws -> Values {
    var result = Values()
    let recorded = manifest?.checksums ?? [:]
    let names = directory.names
    let known = names.filter { recorded[$0] != nil }
    result.notRecorded = names.count - known.count
    started(known.reduce(0) { $0 + (directory[$1]?.declared.dataOffsets.count ?? 0) })
    let bench = WorkerBuffers(.reading(threads: threads))
    var done = 0
    for name in known {
      guard let tensor = directory[name], let wanted = recorded[name] else { continue }
      let size = tensor.declared.dataOffsets.count
      let found: UInt32
      do {
        found = try ModelVerifier.checksum(tensor, size, on: bench)
      } catch let stop as Interrupted {
        throw stop
      } catch {
        throw Failure(reading: error, file: tensor.file.file.path, tensor: name)
      }
      if found == wanted {
        result.verified += 1
      } else {
        fault(
          .outputValues,
          "its bytes have CRC \(ConversionManifest.hexadecimal(found)), but "
            + "\(ConversionManifest.hexadecimal(wanted)) was recorded when they were written: the "
            + "file is "
            + "damaged or was changed", file: tensor.fileName, tensor: name)
      }
      done += size
      progress(done)
    }
    return result
  }

  /// The CRC-32 of the bytes of a tensor, read in pieces by several threads.
  private static func checksum(
    _ tensor: ModelDirectory.Tensor, _ size: Int, on bench: WorkerBuffers
  ) throws -> UInt32 {
    let step = bench.stages[0].stored.count
    let sum = Locked<UInt32>(0)
    try bench.share((size + step - 1) / step, bytes: size) { stage, index in
      try Interrupted.check()
      let start = index * step
      let count = min(step, size - start)
      try tensor.file.file.read(at: tensor.start + start, into: stage.stored, 0..<count)
      let crc = CRC32.Shift(by: size - start - count)(
        CRC32.checksum(0..<count, of: stage.stored))
      sum.withLock { $0 ^= crc }
    }
    return sum.withLock { $0 }
  }
}
