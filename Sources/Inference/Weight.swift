import ByteIO
import Diagnostics

/// A matrix of weights, held in memory or read again each time that it is used.
struct Weight: Sendable {
  let rows: Int
  let columns: Int
  let stored: any StoredElements
  /// The matrix in memory; `nil` while it is read each time.
  private(set) var resident: WeightMatrix?

  init(_ stored: any StoredElements, rows: Int, columns: Int) {
    self.stored = stored
    self.rows = rows
    self.columns = columns
  }

  var format: FloatFormat { stored.format }

  /// The size of a row, and of all rows, in bytes.
  var rowSize: Int { columns * format.size }
  var size: Int { rows * rowSize }

  /// Reads the matrix into memory.
  ///
  /// - Throws: `Failure` 65 for values that are not finite, or what reading throws.
  mutating func load() throws(Failure) {
    guard resident == nil else { return }
    let buffer = ByteBuffer(count: size)
    try stored.read(0..<rows * columns, into: buffer, at: 0)
    try stored.checkFinite(buffer, rows * columns)
    resident = WeightMatrix(buffer, format, rows: rows, columns: columns)
  }

  /// Some rows, read into a buffer.
  func tile(_ some: Range<Int>, in buffer: ByteBuffer) throws(Failure) -> WeightMatrix {
    try read(some, of: some, into: buffer)
    return matrix(some, in: buffer)
  }

  /// Reads a part of a tile.
  func read(_ some: Range<Int>, of tile: Range<Int>, into buffer: ByteBuffer) throws(Failure) {
    try stored.read(
      some.lowerBound * columns..<some.upperBound * columns, into: buffer,
      at: (some.lowerBound - tile.lowerBound) * rowSize)
  }

  /// A tile that was read.
  func matrix(_ tile: Range<Int>, in buffer: ByteBuffer) -> WeightMatrix {
    WeightMatrix(buffer, format, rows: tile.count, columns: columns)
  }

  /// Adds a row to a row of numbers.
  func add(row: Int, to target: FloatRows, _ place: Int) throws(Failure) {
    if let resident { return resident.add(row: row, to: target, place) }
    let buffer = ByteBuffer(count: rowSize)
    try tile(row..<row + 1, in: buffer).add(row: 0, to: target, place)
  }
}
