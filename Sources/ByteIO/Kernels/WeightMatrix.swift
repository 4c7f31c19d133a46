/// A matrix of weights as it is stored.
public struct WeightMatrix: Sendable {
  public let buffer: ByteBuffer
  public let format: FloatFormat
  public let rows: Int
  public let columns: Int

  /// A matrix whose rows lie one after the other from the beginning of a buffer.
  public init(_ buffer: ByteBuffer, _ format: FloatFormat, rows: Int, columns: Int) {
    precondition(buffer.count >= rows * columns * format.size, "the buffer is too small")
    self.buffer = buffer
    self.format = format
    self.rows = rows
    self.columns = columns
  }

  /// The number of the format in the kernels.
  var number: Int32 {
    switch format {
    case .float16: 0
    case .bfloat16: 1
    case .float32: 2
    }
  }

  /// Adds a row to a row of numbers.
  public func add(row: Int, to target: FloatRows, _ place: Int) {
    precondition(target.width == columns && row < rows, "a matrix of another width")
    let wide = FloatRows(1, width: columns)
    _ = wide.buffer.convert(
      columns, from: buffer, at: row * columns * format.size, as: format, to: .float32, at: 0)
    target.add(wide, row: 0, to: place)
  }
}
