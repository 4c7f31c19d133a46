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
  var pending: [(delimiter: String, isQuoted: Bool, stripsTabs: Bool, slot: Int)] = []
  /// The texts of the here-documents that were met, after those of earlier parses.
  var documents: [ShellWord]

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
  mutating func endLine() throws(ShellSyntaxError) {
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

  mutating func andOr() throws(ShellSyntaxError) -> ShellNode {
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

  func checkChain(_ count: Int) throws(ShellSyntaxError) {
    guard count <= ShellParser.maximumChain else {
      throw error("there are more than \(ShellParser.maximumChain) in a row", isLimit: true)
    }
  }

  mutating func pipeline() throws(ShellSyntaxError) -> ShellNode {
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

}
