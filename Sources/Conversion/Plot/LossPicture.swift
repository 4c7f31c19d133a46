import Diagnostics
import EventLog

/// The picture of a training's loss: the line goes through the median of the values of each column
/// of one pixel, in a band from the lowest to the highest, so that no spike is lost however many
/// values there are. Nothing is smoothed.
///
/// The same curves give the same bytes: coordinates have one decimal, and no date is in it.
public struct LossPicture: Sendable {
  /// The size in the units of all coordinates.
  static let (width, height) = (760.0, 340.0)
  private static let (left, right, top, bottom) = (56.0, 14.0, 34.0, 34.0)
  /// The height of the strip of the learning rate.
  private static let strip = 52.0
  private static let plotHeight = height - top - bottom - strip - 10

  /// The values of one column.
  struct Column: Hashable {
    let x: Int
    let high, middle, low: Double
  }

  /// What is drawn, from back to front.
  enum Element: Hashable {
    enum Anchor: String { case start, middle, end }

    case title(String)
    case text(String, x: Double, y: Double, anchor: Anchor)
    /// A line across the frame.
    case level(y: Double)
    case curve([Column], isPale: Bool, isClipped: Bool)
    case dot(x: Double, y: Double, title: String)
    case restart(x: Double)
    case mark(x: Double)
    /// A value that is not finite, at the upper edge.
    case notFinite(x: Double, title: String)
  }

  private(set) var elements: [Element] = []
  /// Where the curve is cut off.
  static let frame = (
    x: left...(width - right), y: top...(top + plotHeight)
  )

  /// Lays out the picture.
  public init(_ curves: TrainingCurves) {
    let name = curves.tags.loss.split(separator: "/").last.map(String.init) ?? curves.tags.loss
    elements.append(.title(name))
    let finite = curves.loss.filter(\.value.isFinite)
    guard let last = curves.loss.last, last.step > 0, !finite.isEmpty else { return }
    let end = Double(last.step)
    // The first values are far above all others, and would flatten the rest.
    let late = finite.filter { Double($0.step) > end * 0.02 }
    let values = (late.isEmpty ? finite : late).map(\.value)
    var (low, high) = (values.min() ?? 0, values.max() ?? 1)
    let room = (high - low) * 0.05
    (low, high) = (low - (room > 0 ? room : 0.1), high + (room > 0 ? room : 0.1))

    func x(_ step: Int) -> Double {
      LossPicture.left + (LossPicture.width - LossPicture.left - LossPicture.right)
        * Double(step) / end
    }
    func y(_ value: Double) -> Double {
      LossPicture.top + LossPicture.plotHeight * (1 - (value - low) / (high - low))
    }
    for value in LossPicture.marks(low, high, 6) {
      elements.append(.level(y: y(value)))
      elements.append(
        .text(
          significant(value, digits: 3), x: LossPicture.left - 6, y: y(value) + 4, anchor: .end))
    }
    let base = LossPicture.height - LossPicture.bottom
    for step in LossPicture.marks(0, end, 7) {
      elements.append(
        .text(LossPicture.short(step), x: x(Int(step)), y: base + 16, anchor: .middle))
    }
    elements.append(
      .text(
        curves.tags.countsSamples ? "sequences" : "iterations",
        x: (LossPicture.left + LossPicture.width - LossPicture.right) / 2,
        y: LossPicture.height - 4, anchor: .middle))
    let before = finite.filter { $0.step <= curves.mark ?? .max }
    elements.append(
      .curve(LossPicture.columns(before, x, y), isPale: false, isClipped: true))
    if let mark = curves.mark, finite.contains(where: { $0.step > mark }) {
      let after = finite.filter { $0.step >= mark }
      elements.append(.curve(LossPicture.columns(after, x, y), isPale: true, isClipped: true))
    }
    for point in curves.validation where point.value.isFinite {
      elements.append(
        .dot(
          x: x(point.step), y: y(point.value),
          title: "validation \(significant(point.value)) at \(point.step)"))
    }
    for step in curves.restarts { elements.append(.restart(x: x(step))) }
    if let mark = curves.mark {
      elements.append(.mark(x: x(mark)))
      elements.append(
        .text("this checkpoint", x: x(mark) - 4, y: LossPicture.top + 6, anchor: .end))
    }
    for point in curves.loss where !point.value.isFinite {
      elements.append(.notFinite(x: x(point.step), title: "not a number at \(point.step)"))
    }
    addRate(curves.learningRate.filter(\.value.isFinite), x)
  }

  /// The strip of the learning rate, with a scale of its own.
  private mutating func addRate(_ rate: [EventCurve.Point], _ x: (Int) -> Double) {
    guard let most = rate.map(\.value).max(), most > 0 else { return }
    let bottom = LossPicture.height - LossPicture.bottom
    let top = bottom - LossPicture.strip
    elements.append(.level(y: bottom))
    elements.append(.level(y: top))
    elements.append(
      .text(significant(most, digits: 2), x: LossPicture.left - 6, y: top + 8, anchor: .end))
    elements.append(.text("lr", x: LossPicture.left - 6, y: bottom, anchor: .end))
    let columns = LossPicture.columns(rate, x) { top + LossPicture.strip * (1 - $0 / most) }
    elements.append(.curve(columns, isPale: false, isClipped: false))
  }

  private static func columns(
    _ points: [EventCurve.Point], _ x: (Int) -> Double, _ y: (Double) -> Double
  ) -> [Column] {
    var columns: [Column] = []
    var (place, values): (Int?, [Double]) = (nil, [])
    func end() {
      guard let place, !values.isEmpty else { return }
      let sorted = values.sorted()
      columns.append(
        Column(
          x: place, high: y(sorted[sorted.count - 1]), middle: y(sorted[sorted.count / 2]),
          low: y(sorted[0])))
    }
    for point in points {
      let column = Int(x(point.step).rounded(.toNearestOrEven))
      if column != place {
        end()
        (place, values) = (column, [])
      }
      values.append(point.value)
    }
    end()
    return columns
  }

  /// Round values in a range, at most about `count`.
  static func marks(_ low: Double, _ high: Double, _ count: Double) -> [Double] {
    guard high > low else { return [] }
    var step = 1.0
    let wanted = (high - low) / count
    while step > wanted { step /= 10 }
    while step * 10 <= wanted { step *= 10 }
    // Divided where it is a fraction, so that 0.3 is not three tenths of something else.
    step *= [1, 2, 5, 10].first { (high - low) / (step * $0) <= count } ?? 10
    let first = (low / step - 1e-9).rounded(.up)
    let last = (high / step + 1e-9).rounded(.down)
    guard last >= first, last - first < 100 else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  private static func short(_ value: Double) -> String {
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] where value >= unit {
      return significant(value / unit, digits: 3) + name
    }
    return significant(value, digits: 3)
  }

  /// What the picture shows, in a sentence.
  public static func description(_ curves: TrainingCurves) -> String {
    let shown = curves.loss.filter { $0.value.isFinite && $0.step <= curves.mark ?? .max }
    guard let first = shown.first, let last = shown.last else { return "training loss" }
    return "training loss from \(significant(first.value, digits: 3)) to "
      + "\(significant(last.value, digits: 3)) over \(last.step) "
      + (curves.tags.countsSamples ? "sequences" : "iterations")
  }
}
