import ByteIO
import Diagnostics
public import Megatron
public import TorchArchive
public import Transfer

/// The SHA-256 of the values of every shard of a checkpoint.
public struct CheckpointDigests: Sendable {
  /// By the name of the tensor, in the order of the ranks.
  public private(set) var byTensor: [String: [String]] = [:]

  /// Reads all tensors, row-major and little-endian; masters that are put together from runs, too.
  ///
  /// - Parameters:
  ///   - index: The checkpoint.
  ///   - crc: How much of the recorded CRCs is checked.
  ///   - limits: How much a file may make the reader do.
  ///   - progress: Called with the number of bytes that were read so far.
  /// - Throws: `Failure`, or `Interrupted`.
  public init(
    _ index: Checkpoint, crc: CRCMode, limits: TorchLimits = TorchLimits(),
    progress: ExecutionReport.Progress = { _ in }
  ) throws {
    let files = RankFiles(index)
    let window = ByteBuffer(count: ByteBuffer.passSize)
    var readers: [Int: TensorReader] = [:]
    var done = 0
    func reader(_ file: Int) throws -> TensorReader {
      if let known = readers[file] { return known }
      // Shards of one tensor lie in few files; each reader has buffers of its own.
      if readers.count >= 16 { readers = [:] }
      let made = TensorReader(
        try files.file(file), expansion: limits.expansion, crc: crc != .none,
        windowSize: ByteBuffer.passSize)
      readers[file] = made
      return made
    }
    for tensor in index.tensors {
      for shard in tensor.shards {
        var hasher = SHA256Hasher()
        var file = shard.file
        func add(_ stored: TorchTensor) throws {
          let reader = try reader(file)
          try reader.forEachPart(of: stored) { range, buffer in
            try Interrupted.check()
            hasher.update(range, of: buffer)
            done += range.count
            progress(done)
          }
          if crc != .none { _ = try reader.verdict(stored.storage, all: crc == .all) }
        }
        do {
          switch shard.content {
          case .whole(_, let stored): try add(stored)
          case .boxes:
            let elements = try RankElements(shard, of: tensor.name, in: files)
            let step = window.count / elements.format.size
            let count = elements.shape.reduce(1, *)
            for start in stride(from: 0, to: count, by: step) {
              try Interrupted.check()
              let some = start..<min(start + step, count)
              try elements.read(some, into: window, at: 0)
              hasher.update(0..<some.count * elements.format.size, of: window)
              done += some.count * elements.format.size
              progress(done)
            }
          case .runs(let runs):
            for run in runs {
              file = run.file
              try add(run.tensor.run(from: run.start, count: run.elements.count))
            }
          }
        } catch let stop as Interrupted {
          throw stop
        } catch {
          throw Failure(
            reading: error, file: index.files[file].path, tensor: tensor.name)
        }
        byTensor[tensor.name, default: []].append(hasher.hexDigest())
      }
    }
  }
}
