import Diagnostics

/// A curve in characters: two by four dots in each.
struct BraillePlot {
  private let columns: Int
  private let rows: Int

  init(columns: Int = 60, rows: Int = 8) {
    self.columns = columns
    self.rows = rows
  }

  /// The lines of a plot: values over steps, with the highest and the lowest value at the side and
  /// the steps below. Of the many values of a column of dots all from the lowest to the highest are
  /// drawn, so that no spike is lost.
  ///
  /// - Parameter points: Steps that increase, with their values; what is not finite is left out.
  /// - Returns: The lines; empty if fewer than two values are finite.
  func lines(_ points: [(step: Int, value: Double)]) -> [String] {
    let finite = points.filter { $0.value.isFinite }
    guard let first = finite.first, let last = finite.last, last.step > first.step else {
      return []
    }
    // The first steps of a training are far above all others, and would flatten the rest.
    let span = Double(last.step) - Double(first.step)
    let settled = finite.filter { Double($0.step) - Double(first.step) >= span / 50 }
    let values = (settled.isEmpty ? finite : settled).map(\.value)
    guard let low = values.min(), let high = values.max() else { return [] }
    let range = high > low ? high - low : 1
    /// The row of dots of a value, which lies above the frame if it is negative.
    func row(_ value: Double) -> Int {
      Int((min(max((high - value) / range, -1), 1) * Double(4 * rows - 1)).rounded())
    }
    func column(_ step: Int) -> Int {
      Int(((Double(step) - Double(first.step)) / span * Double(2 * columns - 1)).rounded())
    }
    // From the highest to the lowest row of each column, and lines from point to point.
    var extents = [ClosedRange<Int>?](repeating: nil, count: 2 * columns)
    func mark(_ column: Int, _ top: Int, _ bottom: Int) {
      let old = extents[column] ?? top...bottom
      extents[column] = min(old.lowerBound, top)...max(old.upperBound, bottom)
    }
    for (a, b) in zip(finite, finite.dropFirst()) {
      let (from, to) = (column(a.step), column(b.step))
      let (start, end) = (row(a.value), row(b.value))
      if from == to {
        mark(from, min(start, end), max(start, end))
        continue
      }
      for place in from...to {
        let height = start + (end - start) * (place - from) / (to - from)
        mark(place, height, height)
      }
    }
    var dots = [[Bool]](
      repeating: [Bool](repeating: false, count: 2 * columns), count: 4 * rows)
    for (column, extent) in extents.enumerated() {
      for row in extent ?? 0...0 where extent != nil && row >= 0 { dots[row][column] = true }
    }
    let labels = [significant(high), significant(low)]
    let margin = labels.map(\.count).max() ?? 0
    var lines = (0..<rows).map { row in
      let label = row == 0 ? labels[0] : row == rows - 1 ? labels[1] : ""
      return String(repeating: " ", count: margin - label.count) + label + " "
        + String((0..<columns).map { BraillePlot.cell(dots, row, $0) })
    }
    let (from, to) = (thousands(first.step), thousands(last.step))
    let gap = max(1, columns - from.count - to.count)
    lines.append(
      String(repeating: " ", count: margin + 1) + from + String(repeating: " ", count: gap) + to)
    return lines
  }

  /// The bits of a character, from the one of U+2800 on: three rows of both columns, then the last.
  private static let bits: [[UInt32]] = [
    [0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80],
  ]

  private static func cell(_ dots: [[Bool]], _ row: Int, _ column: Int) -> Character {
    var code: UInt32 = 0x2800
    for y in 0..<4 {
      for x in 0..<2 where dots[4 * row + y][2 * column + x] { code |= bits[y][x] }
    }
    return Unicode.Scalar(code).map { Character($0) } ?? " "
  }

  /// The curve in one line of eight heights.
  static func line(_ values: [Double], columns: Int = 40) -> String {
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max(), finite.count > 1 else { return "" }
    let marks = Array("▁▂▃▄▅▆▇█")
    let count = min(columns, finite.count)
    return String(
      (0..<count).map { index in
        let value = finite[index * (finite.count - 1) / max(1, count - 1)]
        return marks[high > low ? Int((value - low) / (high - low) * 7.99) : 0]
      })
  }
}
