import ByteIO
import Diagnostics
import Megatron
import SystemPackage
import TorchArchive

/// The elements of what one rank holds of a tensor, wherever they lie: in a tensor of its own, or
/// in runs of flat ones.
struct RankElements: StoredElements {
  let format: FloatFormat
  let name: String
  let file: String
  let shape: [Int]
  private let runs: [Run]

  /// Elements that follow each other.
  private struct Run {
    let elements: Range<Int>
    let place: Place
  }

  private enum Place {
    /// In a file as they are, from some byte on.
    case file(InputFile, at: Int)
    /// Brought into memory, because they are compressed or lie in another order.
    case memory(ByteBuffer)
  }

  /// - Parameters:
  ///   - part: What the rank holds.
  ///   - tensor: The name of the tensor.
  ///   - files: The open files of the checkpoint.
  /// - Throws: ``Failure`` 69 for a type that is no weight's, or what reading throws.
  init(_ part: RankPart, of tensor: String, in files: RankFiles) throws {
    let path = try files.file(part.file).path
    guard let format = RankElements.formats[part.dtype] else {
      throw Failure(
        .networkUnsupported,
        "its type is \(part.dtype.rawValue); float16, bfloat16 and float32 are run",
        file: path.string, tensor: part.key)
    }
    self.format = format
    name = tensor
    file = path.string
    shape = part.sizes
    switch part.content {
    case .whole(let file, let tensor):
      runs = [
        Run(
          elements: 0..<tensor.elementCount,
          place: try RankElements.place(tensor, in: files.file(file)))
      ]
    case .runs(let parts):
      runs = try parts.map { run in
        Run(
          elements: run.elements,
          place: try RankElements.place(
            run.tensor.run(from: run.start, count: run.elements.count), in: files.file(run.file)))
      }
    }
  }

  private static let formats: [TorchDType: FloatFormat] = [
    .float16: .float16, .bfloat16: .bfloat16, .float32: .float32,
  ]

  private static func place(_ tensor: TorchTensor, in file: InputFile) throws -> Place {
    let entry = tensor.storage.entry
    if tensor.isPlain, entry.compression == .stored {
      return .file(file, at: entry.dataOffset + tensor.storageOffset * tensor.dtype.size)
    }
    let bytes = ByteBuffer(count: tensor.byteCount)
    var filled = 0
    do {
      try TensorReader(file).forEachPart(of: tensor) { range, buffer in
        bytes.copy(range, of: buffer, to: filled)
        filled += range.count
      }
    } catch {
      throw Failure(reading: error, file: file.path)
    }
    return .memory(bytes)
  }

  func read(_ elements: Range<Int>, into buffer: ByteBuffer, at offset: Int) throws(Failure) {
    for run in runs {
      let some = run.elements.clamped(to: elements)
      guard !some.isEmpty else { continue }
      let from = (some.lowerBound - run.elements.lowerBound) * format.size
      let to = offset + (some.lowerBound - elements.lowerBound) * format.size
      let count = some.count * format.size
      switch run.place {
      case .memory(let bytes): buffer.copy(from..<from + count, of: bytes, to: to)
      case .file(let file, let start):
        do {
          try file.read(at: start + from, into: buffer, to..<to + count)
        } catch {
          throw Failure(reading: error, file: file.path)
        }
      }
    }
  }
}

/// The files of a checkpoint, each opened once.
final class RankFiles {
  private let checkpoint: Checkpoint
  private var open: [Int: InputFile] = [:]

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
  }

  /// A file by its position in the checkpoint's list.
  ///
  /// - Throws: ``Failure`` for one that cannot be opened, or was changed since it was looked at.
  func file(_ position: Int) throws(Failure) -> InputFile {
    if let known = open[position] { return known }
    let source = checkpoint.files[position]
    do {
      let file = try InputFile(opening: source.path)
      guard file.identity == source.identity else {
        throw FileError(
          .changed, path: source.path, operation: "read",
          reason: "the file was changed while it was read")
      }
      open[position] = file
      return file
    } catch {
      throw Failure(reading: error, file: source.path)
    }
  }
}
