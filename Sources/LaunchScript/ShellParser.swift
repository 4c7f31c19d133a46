/// Turns the text of a script into commands, as bash does it, and runs nothing.
///
/// Bash has no separate lexer either: what a character means hangs on where it stands. So this is
/// one recursive descent over scalars (bash `parse.y`).
struct ShellParser {
  let text: [Unicode.Scalar]
  var position = 0
  var line: Int
  var depth = 0
  /// Here-documents whose text begins after the next line feed.
  private var pending: [(delimiter: String, isQuoted: Bool, stripsTabs: Bool, slot: Int)] = []
  /// The texts of the here-documents that were met, after those of earlier parses.
  private(set) var documents: [ShellWord]

  static let maximumDepth = 256
  /// More commands, clauses or operators in a row than this are taken as nested too deep.
  static let maximumChain = 500
  /// Where two parentheses turned out to begin no arithmetic.
  var commandStarts: Set<Int> = []

  init(_ text: String, line: Int, depth: Int = 0, documents: [ShellWord] = []) {
    self.text = Array(text.unicodeScalars)
    self.documents = documents
    self.line = line
    self.depth = depth
  }

  /// The commands of a whole text.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - line: The number of its first line.
  ///   - documents: Here-documents, to which those of the text are added.
  /// - Returns: The commands; their redirections `<<` hold numbers of here-documents.
  /// - Throws: ``ShellSyntaxError`` for what bash would not accept.
  static func parse(
    _ text: String, line: Int = 1, documents: inout [ShellWord]
  ) throws(ShellSyntaxError) -> [ShellNode] {
    var parser = ShellParser(text, line: line, documents: documents)
    let nodes = try parser.list { _ in false }
    guard parser.peek == nil else { throw parser.unexpected() }
    documents = parser.documents
    return nodes
  }

  // MARK: - Characters

  var peek: Unicode.Scalar? { position < text.count ? text[position] : nil }

  func peek(_ offset: Int) -> Unicode.Scalar? {
    position + offset < text.count ? text[position + offset] : nil
  }

  func starts(_ prefix: String) -> Bool {
    var index = position
    for scalar in prefix.unicodeScalars {
      guard index < text.count, text[index] == scalar else { return false }
      index += 1
    }
    return true
  }

  mutating func take(_ prefix: String) -> Bool {
    guard starts(prefix) else { return false }
    for _ in prefix.unicodeScalars { advance() }
    return true
  }

  mutating func advance() {
    if peek == "\n" { line += 1 }
    position += 1
  }

  func slice(_ range: Range<Int>) -> String {
    var result = String.UnicodeScalarView()
    result.append(contentsOf: text[range])
    return String(result)
  }

  func error(_ message: String, isLimit: Bool = false) -> ShellSyntaxError {
    ShellSyntaxError(
      line: line, message: message + (isLimit ? "" : "; bash would not accept it"))
  }

  func unexpected() -> ShellSyntaxError {
    guard let scalar = peek else { return error("the script ends where more was expected") }
    return error(
      "\"\(scalar == "\n" ? "end of line" : String(Character(scalar)))\" is not expected")
  }

  mutating func deeper() throws(ShellSyntaxError) {
    depth += 1
    guard depth <= ShellParser.maximumDepth else {
      throw error("commands are nested more than \(ShellParser.maximumDepth) deep", isLimit: true)
    }
  }

  static func isBlank(_ scalar: Unicode.Scalar?) -> Bool { scalar == " " || scalar == "\t" }
  static func isMeta(_ scalar: Unicode.Scalar) -> Bool {
    " \t\n;&|<>()".unicodeScalars.contains(scalar)
  }
  static func isNameStart(_ scalar: Unicode.Scalar?) -> Bool {
    guard let scalar else { return false }
    return scalar == "_" || scalar.isASCII && scalar.properties.isAlphabetic
  }
  static func isName(_ scalar: Unicode.Scalar?) -> Bool {
    isNameStart(scalar) || scalar.map { ("0"..."9").contains($0) } == true
  }

  /// Skips blanks, continued lines, and a comment.
  mutating func skipBlanks() {
    while let scalar = peek {
      if ShellParser.isBlank(scalar) {
        position += 1
      } else if starts("\\\n") {
        position += 2
        line += 1
      } else if scalar == "#" {
        while let next = peek, next != "\n" { position += 1; _ = next }
      } else {
        return
      }
    }
  }

  mutating func skipLines() throws(ShellSyntaxError) {
    skipBlanks()
    while peek == "\n" {
      try endLine()
      skipBlanks()
    }
  }

  /// Goes over a line feed and reads the here-documents that begin there.
  private mutating func endLine() throws(ShellSyntaxError) {
    advance()
    let waiting = pending
    pending = []
    for item in waiting {
      var body = ""
      var isJoined = false
      let start = line
      while position < text.count {
        var end = position
        while end < text.count, text[end] != "\n" { end += 1 }
        var content = slice(position..<end)
        position = min(end + 1, text.count)
        line += 1
        if item.stripsTabs { content = String(content.drop { $0 == "\t" }) }
        if content == item.delimiter, !isJoined { break }
        // A line that goes on takes the next one with it, even if that is the last word.
        isJoined =
          !item.isQuoted && !content.reversed().prefix { $0 == "\\" }.count.isMultiple(of: 2)
        body += content + "\n"
      }
      if item.isQuoted {
        documents[item.slot] = ShellWord(parts: [.quoted(body)])
      } else {
        var parser = ShellParser(body, line: start, depth: depth)
        documents[item.slot] = try parser.word(.document)
      }
    }
  }

