import ByteIO
import Diagnostics
import Megatron
import SystemPackage

/// The elements of a tensor where they are stored, read as row-major little-endian values.
protocol StoredElements: Sendable {
  /// The format of the values.
  var format: FloatFormat { get }
  /// The name and the file, for messages.
  var name: String { get }
  var file: String { get }

  /// Reads some of the elements.
  ///
  /// - Parameters:
  ///   - elements: Which, counted in row-major order; they must exist.
  ///   - buffer: Where they go.
  ///   - offset: The first byte that they are laid down at.
  /// - Throws: `Failure` for a file that cannot be read.
  func read(_ elements: Range<Int>, into buffer: ByteBuffer, at offset: Int) throws(Failure)
}

/// The elements of a tensor of safetensors.
struct SafetensorsElements: StoredElements {
  let format: FloatFormat
  let name: String
  private let source: InputFile
  private let start: Int

  var file: String { source.path.string }

  init(_ format: FloatFormat, name: String, in source: InputFile, from start: Int) {
    self.format = format
    self.name = name
    self.source = source
    self.start = start
  }

  func read(_ elements: Range<Int>, into buffer: ByteBuffer, at offset: Int) throws(Failure) {
    do {
      try source.read(
        at: start + elements.lowerBound * format.size, into: buffer,
        offset..<offset + elements.count * format.size)
    } catch {
      throw Failure(reading: error, file: source.path)
    }
  }
}

extension StoredElements {
  /// A vector, widened.
  func vector(_ count: Int) throws(Failure) -> FloatRows {
    let buffer = ByteBuffer(count: count * format.size)
    try read(0..<count, into: buffer, at: 0)
    try checkFinite(buffer, count)
    let rows = FloatRows(1, width: count)
    WeightMatrix(buffer, format, rows: 1, columns: count).add(row: 0, to: rows, 0)
    return rows
  }

  /// Refuses values that are not finite: nothing that follows from them would be.
  func checkFinite(_ buffer: ByteBuffer, _ count: Int) throws(Failure) {
    guard buffer.countNonFinite(count, as: format, at: 0) == FloatCounts() else {
      throw Failure(
        .networkNotFinite, "it holds values that are not finite", file: file, tensor: name)
    }
  }
}

extension RankElements: StoredElements {}
