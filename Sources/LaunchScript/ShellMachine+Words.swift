extension ShellMachine {
  /// The fields that a word becomes.
  func expand(_ word: ShellWord, _ state: inout ShellState) throws -> [ShellField] {
    var fields: [ShellField] = []
    var current: ShellField?
    // What stands outside of quotes, which may be a pattern for names of files.
    var bare = ""
    func append(_ text: String, quoted: Bool, _ assumed: Set<String> = []) {
      var field = current ?? ShellField(text: "")
      field.text += text
      field.isQuoted = field.isQuoted || quoted
      if !quoted {
        bare += text
        if text.hasUnknown { field.isOpen = true }
      } else {
        bare += " "
      }
      field.assumptions.formUnion(assumed)
      current = field
    }
    func end() {
      guard var field = current else { return }
      field.text = bounded(field.text)
      if ShellMachine.isPattern(bare) {
        field.text = unknown("files that \(shown(field.text)) fits")
        field.isOpen = true
      }
      fields.append(field)
      (current, bare) = (nil, "")
    }
    func appendPlain(_ text: String, _ assumed: Set<String> = []) {
      append(text, quoted: false, assumed)
    }
    if ShellMachine.isBraced(word) {
      let text = word.parts.map { if case .plain(let text) = $0 { text } else { "..." } }.joined()
      return [ShellField(text: unknown("words that \(text) makes"), isOpen: true)]
    }
    for (index, part) in word.parts.enumerated() {
      switch part {
      case .quoted(let text): append(text, quoted: true)
      case .plain(let text):
        if index == 0, text.hasPrefix("~") {
          append(unknown("home folder") + text.drop { $0 != "/" }, quoted: false)
        } else if text.contains("=~") || text.contains(":~") {
          append(unknown("home folder in \(text)"), quoted: false)
        } else {
          appendPlain(text)
        }
      case .command(let source, let isQuoted):
        append(unknown(printed(source)), quoted: isQuoted)
      case .arithmetic(let expression, let isQuoted):
        var assumed: Set<String> = []
        append(try number(expression, &state, &assumed), quoted: isQuoted, assumed)
      case .parameter(let parameter, let isQuoted):
        let value = try expand(parameter, isQuoted, &state)
        if isQuoted {
          for (place, text) in value.texts.enumerated() {
            if place > 0 { end() }
            append(text, quoted: true, value.assumed)
          }
          if value.isOpen {
            current = current ?? ShellField(text: "")
            current?.isOpen = true
          }
          // "$@" without arguments is no word at all, "" is one.
          if value.texts.isEmpty, !value.isList { append("", quoted: true, value.assumed) }
        } else {
          for (place, text) in value.texts.enumerated() {
            if place > 0 { end() }
            if value.isSplit {
              append(text, quoted: true, value.assumed)
            } else {
              split(text, value.assumed, state, appendPlain, end)
            }
          }
          if value.isOpen {
            current = current ?? ShellField(text: "")
            current?.isOpen = true
          }
        }
      }
    }
    end()
    return fields
  }

  /// The command whose output is not known, as it is written.
  func printed(_ source: String) -> String {
    guard source.hasPrefix("`") else { return source }
    return "$(" + source.dropFirst().dropLast() + ")"
  }

  /// Splits what was expanded outside of quotes.
  func split(
    _ text: String, _ assumed: Set<String>, _ state: ShellState,
    _ append: (String, Set<String>) -> Void, _ end: () -> Void
  ) {
    let separators: String
    switch state.variables["IFS"]?.content {
    case nil, .some(.none): separators = " \t\n"
    case .scalar(let own) where !own.hasUnknown: separators = own
    default:
      append(unknown("\(shown(text)), split at something unknown"), assumed)
      return
    }
    let blanks = separators.unicodeScalars.filter { " \t\n".unicodeScalars.contains($0) }
    let isPlain = blanks.count == separators.unicodeScalars.count
    var run = String.UnicodeScalarView()
    let scalars = Array(text.unicodeScalars)
    // A separator that is no blank ends a word even if that is empty.
    guard isPlain || !scalars.contains(where: { separators.unicodeScalars.contains($0) }) else {
      guard blanks.isEmpty || !scalars.contains(where: { blanks.contains($0) }) else {
        append(unknown("\(shown(text)), split at \(separators)"), assumed)
        return
      }
      var pieces = scalars.split(omittingEmptySubsequences: false) {
        separators.unicodeScalars.contains($0)
      }
      if pieces.last?.isEmpty == true { pieces.removeLast() }
      for (index, piece) in pieces.enumerated() {
        if index > 0 { end() }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: piece)
        append(String(view), assumed)
      }
      if scalars.last.map({ separators.unicodeScalars.contains($0) }) == true { end() }
      return
    }
    for scalar in scalars {
      if separators.unicodeScalars.contains(scalar) {
        if !run.isEmpty { append(String(run), assumed) }
        run = String.UnicodeScalarView()
        end()
      } else {
        run.append(scalar)
      }
    }
    if !run.isEmpty { append(String(run), assumed) }
  }

  /// Whether plain text is a pattern for the names of files.
  static func isPattern(_ text: String) -> Bool {
    let scalars = text.unicodeScalars
    if scalars.contains("*") || scalars.contains("?") { return true }
    if ["!(", "@(", "+("].contains(where: text.contains) { return true }
    guard let open = scalars.firstIndex(of: "[") else { return false }
    return scalars[scalars.index(after: open)...].dropFirst().contains("]")
  }

  /// Whether plain parts of a word make several words: `{a,b}`, `{1..3}`, whatever else stands in
  /// between.
  static func isBraced(_ word: ShellWord) -> Bool {
    var text = ""
    for part in word.parts {
      if case .plain(let plain) = part { text += plain } else { text += "x" }
    }
    guard let open = text.firstIndex(of: "{"), let close = text.lastIndex(of: "}"), open < close
    else { return false }
    let inner = text[open..<close]
    return inner.contains(",") || inner.contains("..")
  }

  /// The text of a word that is not split: what is assigned, compared, or a here-document.
  func joined(_ word: ShellWord, _ state: inout ShellState) throws -> ShellField {
    var result = ShellField(text: "")
    for (index, part) in word.parts.enumerated() {
      switch part {
      case .quoted(let text):
        result.text += text
        result.isQuoted = true
      case .plain(let text):
        let isHome = index == 0 && text.hasPrefix("~")
        result.text +=
          isHome
          ? unknown("home folder") + text.drop { $0 != "/" }
          : text.contains(":~") ? unknown("home folder in \(text)") : text
      case .command(let source, _): result.text += unknown(printed(source))
      case .arithmetic(let expression, _):
        result.text += try number(expression, &state, &result.assumptions)
      case .parameter(let parameter, _):
        let value = try expand(parameter, true, &state)
        result.text +=
          value.texts.count < 2
          ? value.texts.first ?? ""
          : separator(state).map { value.texts.joined(separator: value.isList ? " " : $0) }
            ?? unknown("a list joined by something unknown")
        result.assumptions.formUnion(value.assumed)
      }
    }
    result.text = bounded(result.text)
    return result
  }

  /// The pattern of a word; `nil` if it is not known, or not read.
  func pattern(_ word: ShellWord, _ state: inout ShellState) throws -> ShellPattern? {
    var pieces: [(String, Bool)] = []
    for part in word.parts {
      switch part {
      case .plain(let text): pieces.append((text, false))
      case .quoted(let text): pieces.append((text, true))
      case .parameter(let parameter, let isQuoted):
        let value = try expand(parameter, true, &state)
        state.assumptions.formUnion(value.assumed)
        pieces.append((value.texts.joined(separator: " "), isQuoted))
      case .command, .arithmetic: return nil
      }
    }
    guard !pieces.contains(where: { $0.0.hasUnknown }) else { return nil }
    // A set of which a part is quoted, or a backslash that an expansion brought.
    let bare = pieces.filter { !$0.1 }.map(\.0).joined(separator: "\u{1}")
    guard !bare.contains("\\"), !bare.contains("[") || pieces.count == 1 else { return nil }
    return ShellPattern(pieces.map { (text: $0.0, isQuoted: $0.1) })
  }

}
