extension ShellParser {
  /// Where a word stands, and so what ends it and what its characters mean.
  enum Context {
    /// Among commands: blanks and operators end it.
    case plain
    /// In double quotes.
    case quotes
    /// A here-document, to its end.
    case document
    /// In `${...}`: a brace ends it, and what `stops` says.
    case brace(isQuoted: Bool, stops: String)
    /// An index of an array.
    case bracket
    /// `$(( ))`: two closing parentheses.
    case arithmetic
    /// `$[ ]`.
    case oldArithmetic
    /// The pattern after `=~`, in which parentheses are plain.
    case expression

    /// Whether quotes mean what they mean outside of quotes.
    var hasQuotes: Bool {
      switch self {
      case .plain, .bracket, .expression: true
      case .brace(let isQuoted, _): !isQuoted
      default: false
      }
    }

    /// Whether what is expanded is not split.
    var isQuoted: Bool {
      switch self {
      case .quotes, .document, .arithmetic, .oldArithmetic: true
      case .brace(let isQuoted, _): isQuoted
      default: false
      }
    }
  }

  /// The parts of a word up to its end, which is not taken.
  mutating func word(_ context: Context) throws(ShellSyntaxError) -> ShellWord {
    try deeper()
    defer { depth -= 1 }
    var word = ShellWord()
    var plain = String.UnicodeScalarView()
    var parentheses = 0
    func flushed() -> [ShellPart] {
      guard !plain.isEmpty else { return [] }
      let text = String(plain)
      return [context.isQuoted ? .quoted(text) : .plain(text)]
    }
    func add(_ part: ShellPart) {
      word.parts += flushed() + [part]
      plain = String.UnicodeScalarView()
    }
    while let scalar = peek {
      if isEnd(scalar, context, parentheses) { break }
      switch scalar {
      case "\\":
        if peek(1) == "\n" {
          position += 2
          line += 1
          continue
        }
        guard let next = peek(1) else {
          position += 1
          plain.append("\\")
          continue
        }
        // In double quotes a backslash is one but before a few characters.
        let isEscape =
          !context.isQuoted
          || "$`\"\\".unicodeScalars.contains(next)
            && !(next == "\"" && isDocument(context))
          || next == "}" && isBrace(context)
        position += 1
        if isEscape {
          advance()
          add(.quoted(String(Character(next))))
        } else {
          plain.append("\\")
        }
      case "'" where context.hasQuotes:
        add(.quoted(try singleQuoted()))
      case "\"" where context.hasQuotes || isBrace(context) || isArithmetic(context):
        position += 1
        let inner = try self.word(.quotes)
        guard peek == "\"" else { throw error("a quotation mark is not closed") }
        position += 1
        // "$@" may be no word at all, while "" is one.
        if inner.parts.isEmpty { add(.quoted("")) }
        for part in inner.parts { add(part) }
      case "$":
        if let part = try dollar(context) { add(part) } else { plain.append("$") }
      case "`": add(.command(try backquoted(), isQuoted: context.isQuoted))
      case "<" where context.hasQuotes && peek(1) == "(",
        ">" where context.hasQuotes && peek(1) == "(":
        let start = position
        position += 2
        try closeCommand()
        add(.command(slice(start..<position), isQuoted: true))
      case "(" where isPlainPattern(context, plain):
        // An extended pattern, which some scripts switch on.
        plain.append(contentsOf: try balanced().unicodeScalars)
      default:
        if scalar == "(" { parentheses += 1 }
        if scalar == ")" { parentheses -= 1 }
        plain.append(scalar)
        advance()
      }
    }
    word.parts += flushed()
    return word
  }

