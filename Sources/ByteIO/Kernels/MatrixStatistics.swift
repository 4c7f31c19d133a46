import CKernels

/// Statistics of a matrix, by columns and by rows, from one pass over its elements. From those of
/// columns and rows those of any block of them follow: a head, a third, the share of a rank.
///
/// What is not finite counts as 0 in sums.
public struct MatrixStatistics: Sendable {
  public let rows: Int
  public let columns: Int
  /// By columns.
  public private(set) var sums: [Double]
  public private(set) var squares: [Double]
  public private(set) var lows: [Float]
  public private(set) var highs: [Float]
  /// The sum of the squares of each row.
  public private(set) var rowSquares: [Float] = []
  public private(set) var zeroCount = 0
  public private(set) var nonFiniteCount = 0
  /// Sums of the rows that were added last, in binary32.
  private var recentSums: [Float]
  private var recentSquares: [Float]
  private var recentCount = 0

  /// Statistics of no rows yet.
  public init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    sums = [Double](repeating: 0, count: columns)
    squares = sums
    lows = [Float](repeating: .infinity, count: columns)
    highs = [Float](repeating: -.infinity, count: columns)
    recentSums = [Float](repeating: 0, count: columns)
    recentSquares = recentSums
    rowSquares.reserveCapacity(rows)
  }

  /// Adds the next rows: binary32 numbers from byte `start` of a buffer on.
  public mutating func add(_ count: Int, rowsOf buffer: ByteBuffer, at start: Int = 0) {
    let bytes = unsafe buffer.slice(start..<start + count * columns * 4)
    guard let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: Float.self) else { return }
    var (zeros, others) = (0, 0)
    for row in 0..<count {
      // Sound: the slice has all rows, and each array has a place for every column.
      let square = unsafe recentSums.withUnsafeMutableBufferPointer { sums in
        unsafe recentSquares.withUnsafeMutableBufferPointer { squares in
          unsafe lows.withUnsafeMutableBufferPointer { lows in
            unsafe highs.withUnsafeMutableBufferPointer { highs in
              unsafe ckernels_row_statistics(
                base + row * columns, columns, sums.baseAddress, squares.baseAddress,
                lows.baseAddress, highs.baseAddress, &zeros, &others)
            }
          }
        }
      }
      rowSquares.append(square)
      recentCount += 1
      if recentCount == 256 { settle() }
    }
    zeroCount += zeros - others
    nonFiniteCount += others
    settle()
  }

  /// Moves what was added up in binary32 to the sums, before it becomes inexact.
  private mutating func settle() {
    for column in 0..<columns {
      sums[column] += Double(recentSums[column])
      squares[column] += Double(recentSquares[column])
      recentSums[column] = 0
      recentSquares[column] = 0
    }
    recentCount = 0
  }

  /// How many elements there are.
  public var count: Int { rows * columns }
}
