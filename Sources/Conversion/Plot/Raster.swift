import ByteIO

/// A picture of pixels with coverage, and a PNG of at most 64 colours.
struct Raster {
  let width: Int
  let height: Int
  private var pixels: [UInt8]
  /// Pixels for each unit of a drawing.
  let scale: Double

  /// A white picture.
  init(width: Double, height: Double, scale: Double) {
    self.scale = scale
    self.width = Int(width * scale)
    self.height = Int(height * scale)
    pixels = [UInt8](repeating: 255, count: self.width * self.height * 3)
  }

  typealias Color = (red: Int, green: Int, blue: Int)
  typealias Frame = (x: ClosedRange<Double>, y: ClosedRange<Double>)

  /// How much of each pixel is covered, in 255ths.
  private struct Mask {
    var left: Int, top: Int, width: Int, height: Int
    var cover: [UInt8]

    init(_ x: ClosedRange<Double>, _ y: ClosedRange<Double>, in raster: Raster) {
      left = max(0, Int(x.lowerBound))
      top = max(0, Int(y.lowerBound))
      width = max(0, min(raster.width, Int(x.upperBound) + 1) - left)
      height = max(0, min(raster.height, Int(y.upperBound) + 1) - top)
      cover = [UInt8](repeating: 0, count: width * height)
    }

    mutating func raise(_ x: Int, _ y: Int, to value: Double) {
      let (column, row) = (x - left, y - top)
      guard column >= 0, column < width, row >= 0, row < height, value > 0 else { return }
      let cover = UInt8(min(255, value * 255))
      if self.cover[row * width + column] < cover { self.cover[row * width + column] = cover }
    }
  }

  private mutating func blend(_ mask: Mask, _ color: Color, opacity: Double) {
    for row in 0..<mask.height {
      for column in 0..<mask.width {
        let cover = mask.cover[row * mask.width + column]
        guard cover > 0 else { continue }
        let share = Double(cover) / 255 * opacity
        let place = ((mask.top + row) * width + mask.left + column) * 3
        for (index, part) in [color.red, color.green, color.blue].enumerated() {
          let old = Double(pixels[place + index])
          pixels[place + index] = UInt8(old + (Double(part) - old) * share + 0.5)
        }
      }
    }
  }

  /// Draws lines from point to point, in the units of the drawing.
  mutating func line(
    _ points: [(x: Double, y: Double)], _ color: Color, width thickness: Double,
    opacity: Double = 1, within frame: Frame? = nil
  ) {
    let scaled = points.map { (x: $0.x * scale, y: $0.y * scale) }
    guard !scaled.isEmpty else { return }
    var mask = mask(within: frame)
    let half = thickness * scale / 2
    for (a, b) in zip(scaled, scaled.dropFirst() + scaled.suffix(scaled.count == 1 ? 1 : 0)) {
      let (dx, dy) = (b.x - a.x, b.y - a.y)
      let length = dx * dx + dy * dy
      let rows = clamped(min(a.y, b.y) - half - 1, max(a.y, b.y) + half + 1, mask.top, mask.height)
      for y in rows {
        let columns = clamped(
          min(a.x, b.x) - half - 1, max(a.x, b.x) + half + 1, mask.left, mask.width)
        for x in columns {
          let (px, py) = (Double(x) + 0.5 - a.x, Double(y) + 0.5 - a.y)
          let t = length > 0 ? min(max((px * dx + py * dy) / length, 0), 1) : 0
          let (ex, ey) = (px - t * dx, py - t * dy)
          let distance = (ex * ex + ey * ey).squareRoot()
          mask.raise(x, y, to: half + 0.5 - distance)
        }
      }
    }
    blend(mask, color, opacity: opacity)
  }

