import ByteIO
import Diagnostics

/// Rows of text in columns. On a terminal they fit its width: columns that matter least are left
/// out, the last cell wraps at words; in a pipe lines are whole.
struct TextTable {
  private var rows: [[String]]
  private let hasHeader: Bool
  /// Columns in the order in which they are left out where there is no room.
  private let optional: [Int]

  init(_ header: [String] = [], optional: [Int] = []) {
    rows = header.isEmpty ? [] : [header]
    hasHeader = !header.isEmpty
    self.optional = optional
  }

  /// Whether there is no row but the header.
  var isEmpty: Bool { rows.count <= (hasHeader ? 1 : 0) }

  /// Adds a row.
  mutating func add(_ cells: String...) { add(cells) }

  /// Adds a row.
  mutating func add(_ cells: [String]) {
    rows.append(cells.map(printable))
  }

  /// The lines, each after `indent`.
  ///
  /// - Parameters:
  ///   - indent: What each line begins with.
  ///   - width: The width of the terminal; `nil` for lines as long as they are.
  /// - Returns: The lines.
  func text(indent: String = "  ", width: Int? = Process.Stream.output.columns) -> String {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      rows.map { $0.indices.contains(column) ? $0[column].count : 0 }.max() ?? 0
    }
    var shown = Array(0..<count)
    func total() -> Int {
      indent.count + shown.reduce(0) { $0 + widths[$1] } + 2 * max(shown.count - 1, 0)
    }
    if let width {
      for column in optional where total() > width { shown.removeAll { $0 == column } }
    }
    // Names are told apart by their ends.
    var limits = widths
    if let width, hasHeader, total() > width,
      let widest = shown.max(by: { widths[$0] < widths[$1] })
    {
      limits[widest] = max(12, widths[widest] - (total() - width))
    }
    let lines = rows.map { row in
      let cells = shown.map { row.indices.contains($0) ? $0 : nil }
      var line = indent
      for (position, column) in cells.enumerated() {
        guard let column else { continue }
        let cell = TextTable.shortened(row[column], to: limits[column])
        line += cell
        if column != row.count - 1, position < cells.count - 1 {
          line += String(repeating: " ", count: max(0, limits[column] - cell.count) + 2)
        }
      }
      while line.last == " " { line.removeLast() }
      guard let width, !hasHeader, line.count > width, let last = row.last, row.count > 1 else {
        return line
      }
      let start = indent.count + widths.dropLast(count - row.count + 1).reduce(0) { $0 + $1 + 2 }
      return TextTable.wrapped(String(line.prefix(start)), last, width)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// A cell whose middle gives way.
  private static func shortened(_ cell: String, to limit: Int) -> String {
    guard cell.count > limit, limit > 3 else { return cell }
    let tail = (limit - 1) * 2 / 3
    return cell.prefix(limit - 1 - tail) + "…" + cell.suffix(tail)
  }

  /// A cell in lines of words, below each other after what precedes it.
  private static func wrapped(_ front: String, _ cell: String, _ width: Int) -> String {
    let room = max(20, width - front.count)
    var lines: [String] = [""]
    for word in cell.split(separator: " ", omittingEmptySubsequences: false) {
      let last = lines[lines.count - 1]
      if last.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if last.count + 1 + word.count <= room {
        lines[lines.count - 1] = "\(last) \(word)"
      } else {
        lines.append(String(word))
      }
    }
    let indent = String(repeating: " ", count: front.count)
    return lines.enumerated().map { ($0.offset == 0 ? front : indent) + $0.element }
      .joined(separator: "\n")
  }
}

extension String {
  /// Whether all of it is ASCII that can be shown as it is, as nearly all names are.
  var isPlain: Bool { utf8.allSatisfy { (0x20..<0x7F).contains($0) } }
}

/// A text of a length that a line can bear, without characters that steer a terminal: names come
/// from files.
func printable(_ text: String) -> String {
  if text.utf8.count <= 300, text.isPlain { return text }
  var scalars = String.UnicodeScalarView(text.unicodeScalars.prefix(300))
  if scalars.count < text.unicodeScalars.count { scalars.append("…") }
  return String(
    String.UnicodeScalarView(
      scalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
}

/// A shape as people write it.
func shapeText(_ shape: [Int]) -> String {
  "[\(shape.map(String.init).joined(separator: ", "))]"
}

/// A number of bytes with a unit that fits.
func byteText(_ bytes: Int) -> String {
  let units = ["B", "kB", "MB", "GB", "TB"]
  var value = Double(bytes)
  var unit = 0
  while value >= 999.5, unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  return unit == 0 ? "\(bytes) B" : "\(decimal(value, places: value < 10 ? 2 : 1)) \(units[unit])"
}

/// A count with a unit that fits: 68.5 k, 1.32 B.
func countText(_ count: Int) -> String {
  let units = [("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)]
  guard let (name, unit) = units.first(where: { Double(count) >= $0.1 * 0.9995 }) else {
    return "\(count)"
  }
  let value = Double(count) / unit
  return "\(decimal(value, places: value < 10 ? 2 : 1)) \(name)"
}
