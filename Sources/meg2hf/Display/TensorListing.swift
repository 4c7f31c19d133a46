import Conversion

/// A tensor in a list, whatever it comes from.
struct ListedTensor {
  let name: String
  let dtype: String
  let shape: [Int]?
  let byteCount: Int
  /// What is in the columns besides name, type and shape, by their names.
  var cells: [String: String] = [:]

  /// What is shown in a column.
  func text(_ column: TensorColumn) -> String {
    switch column {
    case .dtype: dtype
    case .shape: shape.map(shapeText) ?? "-"
    case .bytes: byteText(byteCount)
    default: cells[column.rawValue] ?? "-"
    }
  }
}

/// How a list of tensors is filtered, sorted and folded.
struct TensorListing {
  /// `*`, `?` and `[...]` as in a shell; `nil` for all.
  let pattern: String?
  let order: TensorOrder
  /// Whether layers that are alike are shown one by one.
  let isUnfolded: Bool

  /// The rows to show.
  func apply(_ tensors: [ListedTensor]) -> [ListedTensor] {
    var rows =
      pattern.map { pattern in tensors.filter { Glob.matches($0.name, pattern) } } ?? tensors
    switch order {
    case .file: break
    case .name: rows.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    case .size: rows = stablySorted(rows) { $0.byteCount > $1.byteCount }
    }
    return isUnfolded || order != .file ? rows : folded(rows)
  }

  private func stablySorted(
    _ rows: [ListedTensor], _ precedes: (ListedTensor, ListedTensor) -> Bool
  ) -> [ListedTensor] {
    rows.enumerated().sorted {
      precedes($0.element, $1.element)
        || !precedes($1.element, $0.element) && $0.offset < $1.offset
    }.map(\.element)
  }

  private struct Layer {
    let front: Substring
    var numbers: ClosedRange<Int>
    var rows: [ListedTensor]
  }

  /// Layers that follow each other and are alike, as one: `layers.0-23.input_layernorm.weight`.
  private func folded(_ rows: [ListedTensor]) -> [ListedTensor] {
    // Runs of rows of one layer; other rows have no layer.
    var runs: [(layer: Layer?, row: ListedTensor?)] = []
    for row in rows {
      guard let (front, number, _) = TensorListing.layer(of: row.name) else {
        runs.append((nil, row))
        continue
      }
      if let open = runs.last?.layer, open.front == front, open.numbers == number...number {
        runs[runs.count - 1].layer?.rows.append(row)
      } else {
        runs.append((Layer(front: front, numbers: number...number, rows: [row]), nil))
      }
    }
    var merged: [(layer: Layer?, row: ListedTensor?)] = []
    for run in runs {
      if let layer = run.layer, let before = merged.last?.layer, before.front == layer.front,
        layer.numbers.lowerBound == before.numbers.upperBound + 1, alike(layer, before)
      {
        merged[merged.count - 1].layer?.numbers =
          before.numbers.lowerBound...layer.numbers.upperBound
      } else {
        merged.append(run)
      }
    }
    return merged.flatMap { run in
      guard let layer = run.layer else { return run.row.map { [$0] } ?? [] }
      let numbers = layer.numbers
      guard numbers.count > 1 else { return layer.rows }
      let text = "\(numbers.lowerBound)-\(numbers.upperBound)"
      return layer.rows.map { row in
        ListedTensor(
          name: renumbered(row.name, text), dtype: row.dtype, shape: row.shape,
          byteCount: row.byteCount * numbers.count,
          cells: row.cells.mapValues { renumbered($0, text) })
      }
    }
  }

  private func alike(_ a: Layer, _ b: Layer) -> Bool {
    a.rows.count == b.rows.count
      && zip(a.rows, b.rows).allSatisfy { one, two in
        one.dtype == two.dtype && one.shape == two.shape
          && renumbered(one.name, "*") == renumbered(two.name, "*")
          && one.cells.allSatisfy { key, value in
            two.cells[key].map { renumbered(value, "*") == renumbered($0, "*") } == true
          }
      }
  }

  /// The number of the layer in a name, and what stands before it.
  private static func layer(of name: String) -> (front: Substring, number: Int, rest: Substring)? {
    let utf8 = name.utf8
    var start = utf8.startIndex
    while let dot = utf8[start...].firstIndex(of: UInt8(ascii: ".")) {
      let next = utf8.index(after: dot)
      let word = utf8[start..<dot]
      if word.elementsEqual("layers".utf8) || word.elementsEqual("h".utf8) {
        let digits = utf8[next...].prefix { $0 != UInt8(ascii: ".") }
        if digits.count < 8, let number = Int(name[digits.startIndex..<digits.endIndex]) {
          return (name[..<dot], number, name[digits.endIndex...])
        }
      }
      start = next
    }
    return nil
  }

  /// A name with another number of its layer.
  private func renumbered(_ name: String, _ number: String) -> String {
    guard let (front, _, rest) = TensorListing.layer(of: name) else { return name }
    return "\(front).\(number)\(rest)"
  }
}

/// Names that fit a pattern of a shell.
enum Glob {
  static func matches(_ name: String, _ pattern: String) -> Bool {
    matches(Array(name.unicodeScalars)[...], Array(pattern.unicodeScalars)[...])
  }

  private static func matches(
    _ name: ArraySlice<Unicode.Scalar>, _ pattern: ArraySlice<Unicode.Scalar>
  ) -> Bool {
    var (name, pattern) = (name, pattern)
    // Where to go on after the last star, which takes one more each time.
    var star: (pattern: ArraySlice<Unicode.Scalar>, name: ArraySlice<Unicode.Scalar>)?
    while true {
      if let first = pattern.first {
        if first == "*" {
          pattern = pattern.dropFirst()
          star = (pattern, name)
          continue
        }
        if let (isIn, rest) = name.first.flatMap({ one($0, pattern) }), isIn {
          name = name.dropFirst()
          pattern = rest
          continue
        }
      } else if name.isEmpty {
        return true
      }
      guard let last = star, !last.name.isEmpty else { return false }
      name = last.name.dropFirst()
      pattern = last.pattern
      star = (last.pattern, name)
    }
  }

  /// Whether a character fits the beginning of a pattern, and the rest of that.
  private static func one(
    _ character: Unicode.Scalar, _ pattern: ArraySlice<Unicode.Scalar>
  ) -> (Bool, ArraySlice<Unicode.Scalar>)? {
    guard let first = pattern.first else { return nil }
    guard first == "[", let end = pattern.dropFirst().firstIndex(of: "]") else {
      return (first == "?" || first == character, pattern.dropFirst())
    }
    var set = pattern[pattern.startIndex + 1..<end]
    let isNegated = set.first == "!" || set.first == "^"
    if isNegated { set = set.dropFirst() }
    var isIn = false
    while let low = set.popFirst() {
      if set.first == "-", set.count > 1 {
        set.removeFirst()
        if let high = set.popFirst(), low.value <= character.value, character.value <= high.value {
          isIn = true
        }
      } else if low == character {
        isIn = true
      }
    }
    return (isIn != isNegated, pattern[(end + 1)...])
  }
}