  /// Fills what lies between two heights over columns.
  mutating func band(
    _ edges: [(x: Double, high: Double, low: Double)], _ color: Color, opacity: Double,
    within frame: Frame?
  ) {
    var mask = mask(within: frame)
    for (a, b) in zip(edges, edges.dropFirst()) {
      for x in clamped(a.x * scale, b.x * scale, mask.left, mask.width) {
        let share = b.x > a.x ? ((Double(x) + 0.5) / scale - a.x) / (b.x - a.x) : 0
        let place = min(max(share, 0), 1)
        let top = (a.high + (b.high - a.high) * place) * scale
        let bottom = (a.low + (b.low - a.low) * place) * scale
        for y in clamped(top, bottom, mask.top, mask.height) {
          mask.raise(x, y, to: min(Double(y) + 1, bottom) - max(Double(y), top))
        }
      }
    }
    blend(mask, color, opacity: opacity)
  }

  /// Fills a polygon without holes that is convex.
  mutating func fill(_ corners: [(x: Double, y: Double)], _ color: Color) {
    var mask = mask(within: nil)
    let scaled = corners.map { (x: $0.x * scale, y: $0.y * scale) }
    let (xs, ys) = (scaled.map(\.x), scaled.map(\.y))
    for y in clamped(ys.min() ?? 0, ys.max() ?? 0, mask.top, mask.height) {
      for x in clamped(xs.min() ?? 0, xs.max() ?? 0, mask.left, mask.width) {
        let (px, py) = (Double(x) + 0.5, Double(y) + 0.5)
        let sides = scaled.indices.map { index -> Double in
          let (a, b) = (scaled[index], scaled[(index + 1) % scaled.count])
          return (b.x - a.x) * (py - a.y) - (b.y - a.y) * (px - a.x)
        }
        if sides.allSatisfy({ $0 >= 0 }) || sides.allSatisfy({ $0 <= 0 }) {
          mask.raise(x, y, to: 1)
        }
      }
    }
    blend(mask, color, opacity: 1)
  }

  /// Fills a circle.
  mutating func dot(x: Double, y: Double, radius: Double, _ color: Color) {
    line([(x: x, y: y)], color, width: 2 * radius)
  }

  /// Writes a text so that its left end, its middle or its right end stands at a place; `y` is its
  /// base line.
  mutating func text(
    _ text: String, x: Double, y: Double, anchor: LossPicture.Element.Anchor, size: Int,
    _ color: Color
  ) {
    let glyphs = text.lowercased().map { Glyphs.rows[$0] ?? Glyphs.missing }
    let advance = Double(6 * size)
    let total = advance * Double(glyphs.count)
    let start = x * scale - (anchor == .end ? total : anchor == .middle ? total / 2 : 0)
    let base = y * scale - Double(7 * size)
    var mask = mask(within: nil)
    for (place, rows) in glyphs.enumerated() {
      for (row, bits) in rows.enumerated() {
        for column in 0..<5 where bits >> (4 - column) & 1 == 1 {
          for dy in 0..<size {
            for dx in 0..<size {
              mask.raise(
                Int(start + advance * Double(place)) + column * size + dx,
                Int(base) + row * size + dy, to: 1)
            }
          }
        }
      }
    }
    blend(mask, color, opacity: 1)
  }

  private func mask(within frame: Frame?) -> Mask {
    guard let frame else { return Mask(0...Double(width - 1), 0...Double(height - 1), in: self) }
    return Mask(
      (frame.x.lowerBound * scale)...(frame.x.upperBound * scale - 1),
      (frame.y.lowerBound * scale)...(frame.y.upperBound * scale - 1), in: self)
  }

  private func clamped(_ low: Double, _ high: Double, _ start: Int, _ count: Int) -> Range<Int> {
    let first = max(start, Int(max(low, -1e6).rounded(.down)))
    let last = min(start + count, Int(min(high, 1e6).rounded(.up)) + 1)
    return first..<max(first, last)
  }

  // MARK: - PNG