  // MARK: - Lists

  /// Commands up to a reserved word or character that ends them.
  mutating func list(until isEnd: (String) -> Bool) throws(ShellSyntaxError) -> [ShellNode] {
    var nodes: [ShellNode] = []
    while true {
      try skipLines()
      guard let scalar = peek, scalar != ")", !starts(";;"), !starts(";&") else { return nodes }
      if let word = reservedWord(), isEnd(word) { return nodes }
      var node = try andOr()
      skipBlanks()
      if take("&") {
        node = ShellNode(command: .subshell([node]), line: node.line)
      } else if peek == ";", !starts(";;"), !starts(";&") {
        position += 1
      } else if peek == "\n" {
        try endLine()
      } else if let word = reservedWord(), isEnd(word), node.isCompound {
        nodes.append(node)
        return nodes
      } else if peek != nil, peek != ")", !starts(";;"), !starts(";&") {
        throw unexpected()
      }
      nodes.append(node)
    }
  }

  private mutating func andOr() throws(ShellSyntaxError) -> ShellNode {
    var left = try pipeline()
    var count = 0
    while true {
      skipBlanks()
      let isAnd = starts("&&")
      guard isAnd || starts("||") else { return left }
      position += 2
      count += 1
      try checkChain(count)
      try skipLines()
      let right = try pipeline()
      left = ShellNode(command: isAnd ? .and(left, right) : .or(left, right), line: left.line)
    }
  }

  private func checkChain(_ count: Int) throws(ShellSyntaxError) {
    guard count <= ShellParser.maximumChain else {
      throw error("there are more than \(ShellParser.maximumChain) in a row", isLimit: true)
    }
  }

  private mutating func pipeline() throws(ShellSyntaxError) -> ShellNode {
    skipBlanks()
    let start = line
    var isNegated = false
    var isTimed = false
    while let word = reservedWord(), word == "!" || word == "time" {
      position += word.count
      if word == "!" { isNegated.toggle() } else { isTimed = true }
      skipBlanks()
      if isTimed, starts("-p"), ShellParser.isBlank(peek(2)) { position += 2 }
      skipBlanks()
    }
    var nodes = [try command()]
    while true {
      skipBlanks()
      guard peek == "|", !starts("||") else { break }
      position += starts("|&") ? 2 : 1
      try skipLines()
      nodes.append(try command())
    }
    guard nodes.count > 1 || isNegated else { return nodes[0] }
    return ShellNode(command: .pipeline(nodes, isNegated: isNegated), line: start)
  }

  /// The plain word that begins here, if it can be a reserved word; it is not taken.
  func reservedWord() -> String? {
    var end = position
    while end < text.count, !ShellParser.isMeta(text[end]) {
      guard ShellParser.isName(text[end]) || "![]{}".unicodeScalars.contains(text[end]) else {
        return nil
      }
      end += 1
    }
    return end > position && end - position < 12 ? slice(position..<end) : nil
  }

  mutating func expect(_ word: String) throws(ShellSyntaxError) {
    try skipLines()
    guard reservedWord() == word else {
      throw peek == nil ? error("\"\(word)\" is missing at the end") : unexpected()
    }
    position += word.count
  }

  // MARK: - Commands

  private mutating func command() throws(ShellSyntaxError) -> ShellNode {
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

  private mutating func compound(_ word: String?) throws(ShellSyntaxError) -> ShellCommand? {
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
  private mutating func functionBody() throws(ShellSyntaxError) -> ShellNode {
    let body = try command()
    guard body.isCompound else { throw error("the body of a function was expected") }
    return body
  }

  private func unexpectedWord(_ word: String) -> ShellSyntaxError {
    error("\"\(word)\" is not expected")
  }

  private mutating func functionName() -> String {
    let start = position
    while let scalar = peek, !ShellParser.isMeta(scalar),
      !"$`'\"\\=".unicodeScalars.contains(scalar)
    { position += 1 }
    return slice(start..<position)
  }

  private mutating func condition() throws(ShellSyntaxError) -> ShellCommand {
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

  private mutating func loopBody() throws(ShellSyntaxError) -> [ShellNode] {
    try skipLines()
    let isBraced = reservedWord() == "{"
    try expect(isBraced ? "{" : "do")
    let body = try list { $0 == (isBraced ? "}" : "done") }
    guard !body.isEmpty else { throw unexpected() }
    try expect(isBraced ? "}" : "done")
    return body
  }

  private mutating func loop(_ isSelect: Bool) throws(ShellSyntaxError) -> ShellCommand {
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

  private mutating func choice() throws(ShellSyntaxError) -> ShellCommand {
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

  private static let declarations: Set<String> = [
    "export", "declare", "local", "readonly", "typeset",
  ]

  private mutating func simple(_ start: Int) throws(ShellSyntaxError) -> ShellNode {
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
  private mutating func assignment() throws(ShellSyntaxError) -> ShellAssignment? {
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
  private mutating func redirect() throws(ShellSyntaxError) -> ShellRedirect? {
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
