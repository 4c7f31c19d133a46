/// A pattern of the shell: `*`, `?`, `[...]`, and characters that stand for themselves.
struct ShellPattern {
  private enum Item {
    case one(Unicode.Scalar)
    case any, many
    case set([ClosedRange<UInt32>], isNegated: Bool)
  }

  private var items: [Item] = []

  /// A pattern of pieces that are quoted, and so stand for themselves, or not.
  ///
  /// - Returns: `nil` for forms that are not read: extended patterns and classes of characters.
  init?(_ pieces: [(text: String, isQuoted: Bool)]) {
    for (text, isQuoted) in pieces {
      let scalars = Array(text.unicodeScalars)
      var index = 0
      while index < scalars.count {
        let scalar = scalars[index]
        index += 1
        guard !isQuoted else {
          items.append(.one(scalar))
          continue
        }
        if "?*+@!".unicodeScalars.contains(scalar), index < scalars.count, scalars[index] == "(" {
          return nil
        }
        switch scalar {
        case "*": items.append(.many)
        case "?": items.append(.any)
        case "[":
          guard let set = ShellPattern.set(scalars, &index) else {
            items.append(.one(scalar))
            continue
          }
          guard let set else { return nil }
          items.append(set)
        default: items.append(.one(scalar))
        }
      }
    }
  }

  /// The set after a bracket; `nil` if it is none, `.some(nil)` if it is one that is not read.
  private static func set(_ scalars: [Unicode.Scalar], _ index: inout Int) -> Item?? {
    var place = index
    let isNegated = place < scalars.count && (scalars[place] == "!" || scalars[place] == "^")
    if isNegated { place += 1 }
    var ranges: [ClosedRange<UInt32>] = []
    let first = place
    while place < scalars.count {
      let scalar = scalars[place]
      if scalar == "]", place > first {
        index = place + 1
        return .some(.set(ranges, isNegated: isNegated))
      }
      if scalar == "[", place + 1 < scalars.count, ":.=".unicodeScalars.contains(scalars[place + 1])
      {
        return .some(nil)
      }
      if place + 2 < scalars.count, scalars[place + 1] == "-", scalars[place + 2] != "]" {
        let last = scalars[place + 2]
        if scalar.value <= last.value { ranges.append(scalar.value...last.value) }
        place += 3
      } else {
        ranges.append(scalar.value...scalar.value)
        place += 1
      }
    }
    return nil
  }

  /// Whether the whole text fits; time grows with the product of the lengths.
  func matches(_ text: ArraySlice<Unicode.Scalar>) -> Bool {
    var reached = [Bool](repeating: false, count: items.count + 1)
    reached[0] = true
    for (place, item) in items.enumerated() where reached[place] {
      if case .many = item { reached[place + 1] = true }
    }
    for scalar in text {
      var next = [Bool](repeating: false, count: items.count + 1)
      for (place, item) in items.enumerated() where reached[place] {
        switch item {
        case .many: next[place] = true
        case .any: next[place + 1] = true
        case .one(let wanted): if scalar == wanted { next[place + 1] = true }
        case .set(let ranges, let isNegated):
          if ranges.contains(where: { $0.contains(scalar.value) }) != isNegated {
            next[place + 1] = true
          }
        }
      }
      for (place, item) in items.enumerated() where next[place] {
        if case .many = item { next[place + 1] = true }
      }
      reached = next
    }
    return reached[items.count]
  }
}