  /// The picture as PNG with a palette (ISO/IEC 15948): its colours, or those near them.
  var png: [UInt8] {
    var palette: [Int: UInt8] = [:]
    var colors: [[UInt8]] = []
    var rows: [UInt8] = []
    rows.reserveCapacity((width + 1) * height)
    for y in 0..<height {
      rows.append(0)
      for x in 0..<width {
        let place = (y * width + x) * 3
        // Steps of 36: 8 levels of each part, of which few combinations occur.
        let levels = (0..<3).map { (Int(pixels[place + $0]) + 18) / 36 }
        let key = levels[0] << 8 | levels[1] << 4 | levels[2]
        if let index = palette[key] {
          rows.append(index)
        } else if colors.count < 64 {
          palette[key] = UInt8(colors.count)
          rows.append(UInt8(colors.count))
          colors.append((0..<3).map { pixels[place + $0] })
        } else {
          let near = colors.indices.min { a, b in
            distance(colors[a], place) < distance(colors[b], place)
          }
          palette[key] = UInt8(near ?? 0)
          rows.append(UInt8(near ?? 0))
        }
      }
    }
    func number(_ value: Int) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }
    func chunk(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
      let content = Array(name.utf8) + bytes
      return number(bytes.count) + content + number(Int(CRC32.checksum(content)))
    }
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
      + chunk("IHDR", number(width) + number(height) + [8, 3, 0, 0, 0])
      + chunk("PLTE", colors.flatMap { $0 }) + chunk("IDAT", Deflate.zlib(rows))
      + chunk("IEND", [])
  }

  private func distance(_ color: [UInt8], _ place: Int) -> Int {
    (0..<3).reduce(0) { sum, part in
      let difference = Int(color[part]) - Int(pixels[place + part])
      return sum + difference * difference
    }
  }
}

extension LossPicture {
  /// The picture as PNG, twice as large: it shows wherever cards are shown.
  public var png: [UInt8] {
    let text: Raster.Color = (0x33, 0x33, 0x33)
    let blue: Raster.Color = (0x00, 0x72, 0xB2)
    let grey: Raster.Color = (0x88, 0x88, 0x88)
    let frame = LossPicture.frame
    let (top, bottom) = (frame.y.lowerBound, frame.y.upperBound)
    var raster = Raster(width: LossPicture.width, height: LossPicture.height, scale: 2)
    for element in elements {
      switch element {
      case .title(let words):
        raster.text(words, x: frame.x.lowerBound, y: 18, anchor: .start, size: 2, text)
        raster.text(words, x: frame.x.lowerBound + 0.5, y: 18, anchor: .start, size: 2, text)
      case .text(let words, let x, let y, let anchor):
        raster.text(words, x: x, y: y, anchor: anchor, size: 2, text)
      case .level(let y):
        raster.line(
          [(frame.x.lowerBound, y), (frame.x.upperBound, y)], (0xDD, 0xDD, 0xDD), width: 1)
      case .curve(let columns, let isPale, let isClipped):
        let clip: Raster.Frame? = isClipped ? frame : nil
        let opacity = isPale ? 0.3 : 1
        if columns.contains(where: { abs($0.high - $0.low) > 0.5 }) {
          raster.band(
            columns.map { (Double($0.x), $0.high, $0.low) }, blue, opacity: 0.25 * opacity,
            within: clip)
        }
        raster.line(
          columns.map { (Double($0.x), $0.middle) }, blue, width: 1.4, opacity: opacity,
          within: clip)
      case .dot(let x, let y, _):
        raster.dot(x: x, y: y, radius: 2.6, (0xD5, 0x5E, 0x00))
      case .restart(let x):
        for y in stride(from: top, to: bottom, by: 5) {
          raster.line([(x, y), (x, min(y + 2, bottom))], grey, width: 1)
        }
      case .mark(let x): raster.line([(x, top - 4), (x, bottom)], grey, width: 1)
      case .notFinite(let x, _):
        raster.fill([(x - 3, top), (x + 3, top), (x, top + 6)], (0xCC, 0, 0))
      }
    }
    return raster.png
  }
}
