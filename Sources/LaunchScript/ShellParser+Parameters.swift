extension ShellParser {
  /// What a dollar sign begins; `nil` if it is only one, which is taken.
  mutating func dollar(_ context: Context) throws(ShellSyntaxError) -> ShellPart? {
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
  mutating func braced(
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
  mutating func escapedQuoted() throws(ShellSyntaxError) -> String {
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
}
