package import ByteIO
package import Diagnostics
import SystemPackage
import TorchArchive

/// The elements of what one rank holds of a tensor, wherever they lie: in a tensor of its own, or
/// in runs of flat ones.
package struct RankElements: Sendable {
  package let format: FloatFormat
  package let name: String
  package let file: String
  package let shape: [Int]
  private var runs: [Run] = []
  private var boxes: [Box] = []
  private let files: RankFiles

  /// Elements that follow each other.
  private struct Run {
    let elements: Range<Int>
    let place: Place
  }

  /// A box of the elements; its own follow each other row by row.
  private struct Box {
    let offsets: [Int]
    let sizes: [Int]
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
  package init(_ part: RankPart, of tensor: String, in files: RankFiles) throws {
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
    case .boxes(let parts):
      boxes = try parts.map { part in
        Box(
          offsets: part.offsets, sizes: part.tensor.sizes,
          place: try RankElements.place(part.tensor, in: files, part.file))
      }
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

  package func read(
    _ elements: Range<Int>, into buffer: ByteBuffer, at offset: Int
  ) throws(Failure) {
    for run in runs {
      let some = run.elements.clamped(to: elements)
      guard !some.isEmpty else { continue }
      try read(
        some.count, of: run.place, from: some.lowerBound - run.elements.lowerBound, into: buffer,
        at: offset + (some.lowerBound - elements.lowerBound) * format.size)
    }
    guard !boxes.isEmpty else { return }
    let width = shape.count > 1 ? shape.dropFirst().reduce(1, *) : 1
    for box in boxes { try read(elements, of: box, rowWidth: width, into: buffer, at: offset) }
  }

  /// Reads what a box has of some elements: whole rows of it at once.
  private func read(
    _ elements: Range<Int>, of box: Box, rowWidth width: Int, into buffer: ByteBuffer,
    at offset: Int
  ) throws(Failure) {
    let columns = box.sizes.dropFirst().reduce(1, *)
    let first = box.offsets.count > 1 ? box.offsets[1] : 0
    let rows = (box.offsets[0]..<box.offsets[0] + box.sizes[0])
      .clamped(to: elements.lowerBound / width..<(elements.upperBound + width - 1) / width)
    guard !rows.isEmpty, columns > 0 else { return }
    if columns == width {
      let some = (rows.lowerBound * width..<rows.upperBound * width).clamped(to: elements)
      return try read(
        some.count, of: box.place, from: some.lowerBound - box.offsets[0] * width, into: buffer,
        at: offset + (some.lowerBound - elements.lowerBound) * format.size)
    }
    let scratch = ByteBuffer(count: rows.count * columns * format.size)
    try read(
      rows.count * columns, of: box.place, from: (rows.lowerBound - box.offsets[0]) * columns,
      into: scratch, at: 0)
    for row in rows {
      let start = row * width + first
      let some = (start..<start + columns).clamped(to: elements)
      guard !some.isEmpty else { continue }
      let from = ((row - rows.lowerBound) * columns + some.lowerBound - start) * format.size
      buffer.copy(
        from..<from + some.count * format.size, of: scratch,
        to: offset + (some.lowerBound - elements.lowerBound) * format.size)
    }
  }

  /// Reads elements that follow each other in one place.
  private func read(
    _ count: Int, of place: Place, from first: Int, into buffer: ByteBuffer, at offset: Int
  ) throws(Failure) {
    let from = first * format.size
    let bytes = count * format.size
    switch place {
    case .memory(let source): buffer.copy(from..<from + bytes, of: source, to: offset)
    case .file(let position, let start):
      let file = try files.file(position)
      do {
        try file.read(at: start + from, into: buffer, offset..<offset + bytes)
      } catch {
        throw Failure(reading: error, file: file.path)
      }
    }
  }
}
