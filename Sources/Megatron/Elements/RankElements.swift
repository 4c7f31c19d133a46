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
  private let files: RankFiles

  /// Elements that follow each other.
  private struct Run {
    let elements: Range<Int>
    let place: Place
  }

  private enum Place {
    /// In a file as they are, from some byte on.
    case file(Int, at: Int)
    /// Brought into memory, because they are compressed or lie in another order.
    case memory(ByteBuffer)
  }

  /// - Parameters:
  ///   - part: What the rank holds.
  ///   - tensor: The name of the tensor.
  ///   - files: The files of the checkpoint.
  /// - Throws: `Failure` 69 for elements that are not floating-point numbers of 16 or 32 bits, or
  ///   what reading throws.
  init(_ part: RankPart, of tensor: String, in files: RankFiles) throws {
    let path = files.path(part.file)
    guard let format = RankElements.formats[part.dtype] else {
      throw Failure(
        .networkUnsupported,
        "its type is \(part.dtype.rawValue); float16, bfloat16 and float32 are run",
        file: path.string, tensor: part.key)
    }
    self.format = format
    self.files = files
    name = tensor
    file = path.string
    shape = part.sizes
    switch part.content {
    case .whole(let file, let tensor):
      runs = [
        Run(
          elements: 0..<tensor.elementCount,
          place: try RankElements.place(tensor, in: files, file))
      ]
    case .runs(let parts):
      runs = try parts.map { run in
        Run(
          elements: run.elements,
          place: try RankElements.place(
            run.tensor.run(from: run.start, count: run.elements.count), in: files, run.file))
      }
    }
  }

  private static let formats: [TorchDType: FloatFormat] = [
    .float16: .float16, .bfloat16: .bfloat16, .float32: .float32,
  ]

  private static func place(
    _ tensor: TorchTensor, in files: RankFiles, _ position: Int
  ) throws -> Place {
    let entry = tensor.storage.entry
    if tensor.isPlain, entry.compression == .stored {
      return .file(position, at: entry.dataOffset + tensor.storageOffset * tensor.dtype.size)
    }
    // A view can repeat elements, and so claim any size; a weight is never larger than its storage.
    guard tensor.byteCount <= tensor.storage.byteCount else {
      throw Failure(
        .networkTensor,
        "its \(tensor.byteCount) bytes are a view of a storage of \(tensor.storage.byteCount)",
        file: files.path(position).string, tensor: tensor.storage.key)
    }
    let bytes = ByteBuffer(count: tensor.byteCount)
    var filled = 0
    do {
      try TensorReader(files.file(position)).forEachPart(of: tensor) { range, buffer in
        bytes.copy(range, of: buffer, to: filled)
        filled += range.count
      }
    } catch {
      throw Failure(reading: error, file: files.path(position))
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
      case .file(let position, let start):
        let file = try files.file(position)
        do {
          try file.read(at: start + from, into: buffer, to..<to + count)
        } catch {
          throw Failure(reading: error, file: file.path)
        }
      }
    }
  }
}