  func isDocument(_ context: Context) -> Bool {
    if case .document = context { true } else { false }
  }
  func isBrace(_ context: Context) -> Bool {
    if case .brace = context { true } else { false }
  }
  func isArithmetic(_ context: Context) -> Bool {
    switch context {
    case .arithmetic, .oldArithmetic: true
    default: false
    }
  }
  func isPlainPattern(_ context: Context, _ plain: String.UnicodeScalarView) -> Bool {
    guard case .plain = context, let last = plain.last else { return false }
    return "?*+@!".unicodeScalars.contains(last)
  }

  func isEnd(_ scalar: Unicode.Scalar, _ context: Context, _ open: Int) -> Bool {
    switch context {
    case .plain:
      guard ShellParser.isMeta(scalar) else { return false }
      return !((scalar == "<" || scalar == ">") && peek(1) == "(") && scalar != "("
        || scalar == "(" && !isExtended
    case .quotes: return scalar == "\""
    case .document: return false
    case .brace(_, let stops): return scalar == "}" || stops.unicodeScalars.contains(scalar)
    case .bracket, .oldArithmetic: return scalar == "]"
    case .arithmetic: return scalar == ")" && open <= 0
    case .expression:
      return open <= 0 && (ShellParser.isBlank(scalar) || scalar == "\n" || scalar == ")")
    }
  }

  /// Whether a parenthesis follows the mark of an extended pattern.
  var isExtended: Bool {
    position > 0 && "?*+@!".unicodeScalars.contains(text[position - 1])
  }

  mutating func singleQuoted() throws(ShellSyntaxError) -> String {
    let (start, first) = (position + 1, line)
    position += 1
    while let scalar = peek, scalar != "'" { _ = scalar; advance() }
    guard peek == "'" else {
      throw ShellSyntaxError(line: first, message: error("a quotation mark is not closed").message)
    }
    position += 1
    return slice(start..<position - 1)
  }

  mutating func balanced() throws(ShellSyntaxError) -> String {
    let start = position
    var open = 0
    while let scalar = peek {
      advance()
      if scalar == "(" { open += 1 }
      if scalar == ")" { open -= 1 }
      if open == 0 { return slice(start..<position) }
    }
    throw error("a parenthesis is not closed")
  }

  mutating func backquoted() throws(ShellSyntaxError) -> String {
    let first = line
    let start = position
    position += 1
    while let scalar = peek, scalar != "`" {
      if scalar == "\\" { advance() }
      if peek != nil { advance() }
    }
    guard peek == "`" else {
      throw ShellSyntaxError(line: first, message: error("a backquote is not closed").message)
    }
    position += 1
    return slice(start..<position)
  }

  /// Reads commands to the parenthesis that closes them. They are never run.
  mutating func closeCommand() throws(ShellSyntaxError) {
    let first = line
    _ = try list { _ in false }
    guard take(")") else {
      throw peek == nil
        ? ShellSyntaxError(line: first, message: error("a parenthesis is not closed").message)
        : unexpected()
    }
  }

  /// `((...))` as a command; `nil` if these are two parentheses of their own.
  mutating func arithmeticCommand() throws(ShellSyntaxError) -> ShellWord? {
    let (before, beforeLine) = (position, line)
    guard !commandStarts.contains(position) else { return nil }
    position += 2
    if let word = try? word(.arithmetic), take("))") { return word }
    (position, line) = (before, beforeLine)
    commandStarts.insert(before)
    return nil
  }

  /// A word in which only quotes and backslashes mean something; `nil` if a quote is not closed.
  mutating func literalWord() -> String? {
    var result = String.UnicodeScalarView()
    var quote: Unicode.Scalar?
    while let scalar = peek {
      if quote == nil, ShellParser.isBlank(scalar) || scalar == "\n" { break }
      advance()
      if scalar == quote {
        quote = nil
      } else if quote == nil, scalar == "'" || scalar == "\"" {
        quote = scalar
      } else if scalar == "\\", quote != "'", let next = peek,
        quote == nil || next == "\"" || next == "\\"
      {
        advance()
        result.append(next)
      } else {
        result.append(scalar)
      }
    }
    return quote == nil ? String(result) : nil
  }

}
