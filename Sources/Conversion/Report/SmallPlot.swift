import Diagnostics

/// A small plot as SVG: one or more lines over a common axis, with a band around the first.
struct SmallPlot {
  struct Line {
    let name: String
    let values: [Double]
    /// The smallest and the largest value at each place.
    var band: [(low: Double, high: Double)] = []
  }

  let title: String
  let lines: [Line]
  /// What the horizontal axis counts, and the number of its last place.
  let axis: String
  let last: Int
  var width = 240.0
  var height = 120.0

  private static let colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]

  /// The picture.
  var svg: String {
    let (left, right, top, bottom) = (46.0, 8.0, 22.0, 20.0)
    let bands = lines.flatMap(\.band)
    let finite = (lines.flatMap(\.values) + bands.map(\.low) + bands.map(\.high))
      .filter(\.isFinite)
    var (low, high) = (finite.min() ?? 0, finite.max() ?? 1)
    // A scale that is no larger than the differences would make much of nothing.
    let middle = (low + high) / 2
    let least = max(abs(middle) * 0.3, 1e-12)
    if high - low < least { (low, high) = (middle - least / 2, middle + least / 2) }
    let room = (high - low) * 0.08
    (low, high) = (low - room, high + room)
    let count = lines.map(\.values.count).max() ?? 0
    func x(_ index: Int) -> String {
      let share = count > 1 ? Double(index) / Double(count - 1) : 0.5
      return decimal(left + (width - left - right) * share, places: 1)
    }
    func y(_ value: Double) -> String {
      let share = min(max((value - low) / (high - low), -0.02), 1.02)
      return decimal(top + (height - top - bottom) * (1 - share), places: 1)
    }
    var parts = [
      "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" "
        + "aria-label=\"\(Markup.escaped(title))\">",
      "<text x=\"4\" y=\"13\" class=\"h\">\(Markup.escaped(title))</text>",
    ]
    for value in LossPicture.marks(low, high, 3) {
      parts.append(
        "<path class=\"g\" d=\"M\(Int(left)) \(y(value))H\(Int(width - right))\"/>"
          + "<text x=\"\(Int(left) - 4)\" y=\"\(y(value))\" dy=\"3\" text-anchor=\"end\">"
          + "\(significant(value, digits: 3))</text>")
    }
    parts.append(
      "<text x=\"\(Int(left))\" y=\"\(Int(height) - 5)\">\(axis) 0</text>"
        + "<text x=\"\(Int(width - right))\" y=\"\(Int(height) - 5)\" "
        + "text-anchor=\"end\">\(last)</text>"
    )
    for (index, line) in lines.enumerated() {
      let color = SmallPlot.colors[index % SmallPlot.colors.count]
      if !line.band.isEmpty {
        let edge =
          line.band.indices.map { "\(x($0)) \(y(line.band[$0].high))" }
          + line.band.indices.reversed().map { "\(x($0)) \(y(line.band[$0].low))" }
        parts.append(
          "<path fill=\"\(color)\" fill-opacity=\".18\" d=\"M\(edge.joined(separator: "L"))Z\"/>")
      }
      let points = line.values.indices.filter { line.values[$0].isFinite }
        .map { "\(x($0)) \(y(line.values[$0]))" }
      if points.count == 1 {
        let place = points[0].split(separator: " ")
        parts.append("<circle cx=\"\(place[0])\" cy=\"\(place[1])\" r=\"2\" fill=\"\(color)\"/>")
      } else if !points.isEmpty {
        parts.append(
          "<path fill=\"none\" stroke=\"\(color)\" stroke-width=\"1.4\" "
            + "d=\"M\(points.joined(separator: "L"))\"/>"
        )
      }
      if lines.count > 1 {
        parts.append(
          "<text x=\"\(Int(width - right) - 56 * (lines.count - 1 - index))\" y=\"13\" "
            + "text-anchor=\"end\" "
            + "style=\"fill:\(color)\">\(Markup.escaped(line.name))</text>")
      }
    }
    return (parts + ["</svg>"]).joined(separator: "\n")
  }

  /// Many values as at most so many columns: the median of each, and its extremes.
  static func condensed(
    _ values: [Float], to most: Int = 360
  ) -> (middle: [Double], band: [(low: Double, high: Double)]) {
    guard values.count > most else { return (values.map { Double($0) }, []) }
    var (middle, band): ([Double], [(low: Double, high: Double)]) = ([], [])
    for column in 0..<most {
      let range = column * values.count / most..<(column + 1) * values.count / most
      let sorted = values[range].sorted()
      middle.append(Double(sorted[sorted.count / 2]))
      band.append((Double(sorted[0]), Double(sorted[sorted.count - 1])))
    }
    return (middle, band)
  }
}
