extension ShellParser {
  mutating func command() throws(ShellSyntaxError) -> ShellNode {
    try deeper()
    defer { depth -= 1 }
    skipBlanks()
    let start = line
    var node: ShellNode
    if starts("(("), let expression = try arithmeticCommand() {
      node = ShellNode(command: .arithmetic(expression), line: start)
    } else if take("(") {
      let body = try list { _ in false }
      guard !body.isEmpty, take(")") else { throw unexpected() }
      node = ShellNode(command: .subshell(body), line: start)
    } else if let compound = try compound(reservedWord()) {
      node = ShellNode(command: compound, line: start)
    } else {
      return try simple(start)
    }
    while let redirect = try redirect() { node.redirects.append(redirect) }
    return node
  }

  mutating func compound(_ word: String?) throws(ShellSyntaxError) -> ShellCommand? {
    switch word {
    case "{":
      position += 1
      let body = try list { $0 == "}" }
      guard !body.isEmpty else { throw unexpected() }
      try expect("}")
      return .group(body)
    case "if": return try condition()
    case "while", "until":
      position += 5
      let test = try list { $0 == "do" }
      guard !test.isEmpty else { throw unexpected() }
      return .whileLoop(test: test, body: try loopBody(), isUntil: word == "until")
    case "for", "select": return try loop(word == "select")
    case "case": return try choice()
    case "[[":
      position += 2
      let test = try testExpression()
      try skipLines()
      guard take("]]") else { throw unexpected() }
      return .test(test)
    case "function":
      position += 8
      skipBlanks()
      let name = functionName()
      skipBlanks()
      if take("(") {
        skipBlanks()
        guard take(")") else { throw unexpected() }
      }
      try skipLines()
      guard !name.isEmpty else { throw unexpected() }
      return .function(name: name, body: try functionBody())
    case "then", "do", "done", "fi", "else", "elif", "esac", "}": throw unexpectedWord(word ?? "")
    default:
      // NAME ( ) command
      let (before, beforeLine) = (position, line)
      let name = functionName()
      skipBlanks()
      if !name.isEmpty, take("(") {
        skipBlanks()
        guard take(")") else { throw unexpected() }
        try skipLines()
        return .function(name: name, body: try functionBody())
      }
      (position, line) = (before, beforeLine)
      return nil
    }
  }

  /// A command that is no simple one.
  mutating func functionBody() throws(ShellSyntaxError) -> ShellNode {
    let body = try command()
    guard body.isCompound else { throw error("the body of a function was expected") }
    return body
  }

  func unexpectedWord(_ word: String) -> ShellSyntaxError {
    error("\"\(word)\" is not expected")
  }

  mutating func functionName() -> String {
    let start = position
    while let scalar = peek, !ShellParser.isMeta(scalar),
      !"$`'\"\\=".unicodeScalars.contains(scalar)
    { position += 1 }
    return slice(start..<position)
  }

  mutating func condition() throws(ShellSyntaxError) -> ShellCommand {
    var arms: [ShellCommand.Arm] = []
    var otherwise: [ShellNode] = []
    position += 2
    while true {
      let test = try list { $0 == "then" }
      try expect("then")
      let body = try list { ["elif", "else", "fi"].contains($0) }
      guard !test.isEmpty, !body.isEmpty else { throw unexpected() }
      arms.append(ShellCommand.Arm(test: test, body: body))
      try checkChain(arms.count)
      if reservedWord() == "elif" {
        position += 4
        continue
      }
      if reservedWord() == "else" {
        position += 4
        otherwise = try list { $0 == "fi" }
        guard !otherwise.isEmpty else { throw unexpected() }
      }
      try expect("fi")
      return .condition(arms, otherwise: otherwise)
    }
  }

  mutating func loopBody() throws(ShellSyntaxError) -> [ShellNode] {
    try skipLines()
    let isBraced = reservedWord() == "{"
    try expect(isBraced ? "{" : "do")
    let body = try list { $0 == (isBraced ? "}" : "done") }
    guard !body.isEmpty else { throw unexpected() }
    try expect(isBraced ? "}" : "done")
    return body
  }

  mutating func loop(_ isSelect: Bool) throws(ShellSyntaxError) -> ShellCommand {
    position += isSelect ? 6 : 3
    skipBlanks()
    if starts("(("), let header = try arithmeticCommand() {
      skipBlanks()
      if peek == ";" { position += 1 }
      let parts = header.split(at: ";")
      guard parts.count == 3 else { throw error("for (( )) takes three expressions") }
      return .countingLoop(
        start: parts[0], test: parts[1], step: parts[2], body: try loopBody())
    }
    let start = position
    while ShellParser.isName(peek) { position += 1 }
    let name = slice(start..<position)
    guard !name.isEmpty else { throw unexpected() }
    try skipLines()
    var words: [ShellWord]?
    if reservedWord() == "in" {
      position += 2
      var found: [ShellWord] = []
      while true {
        skipBlanks()
        guard let scalar = peek, scalar != ";", scalar != "\n" else { break }
        guard !ShellParser.isMeta(scalar) || starts("<(") || starts(">(") else {
          throw unexpected()
        }
        found.append(try word(.plain))
      }
      words = found
    }
    skipBlanks()
    if peek == ";" { position += 1 }
    let body = try loopBody()
    return isSelect
      ? .openLoop(name: name, body: body) : .loop(name: name, words: words, body: body)
  }

  mutating func choice() throws(ShellSyntaxError) -> ShellCommand {
    position += 4
    skipBlanks()
    let subject = try word(.plain)
    try expect("in")
    var cases: [ShellCommand.Case] = []
    while true {
      try skipLines()
      if reservedWord() == "esac" {
        position += 4
        return .choice(subject, cases)
      }
      _ = take("(")
      var patterns: [ShellWord] = []
      repeat {
        skipBlanks()
        guard let scalar = peek, !ShellParser.isMeta(scalar) else { throw unexpected() }
        patterns.append(try word(.plain))
        skipBlanks()
      } while take("|")
      guard take(")") else { throw unexpected() }
      let body = try list { $0 == "esac" }
      var end = ShellCommand.Case.End.closed
      if starts(";;&") {
        position += 3
        end = .goesOn
      } else if starts(";;") {
        position += 2
      } else if starts(";&") {
        position += 2
        end = .falls
      } else if reservedWord() != "esac" {
        throw unexpected()
      }
      try checkChain(cases.count)
      cases.append(ShellCommand.Case(patterns: patterns, body: body, end: end))
    }
  }
}
