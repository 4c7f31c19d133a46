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

  private func isDocument(_ context: Context) -> Bool {
    if case .document = context { true } else { false }
  }
  private func isBrace(_ context: Context) -> Bool {
    if case .brace = context { true } else { false }
  }
  private func isArithmetic(_ context: Context) -> Bool {
    switch context {
    case .arithmetic, .oldArithmetic: true
    default: false
    }
  }
  private func isPlainPattern(_ context: Context, _ plain: String.UnicodeScalarView) -> Bool {
    guard case .plain = context, let last = plain.last else { return false }
    return "?*+@!".unicodeScalars.contains(last)
  }

  private func isEnd(_ scalar: Unicode.Scalar, _ context: Context, _ open: Int) -> Bool {
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
  private var isExtended: Bool {
    position > 0 && "?*+@!".unicodeScalars.contains(text[position - 1])
  }

  private mutating func singleQuoted() throws(ShellSyntaxError) -> String {
    let (start, first) = (position + 1, line)
    position += 1
    while let scalar = peek, scalar != "'" { _ = scalar; advance() }
    guard peek == "'" else {
      throw ShellSyntaxError(line: first, message: error("a quotation mark is not closed").message)
    }
    position += 1
    return slice(start..<position - 1)
  }

  private mutating func balanced() throws(ShellSyntaxError) -> String {
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

  private mutating func backquoted() throws(ShellSyntaxError) -> String {
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
  private mutating func closeCommand() throws(ShellSyntaxError) {
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

  // MARK: - After a dollar sign

  /// What a dollar sign begins; `nil` if it is only one, which is taken.
  private mutating func dollar(_ context: Context) throws(ShellSyntaxError) -> ShellPart? {
    let start = position
    position += 1
    let isQuoted = context.isQuoted
    guard let scalar = peek else { return nil }
    switch scalar {
    case "(":
      if peek(1) == "(", let expression = try arithmeticCommand() {
        return .arithmetic(expression, isQuoted: isQuoted)
      }
      position += 1
      try closeCommand()
      return .command(slice(start..<position), isQuoted: isQuoted)
    case "[":
      position += 1
      let expression = try word(.oldArithmetic)
      guard take("]") else { throw unexpected() }
      return .arithmetic(expression, isQuoted: isQuoted)
    case "{":
      position += 1
      return .parameter(try braced(start, isQuoted), isQuoted: isQuoted)
    case "'" where !isQuoted: return .quoted(try escapedQuoted())
    case "\"" where !isQuoted: return .quoted("")
    default:
      var end = position
      if ShellParser.isNameStart(scalar) {
        while end < text.count, ShellParser.isName(text[end]) { end += 1 }
      } else if ("0"..."9").contains(scalar) || "@*#?$!-".unicodeScalars.contains(scalar) {
        end += 1
      } else {
        return nil
      }
      let name = slice(position..<end)
      position = end
      return .parameter(ShellParameter(name: name, source: "$" + name), isQuoted: isQuoted)
    }
  }

  /// `${...}` after its brace.
  private mutating func braced(
    _ start: Int, _ isQuoted: Bool
  ) throws(ShellSyntaxError) -> ShellParameter {
    var result = ShellParameter(name: "", source: "")
    if peek == "#", let next = peek(1), next != "}", !":-=+?%/".unicodeScalars.contains(next) {
      result.isLength = true
      position += 1
    } else if peek == "!", let next = peek(1), next != "}" {
      result.isIndirect = true
      position += 1
    }
    let nameStart = position
    if ShellParser.isNameStart(peek) {
      while ShellParser.isName(peek) { position += 1 }
    } else {
      while let scalar = peek, ("0"..."9").contains(scalar) { position += 1; _ = scalar }
      if position == nameStart, let scalar = peek, "@*#?$!-".unicodeScalars.contains(scalar) {
        position += 1
      }
    }
    result.name = slice(nameStart..<position)
    guard !result.name.isEmpty else { throw error("\"${\" without a name that could be expanded") }
    if take("[") {
      result.index = try word(.bracket)
      guard take("]") else { throw error("\"[\" is not closed") }
    }
    let operations = [
      ":-", ":=", ":+", ":?", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "+", "?", "#",
      "%", "/", "^", ",", ":", "@", "*",
    ]
    if peek != "}" {
      guard let operation = operations.first(where: { starts($0) }) else { throw unexpected() }
      _ = take(operation)
      result.operation = operation
      let stops = operation.hasPrefix("/") ? "/" : operation == ":" ? ":" : ""
      // A pattern is one in double quotes, too.
      let isText = "-=+?".contains(operation.last ?? " ")
      result.argument = try word(.brace(isQuoted: isQuoted && isText, stops: stops))
      if !stops.isEmpty, take(stops) {
        result.second = try word(.brace(isQuoted: false, stops: ""))
      }
    }
    guard take("}") else { throw error("\"${\" is not closed") }
    result.source = slice(start..<position)
    return result
  }

  /// `$'...'` after its dollar sign.
  private mutating func escapedQuoted() throws(ShellSyntaxError) -> String {
    let simple: [Unicode.Scalar: Unicode.Scalar] = [
      "n": "\n", "t": "\t", "r": "\r", "a": "\u{7}", "b": "\u{8}", "e": "\u{1B}", "E": "\u{1B}",
      "f": "\u{C}", "v": "\u{B}", "\\": "\\", "'": "'", "\"": "\"", "?": "?",
    ]
    position += 1
    var result = String.UnicodeScalarView()
    var isCut = false
    while let scalar = peek, scalar != "'" {
      advance()
      guard scalar == "\\", let next = peek else {
        if !isCut { result.append(scalar) }
        continue
      }
      advance()
      let forms: [Unicode.Scalar: (radix: Int, most: Int)] = [
        "x": (16, 2), "u": (16, 4), "U": (16, 8),
      ]
      if let plain = simple[next] {
        if !isCut { result.append(plain) }
      } else if let form = forms[next] ?? (("0"..."7").contains(next) ? (8, 3) : nil) {
        if form.radix == 8 { position -= 1 }
        var digits = ""
        while digits.count < form.most, let digit = peek,
          Int(String(Character(digit)), radix: form.radix) != nil
        {
          digits.unicodeScalars.append(digit)
          position += 1
        }
        let code = UInt32(digits, radix: form.radix).flatMap(Unicode.Scalar.init)
        // The text ends at a NUL.
        if code?.value == 0 { isCut = true }
        if let code, !isCut { result.append(code) }
      } else if next == "c", let letter = peek, letter.isASCII {
        advance()
        if !isCut, let control = Unicode.Scalar(letter.value & 0x1F) { result.append(control) }
      } else if !isCut {
        result.append("\\")
        result.append(next)
      }
    }
    guard peek == "'" else { throw error("a quotation mark is not closed") }
    position += 1
    return String(result)
  }

  // MARK: - [[ ]]

  private static let unary: Set<String> = [
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

  private mutating func testConjunction() throws(ShellSyntaxError) -> ShellTest {
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

  private mutating func testTerm() throws(ShellSyntaxError) -> ShellTest {
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
