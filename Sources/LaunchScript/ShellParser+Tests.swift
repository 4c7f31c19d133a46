extension ShellParser {
  static let unary: Set<String> = [
    "-a", "-b", "-c", "-d", "-e", "-f", "-g", "-h", "-k", "-n", "-o", "-p", "-r", "-s", "-t", "-u",
    "-v", "-w", "-x", "-z", "-G", "-L", "-N", "-O", "-R", "-S",
  ]

  /// The expression of `[[`, up to `]]`.
  mutating func testExpression() throws(ShellSyntaxError) -> ShellTest {
    try deeper()
    defer { depth -= 1 }
    var left = try testConjunction()
    var count = 0
    try skipLines()
    while take("||") {
      count += 1
      guard count <= ShellParser.maximumChain else { throw error("a long test", isLimit: true) }
      left = .or(left, try testConjunction())
      try skipLines()
    }
    return left
  }

  mutating func testConjunction() throws(ShellSyntaxError) -> ShellTest {
    var left = try testTerm()
    var count = 0
    try skipLines()
    while take("&&") {
      count += 1
      guard count <= ShellParser.maximumChain else { throw error("a long test", isLimit: true) }
      left = .and(left, try testTerm())
      try skipLines()
    }
    return left
  }

  mutating func testTerm() throws(ShellSyntaxError) -> ShellTest {
    try deeper()
    defer { depth -= 1 }
    try skipLines()
    if reservedWord() == "!" {
      position += 1
      return .not(try testTerm())
    }
    if take("(") {
      let inner = try testExpression()
      try skipLines()
      guard take(")") else { throw unexpected() }
      return inner
    }
    guard let scalar = peek, !ShellParser.isMeta(scalar), !starts("]]") else { throw unexpected() }
    let first = try word(.plain)
    try skipLines()
    if let name = first.plain, ShellParser.unary.contains(name), !starts("]]"), let next = peek,
      !ShellParser.isMeta(next), !starts("= "), !starts("== "), !starts("!= ")
    {
      return .unary(name, try word(.plain))
    }
    let names = [
      "=~", "==", "!=", "=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot",
      "-ef",
    ]
    guard let name = names.first(where: { starts($0) }) else { return .unary("-n", first) }
    position += name.count
    skipBlanks()
    guard let scalar = peek, !ShellParser.isMeta(scalar) || name == "=~" && scalar == "(" else {
      throw unexpected()
    }
    return .binary(first, name, try word(name == "=~" ? .expression : .plain))
  }
}
