extension ShellParser {
  static let declarations: Set<String> = [
    "export", "declare", "local", "readonly", "typeset",
  ]

  mutating func simple(_ start: Int) throws(ShellSyntaxError) -> ShellNode {
    var (assignments, declared): ([ShellAssignment], [ShellAssignment]) = ([], [])
    var words: [ShellWord] = []
    var redirects: [ShellRedirect] = []
    while true {
      skipBlanks()
      if let redirect = try redirect() {
        redirects.append(redirect)
        continue
      }
      guard let scalar = peek else { break }
      let isDeclaration = words.first?.plain.map(ShellParser.declarations.contains) == true
      if words.isEmpty || isDeclaration, let assignment = try assignment() {
        if isDeclaration { declared.append(assignment) } else { assignments.append(assignment) }
        continue
      }
      if ShellParser.isMeta(scalar), !starts("<("), !starts(">(") { break }
      words.append(try word(.plain))
    }
    if peek == "(" { throw unexpected() }
    guard !words.isEmpty || !assignments.isEmpty || !redirects.isEmpty else { throw unexpected() }
    let isDeclaration = words.first?.plain.map(ShellParser.declarations.contains) == true
    let command: ShellCommand =
      isDeclaration
      ? .declaration(words: words, assignments: declared)
      : .simple(assignments: assignments, words: words)
    return ShellNode(command: command, line: start, redirects: redirects)
  }

  /// An assignment, if one begins here.
  mutating func assignment() throws(ShellSyntaxError) -> ShellAssignment? {
    let (before, beforeLine) = (position, line)
    guard ShellParser.isNameStart(peek) else { return nil }
    while ShellParser.isName(peek) { position += 1 }
    var result = ShellAssignment(name: slice(before..<position), elements: [])
    if take("[") {
      result.index = try word(.bracket)
      guard take("]") else {
        (position, line) = (before, beforeLine)
        return nil
      }
    }
    result.appends = starts("+=")
    guard take("+=") || take("=") else {
      (position, line) = (before, beforeLine)
      return nil
    }
    guard take("(") else {
      let value = peek.map { ShellParser.isMeta($0) && !starts("<(") && !starts(">(") } ?? true
      result.elements = [.init(word: value ? ShellWord() : try word(.plain))]
      return result
    }
    result.isArray = true
    while true {
      try skipLines()
      if take(")") { return result }
      var element = ShellAssignment.Element(word: ShellWord())
      let (start, startLine) = (position, line)
      if take("[") {
        element.index = try word(.bracket)
        if !take("]=") {
          element.index = nil
          (position, line) = (start, startLine)
        }
      }
      guard let scalar = peek else { throw unexpected() }
      if !ShellParser.isMeta(scalar) {
        element.word = try word(.plain)
      } else if element.index == nil {
        throw unexpected()
      }
      result.elements.append(element)
    }
  }

  /// A redirection, if one begins here.
  mutating func redirect() throws(ShellSyntaxError) -> ShellRedirect? {
    skipBlanks()
    var end = position
    while end < text.count, ("0"..."9").contains(text[end]) { end += 1 }
    if peek == "{" {
      // `{NAME}>file` puts a number of its own into the variable.
      var place = position + 1
      while place < text.count, ShellParser.isName(text[place]) { place += 1 }
      if place + 1 < text.count, place > position + 1, text[place] == "}",
        text[place + 1] == "<" || text[place + 1] == ">"
      {
        end = place + 1
      }
    }
    guard end < text.count, text[end] == "<" || text[end] == ">" || starts("&>") else { return nil }
    if !starts("&>") { position = end }
    if starts("<(") || starts(">(") { return nil }
    let kinds = ["&>>", "&>", "<<<", "<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">"]
    guard let kind = kinds.first(where: starts) else { return nil }
    position += kind.count
    skipBlanks()
    guard let scalar = peek, !ShellParser.isMeta(scalar) || starts("<(") || starts(">(") else {
      throw unexpected()
    }
    if kind == "<<" || kind == "<<-" {
      let start = position
      let delimiter = try word(.plain)
      let isQuoted = slice(start..<position).unicodeScalars.contains {
        "'\"\\".unicodeScalars.contains($0)
      }
      let plain = delimiter.parts.map { part in
        switch part {
        case .plain(let text), .quoted(let text): text
        case .parameter(let parameter, _): parameter.source
        default: ""
        }
      }
      pending.append((plain.joined(), isQuoted, kind == "<<-", documents.count))
      documents.append(ShellWord())
      // The text comes later; until then its number stands for it.
      return ShellRedirect(kind: "<<", word: ShellWord(parts: [.plain("\(documents.count - 1)")]))
    }
    return ShellRedirect(kind: kind, word: try word(.plain))
  }
}
