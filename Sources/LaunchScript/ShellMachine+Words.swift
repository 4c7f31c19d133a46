extension ShellMachine {
  // MARK: - Variables

  /// Sets a variable to one text; of a list, its first element.
  func set(_ name: String, _ text: String, _ assumed: Set<String>, _ state: inout ShellState) {
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    guard !variable.isReadOnly else { return }
    switch variable.content {
    case .list(var items):
      items[0] = bounded(text)
      variable.content = .list(items)
      variable.assumptions.formUnion(assumed)
    case .map(var items):
      items["0"] = bounded(text)
      variable.content = .map(items)
      variable.assumptions.formUnion(assumed)
    default:
      variable.content = .scalar(bounded(text))
      variable.assumptions = assumed
    }
    variable.sources = state.sources.count
    if state.exportsAll { variable.isExported = true }
    state.variables[name] = variable
  }

  /// Makes all of a variable not known.
  func setOpen(_ name: String, _ reason: String, _ state: inout ShellState) {
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    guard !variable.isReadOnly else { return }
    variable.content = .open(reason)
    variable.assumptions = []
    variable.sources = state.sources.count
    state.variables[name] = variable
  }

  /// Variables that the shell itself changes: what a script sets them to says nothing.
  private static let ownOfShell: Set<String> = [
    "RANDOM", "SRANDOM", "SECONDS", "LINENO", "EPOCHSECONDS", "EPOCHREALTIME", "BASHPID", "PWD",
    "OLDPWD", "BASH_REMATCH", "PIPESTATUS", "BASH_SOURCE", "FUNCNAME", "BASH_LINENO", "_", "UID",
    "EUID", "PPID", "SHLVL", "BASH_VERSION", "HOSTNAME", "PATH", "HOME", "USER", "OPTIND",
    "DIRSTACK", "SHELL", "BASH",
  ]

  /// Notes that a variable which was set before a file was sourced is taken to be unchanged.
  private func assumed(of variable: ShellVariable, _ state: ShellState) -> Set<String> {
    guard variable.sources < state.sources.count else { return variable.assumptions }
    return variable.assumptions.union(
      state.sources[variable.sources...].map { assume("\($0) does not change what was set before") }
    )
  }

  /// What is known of a variable.
  private struct Found {
    var values: [(key: String, text: String)]
    var assumed: Set<String> = []
    /// Why nothing is known, not even how many elements there are.
    var reason: String?
    var isMap = false
  }

  /// What is known of a variable; `nil` if it is not set, or nobody knows whether it is.
  private func elements(_ name: String, _ state: ShellState) -> Found? {
    guard let variable = state.variables[name] else { return nil }
    if ShellMachine.ownOfShell.contains(name),
      !variable.isExported
        || name != "PATH" && name != "HOME"
          && name != "USER" && name != "HOSTNAME" && name != "SHELL"
    {
      return Found(values: [], reason: "\(name) of the shell")
    }
    let assumed = assumed(of: variable, state)
    switch variable.content {
    case .none: return Found(values: [], assumed: assumed)
    case .open(let reason): return Found(values: [], reason: reason)
    case .scalar(let text): return Found(values: [("0", text)], assumed: assumed)
    case .list(let items):
      return Found(
        values: items.keys.sorted().compactMap { key in items[key].map { ("\(key)", $0) } },
        assumed: assumed)
    case .map(let items):
      return Found(
        values: items.keys.sorted().compactMap { key in items[key].map { (key, $0) } },
        assumed: assumed, isMap: true)
    }
  }

  /// What separates the elements of a list that becomes one text; `nil` if that is not known.
  private func separator(_ state: ShellState) -> String? {
    guard let own = state.variables["IFS"] else { return " " }
    guard case .scalar(let text) = own.content else { return own.content == .none ? " " : nil }
    return text.hasUnknown ? nil : String(text.prefix(1))
  }

  /// The arguments of the script or the function.
  func arguments(_ state: inout ShellState) -> [ShellField] {
    if let reason = state.openArguments {
      // Those before the first one that is not known are.
      return (state.arguments ?? []) + [ShellField(text: unknown(reason), isOpen: true)]
    }
    if let arguments = state.arguments { return arguments }
    state.assumptions.insert(assume("no arguments were given to the script"))
    return []
  }

  // MARK: - Words

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
  private func printed(_ source: String) -> String {
    guard source.hasPrefix("`") else { return source }
    return "$(" + source.dropFirst().dropLast() + ")"
  }

  /// Splits what was expanded outside of quotes.
  private func split(
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
  private static func isPattern(_ text: String) -> Bool {
    let scalars = text.unicodeScalars
    if scalars.contains("*") || scalars.contains("?") { return true }
    if ["!(", "@(", "+("].contains(where: text.contains) { return true }
    guard let open = scalars.firstIndex(of: "[") else { return false }
    return scalars[scalars.index(after: open)...].dropFirst().contains("]")
  }

  /// Whether plain parts of a word make several words: `{a,b}`, `{1..3}`, whatever else stands in
  /// between.
  private static func isBraced(_ word: ShellWord) -> Bool {
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

  // MARK: - Arithmetic

  private func number(
    _ expression: ShellWord, _ state: inout ShellState, _ assumed: inout Set<String>
  ) throws -> String {
    switch try compute(expression, &state, &assumed) {
    case .success(let value): return "\(value)"
    case .failure(.unknown(let reason)):
      return unknown("arithmetic on something unknown: \(reason)")
    case .failure(.invalid): return unknown("arithmetic that bash would not accept")
    }
  }

  /// The value of an expression, whose assignments are made.
  func compute(
    _ expression: ShellWord, _ state: inout ShellState, _ assumed: inout Set<String>
  ) throws -> Result<Int, ShellArithmetic.Failure> {
    let text = try joined(expression, &state)
    assumed.formUnion(text.assumptions)
    return compute(text.text, &state, &assumed)
  }

  func compute(
    _ text: String, _ state: inout ShellState, _ assumed: inout Set<String>
  ) -> Result<Int, ShellArithmetic.Failure> {
    let shownText = shown(text).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    /// What an expression sets that cannot be computed is not known.
    func failed(_ failure: ShellArithmetic.Failure) -> Result<Int, ShellArithmetic.Failure> {
      if text.contains("=") || text.contains("++") || text.contains("--") {
        forget(ShellWord.names(in: text), &state) { "\($0): set by arithmetic that is not known" }
      }
      return .failure(failure)
    }
    guard !text.hasUnknown else { return failed(.unknown(shownText)) }
    guard text.utf8.count < 4096 else { return failed(.unknown("a long expression")) }
    // The closures share the state, which an inout argument cannot be.
    final class Box {
      var state: ShellState; var assumed: Set<String> = []
      init(_ state: ShellState) { self.state = state }
    }
    let box = Box(state)
    var arithmetic = ShellArithmetic { (name) throws(ShellArithmetic.Failure) -> String in
      let bare = name.prefix { $0 != "[" }
      guard let found = self.elements(String(bare), box.state) else {
        throw .unknown("\(shownText) (\(bare) is not set in the script)")
      }
      box.assumed.formUnion(found.assumed)
      if let reason = found.reason { throw .unknown("\(shownText) (<\(reason)>)") }
      var key = "0"
      if bare.count < name.count {
        key = String(name.dropFirst(bare.count + 1).dropLast())
        guard let number = Int(key), number >= 0, !found.isMap else { throw .unknown(shownText) }
      }
      let value = found.values.first { $0.key == key }?.text ?? ""
      guard !value.hasUnknown else { throw .unknown("\(shownText) (\(self.shown(value)))") }
      return value
    } write: { name, value in
      let bare = String(name.prefix { $0 != "[" })
      if bare == name {
        self.set(bare, "\(value)", box.assumed, &box.state)
      } else {
        self.setOpen(bare, "\(bare), of which an element was set", &box.state)
      }
    }
    defer {
      state = box.state
      assumed.formUnion(box.assumed)
    }
    do {
      return .success(try arithmetic.value(text))
    } catch {
      let reason = "set by arithmetic that is not known"
      if text.contains("=") || text.contains("++") || text.contains("--") {
        forget(ShellWord.names(in: text), &box.state) { "\($0): \(reason)" }
      }
      return .failure(error)
    }
  }

  // MARK: - Parameters

  /// What a parameter expands to.
  struct Expansion {
    /// One text, or those of a list.
    var texts: [String]
    var isList = false
    var assumed: Set<String> = []
    /// Whether it may be any number of words.
    var isOpen = false
    /// Whether its texts are words already.
    var isSplit = false
  }

  private func expand(
    _ parameter: ShellParameter, _ isQuoted: Bool, _ state: inout ShellState
  ) throws -> Expansion {
    if parameter.isIndirect {
      return Expansion(texts: [unknown("indirect \(parameter.source)")])
    }
    var value = try base(parameter, &state)
    if parameter.isLength {
      guard let found = value else { return Expansion(texts: [unset(parameter, state)]) }
      if found.isOpen { return Expansion(texts: [unknown("length of \(parameter.name)")]) }
      if found.isList { return Expansion(texts: ["\(found.texts.count)"], assumed: found.assumed) }
      let text = found.texts.first ?? ""
      // How many bytes a letter counts for hangs on the locale.
      let isPlain = text.utf8.allSatisfy { $0 < 128 }
      return Expansion(
        texts: [isPlain ? "\(text.count)" : unknown("length of \(shown(text))")],
        assumed: found.assumed)
    }
    if "-=+?".contains(parameter.operation.last ?? " "), !parameter.operation.isEmpty {
      return try choose(parameter, value, isQuoted, &state)
    }
    guard var found = value else { return Expansion(texts: [unset(parameter, state)]) }
    value = nil
    if parameter.operation == ":", found.isList {
      guard !found.isOpen else { return found }
      found = try slice(parameter, found, &state)
    } else if !parameter.operation.isEmpty {
      for index in found.texts.indices {
        found.texts[index] = try changed(found.texts[index], parameter, &found.assumed, &state)
      }
    }
    if parameter.index?.plain == "*" || parameter.name == "*", isQuoted, !found.isOpen {
      found.texts = [
        separator(state).map { found.texts.joined(separator: $0) }
          ?? unknown("a list joined by something unknown")
      ]
      found.isList = false
    }
    return found
  }

  /// What stands for a parameter that the script does not set.
  private func unset(_ parameter: ShellParameter, _ state: ShellState) -> String {
    if let number = Int(parameter.name) {
      return number == 0
        ? unknown("name of the script") : unknown("argument \(number) of the script")
    }
    switch parameter.name {
    case "?": return unknown("status of a command")
    case "$", "!": return unknown("number of a process")
    case "-": return unknown("options of the shell")
    case "PWD", "OLDPWD": return unknown("working folder")
    case "RANDOM", "SECONDS", "LINENO", "EPOCHSECONDS", "BASH_SOURCE", "HOSTNAME":
      return unknown("\(parameter.name) of the shell")
    default: return unknown("environment variable \(parameter.name)")
    }
  }

  /// What a parameter is, before its operation; `nil` if the script does not set it.
  private func base(
    _ parameter: ShellParameter, _ state: inout ShellState
  ) throws -> Expansion? {
    let name = parameter.name
    switch name {
    case "@", "*":
      if let reason = state.openArguments {
        return Expansion(
          texts: (state.arguments ?? []).map(\.text) + [unknown(reason)], isList: true, isOpen: true
        )
      }
      let fields = arguments(&state)
      return Expansion(
        texts: fields.map(\.text), isList: true,
        assumed: fields.reduce(
          into: state.arguments == nil ? ["no arguments were given to the script"] : []
        ) {
          $0.formUnion($1.assumptions)
        })
    case "#":
      if let reason = state.openArguments { return Expansion(texts: [unknown(reason)]) }
      let fields = arguments(&state)
      return Expansion(
        texts: ["\(fields.count)"],
        assumed: state.arguments == nil ? ["no arguments were given to the script"] : [])
    default: break
    }
    if let number = Int(name) {
      if number > (state.arguments?.count ?? 0), let reason = state.openArguments {
        return Expansion(texts: [unknown(reason)])
      }
      guard number > 0, let arguments = state.arguments else { return nil }
      guard number <= arguments.count else { return Expansion(texts: []) }
      let field = arguments[number - 1]
      return Expansion(texts: [field.text], assumed: field.assumptions)
    }
    guard let found = elements(name, state) else {
      // Some are always there.
      return ShellMachine.ownOfShell.contains(name)
        ? Expansion(texts: [unset(parameter, state)]) : nil
    }
    let isAll = parameter.index?.plain == "@" || parameter.index?.plain == "*"
    if let reason = found.reason {
      return Expansion(texts: [unknown(reason)], isList: isAll, isOpen: isAll)
    }
    guard let index = parameter.index else {
      // Without an index it is the element 0.
      return Expansion(
        texts: found.values.filter { $0.key == "0" }.map(\.text), assumed: found.assumed)
    }
    if isAll {
      // The order of a map is that of bash's own table.
      if found.isMap, found.values.count > 1, !parameter.isLength {
        return Expansion(texts: [unknown("the elements of \(name)")], isList: true, isOpen: true)
      }
      return Expansion(texts: found.values.map(\.text), isList: true, assumed: found.assumed)
    }
    var assumed = found.assumed
    guard let key = try key(index, of: name, &state, &assumed) else {
      return Expansion(texts: [unknown("an element of \(name)")], assumed: assumed)
    }
    return Expansion(
      texts: found.values.filter { $0.key == key }.map(\.text), assumed: assumed)
  }

  /// The key that an index means.
  func key(
    _ index: ShellWord, of name: String, _ state: inout ShellState, _ assumed: inout Set<String>
  ) throws -> String? {
    let text = try joined(index, &state)
    assumed.formUnion(text.assumptions)
    guard !text.text.hasUnknown else { return nil }
    if case .map = state.variables[name]?.content { return text.text }
    guard case .success(let number) = compute(text.text, &state, &assumed) else { return nil }
    guard number < 0 else { return number < Limit.index ? "\(number)" : nil }
    guard number > -ShellMachine.Limit.elements else { return nil }
    let last = elements(name, state)?.values.last.flatMap { Int($0.key) } ?? -1
    return last + 1 + number >= 0 ? "\(last + 1 + number)" : nil
  }

  /// `${NAME:-word}` and its like.
  private func choose(
    _ parameter: ShellParameter, _ value: Expansion?, _ isQuoted: Bool, _ state: inout ShellState
  ) throws -> Expansion {
    let isStrict = parameter.operation.hasPrefix(":")
    let text = value?.texts.joined(separator: " ") ?? ""
    let isKnown = value != nil
    let isThere = isKnown && value?.texts.isEmpty == false && !(isStrict && text.isEmpty)
    let operation = parameter.operation.last
    if isThere, let value {
      if value.isOpen {
        return Expansion(
          texts: [unknown("\(parameter.source)")], isList: value.isList, isOpen: value.isList)
      }
      if text.isUnknown, isStrict {
        // Not known, and perhaps empty.
        return Expansion(texts: [unknown(shown(text) + " or a default")], assumed: value.assumed)
      }
      return operation == "+"
        ? try alternative(parameter, isQuoted, value.assumed, &state) : value
    }
    var assumed = value?.assumed ?? []
    if operation == "?" {
      return isKnown
        ? Expansion(texts: [unknown("\(parameter.source), which is not set")], assumed: assumed)
        : Expansion(texts: [unset(parameter, state)])
    }
    if operation == "+" {
      if !isKnown { assumed.insert(assume("\(parameter.name) assumed not set")) }
      return Expansion(texts: [], assumed: assumed)
    }
    var result = try alternative(parameter, isQuoted, assumed, &state)
    if !isKnown {
      let shownText = shown(result.texts.joined(separator: " "))
      result.assumed.insert(
        assume("\(parameter.name) assumed not set: default '\(shownText)'"))
    }
    if operation == "=", Int(parameter.name) == nil {
      set(parameter.name, result.texts.joined(separator: " "), result.assumed, &state)
    }
    return result
  }

  private func alternative(
    _ parameter: ShellParameter, _ isQuoted: Bool, _ assumed: Set<String>,
    _ state: inout ShellState
  ) throws -> Expansion {
    if isQuoted {
      let field = try joined(parameter.argument, &state)
      return Expansion(texts: [field.text], assumed: assumed.union(field.assumptions))
    }
    let fields = try expand(parameter.argument, &state)
    return Expansion(
      texts: fields.map(\.text), isList: true,
      assumed: fields.reduce(into: assumed) { $0.formUnion($1.assumptions) },
      isOpen: fields.contains(where: \.isOpen), isSplit: true)
  }

  /// `${A[@]:1:2}`.
  private func slice(
    _ parameter: ShellParameter, _ value: Expansion, _ state: inout ShellState
  ) throws -> Expansion {
    var value = value
    if case .list(let items)? = state.variables[parameter.name]?.content,
      items.keys.max() != items.count - 1, !items.isEmpty
    {
      // Where elements are missing, numbers and places differ.
      return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
    }
    let start = try compute(parameter.argument, &state, &value.assumed)
    let length = try parameter.second.map { try compute($0, &state, &value.assumed) }
    // "${@:1}" begins with the first argument, which has the number 1.
    let shift = parameter.name == "@" || parameter.name == "*" ? 1 : 0
    guard case .success(let from) = start, from >= shift else {
      return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
    }
    value.texts = Array(value.texts.dropFirst(from - shift))
    if let length {
      guard case .success(let count) = length, count >= 0 else {
        return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
      }
      value.texts = Array(value.texts.prefix(count))
    }
    return value
  }

  /// A text after the operation of a parameter.
  private func changed(
    _ text: String, _ parameter: ShellParameter, _ assumed: inout Set<String>,
    _ state: inout ShellState
  ) throws -> String {
    let operation = parameter.operation
    if text.hasUnknown {
      return text.isUnknown && text.unicodeScalars.count == 1
        ? text : unknown("\(parameter.source) of \(shown(text))")
    }
    let scalars = Array(text.unicodeScalars)
    func string(_ slice: ArraySlice<Unicode.Scalar>) -> String {
      var view = String.UnicodeScalarView()
      view.append(contentsOf: slice)
      return String(view)
    }
    guard scalars.count <= 512 || ["^^", ",,", ":"].contains(operation) else {
      return unknown("a part of a long text")
    }
    // What letters there are beyond ASCII hangs on the locale.
    let isPlain = scalars.allSatisfy(\.isASCII)
    guard isPlain || !["^", "^^", ",", ",,", ":"].contains(operation) else {
      return unknown(parameter.source)
    }
    switch operation {
    case "^^" where parameter.argument.parts.isEmpty: return text.uppercased()
    case ",," where parameter.argument.parts.isEmpty: return text.lowercased()
    case "^" where parameter.argument.parts.isEmpty:
      return text.prefix(1).uppercased() + text.dropFirst()
    case "," where parameter.argument.parts.isEmpty:
      return text.prefix(1).lowercased() + text.dropFirst()
    case ":":
      let start = try compute(parameter.argument, &state, &assumed)
      let length = try parameter.second.map { try compute($0, &state, &assumed) }
      guard case .success(var from) = start else { return unknown(parameter.source) }
      if from < 0 { from = scalars.count + from }
      guard from >= 0 else { return "" }
      let rest = scalars.dropFirst(from)
      switch length {
      case nil: return string(rest)
      case .success(let count) where count >= 0: return string(rest.prefix(count))
      case .success(let count): return string(rest.dropLast(min(rest.count, 0 &- count)))
      default: return unknown(parameter.source)
      }
    case "#", "##", "%", "%%", "/", "//", "/#", "/%":
      guard let pattern = try pattern(parameter.argument, &state), isPlain || !pattern.matches([])
      else {
        return unknown(parameter.source)
      }
      if operation.hasPrefix("/") {
        guard !pattern.matches([]), scalars.count <= 256 else { return unknown(parameter.source) }
        let second = try parameter.second.map { try joined($0, &state) } ?? ShellField(text: "")
        assumed.formUnion(second.assumptions)
        // Some versions of bash put what fits in the place of "&".
        guard !second.text.contains("&") else { return unknown(parameter.source) }
        return string(
          ShellMachine.replaced(scalars, pattern, Array(second.text.unicodeScalars), operation)[...]
        )
      }
      let lengths = operation.count == 1 ? Array(0...scalars.count) : (0...scalars.count).reversed()
      for length in lengths {
        let isFront = operation.hasPrefix("#")
        let part = isFront ? scalars.prefix(length) : scalars.suffix(length)
        if pattern.matches(part) {
          return string(isFront ? scalars.dropFirst(length) : scalars.dropLast(length))
        }
      }
      return text
    default: return unknown(parameter.source)
    }
  }

  private static func replaced(
    _ scalars: [Unicode.Scalar], _ pattern: ShellPattern, _ replacement: [Unicode.Scalar],
    _ operation: String
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var place = 0
    while place <= scalars.count {
      let isPossible = operation == "/#" ? place == 0 : true
      let ends = isPossible ? Array((place...scalars.count).reversed()) : []
      let end = ends.first { end in
        end > place && (operation != "/%" || end == scalars.count)
          && pattern.matches(scalars[place..<end])
      }
      if let end {
        result += replacement
        place = end
        if operation != "//" { return result + scalars[place...] }
      } else {
        if place < scalars.count { result.append(scalars[place]) }
        place += 1
      }
    }
    return result
  }
}
