/// Rows of text in columns.
struct TextTable {
  private var rows: [[String]]

  init(_ header: [String] = []) {
    rows = header.isEmpty ? [] : [header]
  }

  /// Adds a row.
  mutating func add(_ cells: String...) {
    rows.append(cells.map(printable))
  }

  /// The lines, each behind `indent`.
  func text(indent: String = "  ") -> String {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      rows.map { $0.indices.contains(column) ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = indent
      for (column, cell) in row.enumerated() {
        line += cell
        if column < row.count - 1 {
          line += String(repeating: " ", count: widths[column] - cell.count + 2)
        }
      }
      return line
    }.joined(separator: "\n") + "\n"
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

/// A number with a fixed number of decimal places.
func decimal(_ value: Double, places: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "?" }
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  let scaled = Int((value * scale).rounded())
  guard places > 0 else { return "\(scaled)" }
  let digits = "\(abs(scaled))"
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  return (scaled < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
}

/// A number with its digits in groups of three.
func grouped(_ value: Int) -> String {
  var digits = "\(abs(value))"
  var groups: [String] = []
  while digits.count > 3 {
    groups.insert(String(digits.suffix(3)), at: 0)
    digits.removeLast(3)
  }
  groups.insert(digits, at: 0)
  return (value < 0 ? "-" : "") + groups.joined(separator: ",")
}

/// A number with the name of what it counts.
func counted(_ count: Int, _ name: String) -> String {
  "\(count) \(name)\(count == 1 ? "" : "s")"
}
