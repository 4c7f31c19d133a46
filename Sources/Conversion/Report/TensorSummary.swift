import ByteIO
import Diagnostics
import HuggingFace
import Safetensors
import Transfer

/// The numbers of one tensor.
public struct TensorSummary: Hashable, Sendable {
  /// The name without the prefix of the model.
  public let name: String
  /// The sizes of the dimensions, as the file has them.
  public let shape: [Int]
  /// The number of elements, at least 1.
  public let count: Int
  /// The mean of all elements; what is not finite counts as 0.
  public let mean: Double
  /// The standard deviation of all elements; what is not finite counts as 0.
  public let deviation: Double
  /// The smallest element; what is not finite counts as 0.
  public let smallest: Float
  /// The largest element; what is not finite counts as 0.
  public let largest: Float
  /// How many elements are 0, of either sign.
  public let zeroCount: Int
  /// How many elements are NaN or infinite.
  public let nonFiniteCount: Int
  /// The CRC-32 of its bytes.
  public let crc: UInt32
  /// By columns: sums, and sums of squares.
  let columnSums: [Double]
  let columnSquares: [Double]
  let columnHighs: [Float]
  /// The norm of each row.
  let rowNorms: [Float]
  /// The values of a vector.
  let values: [Float]
  /// For a table of positions: how far each row is from the one before it, by its norm.
  let rowSteps: [Float]

  /// Whether all its elements are one value, as those of norms and biases are before training.
  public var isConstant: Bool { smallest == largest }

  /// The number of the block in its name.
  public var layer: Int? {
    name.split(separator: ".").lazy.compactMap { Int($0) }.first
  }

  /// The name with a star for the number of the block.
  public var group: String {
    name.split(separator: ".").map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
  }

  /// The mean of the absolute values of a vector.
  var meanMagnitude: Double {
    values.isEmpty ? 0 : values.reduce(0) { $0 + Double(abs($1)) } / Double(values.count)
  }

  /// Reads a tensor once, some rows at a time; `nil` for one that is not of floating-point numbers.
  ///
  /// - Parameters:
  ///   - tensor: The tensor.
  ///   - progress: Called with the number of bytes that were read.
  /// - Throws: ``FileError`` or `Interrupted`.
  init?(_ tensor: ModelDirectory.Tensor, _ progress: (Int) -> Void) throws {
    let declared = tensor.declared
    guard let format = FloatFormat(declared.dtype), declared.elementCount > 0 else { return nil }
    name =
      declared.name.hasPrefix("transformer.") ? String(declared.name.dropFirst(12)) : declared.name
    shape = declared.shape
    count = declared.elementCount
    let columns = declared.shape.count > 1 ? declared.shape.last ?? 1 : count
    let rows = count / columns
    var statistics = MatrixStatistics(rows: rows, columns: columns)
    let step = max(1, min(rows, ByteBuffer.passSize / (4 * columns)))
    let stored = ByteBuffer(count: step * columns * format.size)
    let wide = format == .float32 ? stored : ByteBuffer(count: step * columns * 4)
    let isTable = name.hasSuffix("wpe.weight")
    var (crc, steps, last) = (UInt32(0), [Float](), [Float]())
    var row = 0
    while row < rows {
      try Interrupted.check()
      let height = min(step, rows - row)
      let size = height * columns * format.size
      try tensor.file.file.read(
        at: tensor.start + row * columns * format.size, into: stored, 0..<size)
      crc = CRC32.checksum(0..<size, of: stored, continuing: crc)
      if format != .float32 {
        _ = wide.convert(
          height * columns, from: stored, at: 0, as: format, to: .float32, at: 0)
      }
      statistics.add(height, rowsOf: wide)
      if isTable {
        for index in 0..<height {
          let values = FloatFormat.float32.floats(
            wide.bytes(index * columns * 4..<(index + 1) * columns * 4))
          if !last.isEmpty {
            let square = zip(values, last).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            steps.append(square.squareRoot())
          }
          last = values
        }
      }
      row += height
      progress(size)
    }
    let total = Double(count)
    let sum = statistics.sums.reduce(0, +)
    let square = statistics.squares.reduce(0, +)
    mean = sum / total
    deviation = max(0, square / total - mean * mean).squareRoot()
    smallest = statistics.lows.min() ?? 0
    largest = statistics.highs.max() ?? 0
    zeroCount = statistics.zeroCount
    nonFiniteCount = statistics.nonFiniteCount
    self.crc = crc
    values = rows == 1 ? statistics.sums.map { Float($0) } : []
    columnSums = rows == 1 ? [] : statistics.sums
    columnSquares = rows == 1 ? [] : statistics.squares
    columnHighs = rows == 1 ? [] : statistics.highs
    rowNorms = rows == 1 ? [] : statistics.rowSquares.map { $0.squareRoot() }
    rowSteps = steps
  }
}
