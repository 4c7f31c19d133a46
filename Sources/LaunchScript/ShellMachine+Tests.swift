extension ShellMachine {
  /// Whether the expression of `[[ ]]` is true; `nil` if that is not known.
  func evaluate(_ test: ShellTest, _ state: inout ShellState) throws -> Bool? {
    switch test {
    case .not(let inner): return try evaluate(inner, &state).map { !$0 }
    case .and(let a, let b):
      let first = try evaluate(a, &state)
      if first == false { return false }
      let second = try evaluate(b, &state)
      return second == false ? false : first == nil || second == nil ? nil : true
    case .or(let a, let b):
      let first = try evaluate(a, &state)
      if first == true { return true }
      let second = try evaluate(b, &state)
      return second == true ? true : first == nil || second == nil ? nil : false
    case .unary(let name, let word):
      if name == "-v" { return isSet(word.plain ?? "", &state) }
      let field = try joined(word, &state)
      state.assumptions.formUnion(field.assumptions)
      return ShellMachine.unary(name, field.text)
    case .binary(let left, let name, let right):
      let field = try joined(left, &state)
      state.assumptions.formUnion(field.assumptions)
      if ["=", "==", "!="].contains(name) {
        guard !field.text.hasUnknown, let pattern = try pattern(right, &state) else { return nil }
        return pattern.matches(Array(field.text.unicodeScalars)[...]) == (name != "!=")
      }
      let other = try joined(right, &state)
      state.assumptions.formUnion(other.assumptions)
      return binary(field.text, name, other.text, &state, computes: true)
    }
  }

  private func isSet(_ name: String, _ state: inout ShellState) -> Bool? {
    guard let variable = state.variables[name] else { return nil }
    switch variable.content {
    case .none: return false
    case .scalar: return true
    case .open, .list, .map: return nil
    }
  }

  /// The status of `test` and `[`, whose words are expanded already.
  func evaluate(_ words: [ShellField], _ state: inout ShellState) -> Bool? {
    for word in words { state.assumptions.formUnion(word.assumptions) }
    // An unquoted value that is not known may be several words, or none.
    guard !words.contains(where: { $0.isOpen && !$0.isQuoted }) else { return nil }
    var position = 0
    let texts = words.map(\.text)
    let result = disjunction(texts, &position, &state, 0)
    return position == texts.count ? result : nil
  }

  private func disjunction(
    _ words: [String], _ position: inout Int, _ state: inout ShellState, _ depth: Int
  ) -> Bool? {
    var result = conjunction(words, &position, &state, depth)
    while position < words.count, words[position] == "-o" {
      position += 1
      let next = conjunction(words, &position, &state, depth)
      result = result == true || next == true ? true : result == nil || next == nil ? nil : false
    }
    return result
  }

  private func conjunction(
    _ words: [String], _ position: inout Int, _ state: inout ShellState, _ depth: Int
  ) -> Bool? {
    var result = term(words, &position, &state, depth)
    while position < words.count, words[position] == "-a" {
      position += 1
      let next = term(words, &position, &state, depth)
      result = result == false || next == false ? false : result == nil || next == nil ? nil : true
    }
    return result
  }

  private static let comparisons: Set<String> = [
    "=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef",
  ]

  private func term(
    _ words: [String], _ position: inout Int, _ state: inout ShellState, _ depth: Int
  ) -> Bool? {
    guard position < words.count, depth < 64 else { return words.isEmpty ? false : nil }
    if position + 2 < words.count + 0, ShellMachine.comparisons.contains(words[position + 1]) {
      defer { position += 3 }
      return binary(
        words[position], words[position + 1], words[position + 2], &state, computes: false)
    }
    if words[position] == "!", position + 1 < words.count {
      position += 1
      return term(words, &position, &state, depth + 1).map { !$0 }
    }
    if words[position] == "(" {
      position += 1
      let result = disjunction(words, &position, &state, depth + 1)
      guard position < words.count, words[position] == ")" else { return nil }
      position += 1
      return result
    }
    let word = words[position]
    if word.count == 2, word.hasPrefix("-"), position + 1 < words.count,
      !["-a", "-o"].contains(words[position + 1])
    {
      position += 2
      return word == "-v"
        ? isSet(words[position - 1], &state) : ShellMachine.unary(word, words[position - 1])
    }
    position += 1
    return ShellMachine.unary("-n", word)
  }

  private static func unary(_ name: String, _ text: String) -> Bool? {
    switch name {
    // A text is not empty if any of it is known.
    case "-n", "-z":
      guard !text.isUnknown else { return nil }
      return text.isEmpty == (name == "-z")
    // What files there are is not looked at.
    default: return nil
    }
  }

  private func binary(
    _ a: String, _ name: String, _ b: String, _ state: inout ShellState, computes: Bool
  ) -> Bool? {
    guard !a.hasUnknown, !b.hasUnknown else { return nil }
    switch name {
    case "=", "==": return a == b
    case "!=": return a != b
    case "-eq", "-ne", "-lt", "-le", "-gt", "-ge":
      guard let first = number(a, &state, computes), let second = number(b, &state, computes)
      else { return nil }
      switch name {
      case "-eq": return first == second
      case "-ne": return first != second
      case "-lt": return first < second
      case "-le": return first <= second
      case "-gt": return first > second
      default: return first >= second
      }
    default: return nil
    }
  }

  private func number(_ text: String, _ state: inout ShellState, _ computes: Bool) -> Int? {
    guard computes else {
      let trimmed = text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace)
      return Int(String(trimmed.reversed()))
    }
    var assumed: Set<String> = []
    defer { state.assumptions.formUnion(assumed) }
    return try? compute(text, &state, &assumed).get()
  }
}
