extension ShellMachine {
  // MARK: - Variables

  /// Sets a variable to one text.
  func set(_ name: String, _ text: String, _ assumed: Set<String>, _ state: inout ShellState) {
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    variable.content = .scalar(bounded(text))
    variable.assumptions = assumed
    variable.sources = state.sources.count
    if state.exportsAll { variable.isExported = true }
    state.variables[name] = variable
  }

  /// Notes that a variable which was set before a file was sourced is taken to be unchanged.
  private func assumed(of variable: ShellVariable, _ state: ShellState) -> Set<String> {
    guard variable.sources < state.sources.count else { return variable.assumptions }
    return variable.assumptions.union(
      state.sources[variable.sources...].map { assume("\($0) does not change what was set before") }
    )
  }

  /// The elements of a variable; `nil` if it is not set, or nobody knows whether it is.
  private func elements(
    _ name: String, _ state: ShellState
  ) -> (values: [(key: String, text: String)], assumed: Set<String>)? {
    guard let variable = state.variables[name] else { return nil }
    let assumed = assumed(of: variable, state)
    switch variable.content {
    case .none: return ([], assumed)
    case .scalar(let text): return ([("0", text)], assumed)
    case .list(let items):
      return (items.keys.sorted().compactMap { key in items[key].map { ("\(key)", $0) } }, assumed)
    case .map(let items):
      return (items.keys.sorted().compactMap { key in items[key].map { (key, $0) } }, assumed)
    }
  }

  /// The arguments of the script or the function.
  func arguments(_ state: inout ShellState) -> [ShellField] {
    if let arguments = state.arguments { return arguments }
    state.assumptions.insert(assume("no arguments were given to the script"))
    return []
  }

  // MARK: - Words

  /// The fields that a word becomes.
  func expand(_ word: ShellWord, _ state: inout ShellState) throws -> [ShellField] {
    var fields: [ShellField] = []
    var current: ShellField?
    var isPattern = false
    func append(_ text: String, quoted: Bool, _ assumed: Set<String> = []) {
      var field = current ?? ShellField(text: "")
      field.text += text
      field.isQuoted = field.isQuoted || quoted
      field.assumptions.formUnion(assumed)
      current = field
    }
    func end() {
      guard var field = current else { return }
      field.text = bounded(field.text)
      if isPattern, !field.text.hasUnknown {
        field.text = unknown("files that \(field.text) fits")
      } else if isPattern {
        field.text = unknown("files that \(shown(field.text)) fits")
      }
      fields.append(field)
      (current, isPattern) = (nil, false)
    }
    func appendPlain(_ text: String, _ assumed: Set<String> = []) {
      if ShellMachine.isPattern(text) { isPattern = true }
      append(text, quoted: false, assumed)
    }
    for (index, part) in word.parts.enumerated() {
      switch part {
      case .quoted(let text): append(text, quoted: true)
      case .plain(let text):
        if index == 0, text.hasPrefix("~") {
          append(unknown("home folder") + text.drop { $0 != "/" }, quoted: false)
        } else if ShellMachine.isBraced(text) {
          append(unknown("words that \(text) makes"), quoted: false)
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
          // "$@" without arguments is no word at all, "" is one.
          if value.texts.isEmpty, !value.isList { append("", quoted: true, value.assumed) }
        } else {
          for (place, text) in value.texts.enumerated() {
            if place > 0 { end() }
            split(text, value.assumed, state, appendPlain, end)
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
    var separators = " \t\n"
    if let own = elements("IFS", state)?.values.first?.text, !own.hasUnknown { separators = own }
    var run = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
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
    guard let open = scalars.firstIndex(of: "[") else { return false }
    return scalars[scalars.index(after: open)...].dropFirst().contains("]")
  }

  private static func isBraced(_ text: String) -> Bool {
    guard let open = text.firstIndex(of: "{"), let close = text[open...].firstIndex(of: "}") else {
      return false
    }
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
        result.text += isHome ? unknown("home folder") + text.drop { $0 != "/" } : text
      case .command(let source, _): result.text += unknown(printed(source))
      case .arithmetic(let expression, _):
        result.text += try number(expression, &state, &result.assumptions)
      case .parameter(let parameter, _):
        let value = try expand(parameter, true, &state)
        result.text += value.texts.joined(separator: " ")
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
    guard !text.hasUnknown else { return .failure(.unknown(shownText)) }
    guard text.utf8.count < 4096 else { return .failure(.unknown("a long expression")) }
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
      var key = "0"
      if bare.count < name.count {
        key = String(name.dropFirst(bare.count + 1).dropLast())
        guard Int(key) != nil else { throw .unknown(shownText) }
      }
      let value = found.values.first { $0.key == key }?.text ?? ""
      guard !value.hasUnknown else { throw .unknown("\(shownText) (\(self.shown(value)))") }
      return value
    } write: { name, value in
      let bare = String(name.prefix { $0 != "[" })
      self.set(
        bare, bare == name ? "\(value)" : self.unknown("an element of \(bare)"), box.assumed,
        &box.state)
    }
    defer {
      state = box.state
      assumed.formUnion(box.assumed)
    }
    do { return .success(try arithmetic.value(text)) } catch { return .failure(error) }
  }

  // MARK: - Parameters

  /// What a parameter expands to.
  struct Expansion {
    /// One text, or those of a list.
    var texts: [String]
    var isList = false
    var assumed: Set<String> = []
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
      if found.isList { return Expansion(texts: ["\(found.texts.count)"], assumed: found.assumed) }
      let text = found.texts.first ?? ""
      return Expansion(
        texts: [text.hasUnknown ? unknown("length of \(shown(text))") : "\(text.count)"],
        assumed: found.assumed)
    }
    if "-=+?".contains(parameter.operation.last ?? " "), !parameter.operation.isEmpty {
      return try choose(parameter, value, isQuoted, &state)
    }
    guard var found = value else { return Expansion(texts: [unset(parameter, state)]) }
    value = nil
    if parameter.operation == ":", found.isList { return try slice(parameter, found, &state) }
    if !parameter.operation.isEmpty {
      for index in found.texts.indices {
        found.texts[index] = try changed(found.texts[index], parameter, &found.assumed, &state)
      }
    }
    if parameter.index?.plain == "*" || parameter.name == "*", isQuoted {
      found.texts = [found.texts.joined(separator: " ")]
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
      let fields = arguments(&state)
      return Expansion(
        texts: fields.map(\.text), isList: true,
        assumed: fields.reduce(
          into: state.arguments == nil ? ["no arguments were given to the script"] : []
        ) {
          $0.formUnion($1.assumptions)
        })
    case "#":
      let fields = arguments(&state)
      return Expansion(
        texts: ["\(fields.count)"],
        assumed: state.arguments == nil ? ["no arguments were given to the script"] : [])
    default: break
    }
    if let number = Int(name) {
      guard number > 0, let arguments = state.arguments else { return nil }
      guard number <= arguments.count else { return Expansion(texts: []) }
      let field = arguments[number - 1]
      return Expansion(texts: [field.text], assumed: field.assumptions)
    }
    guard let found = elements(name, state) else { return nil }
    guard let index = parameter.index else {
      return Expansion(texts: found.values.prefix(1).map(\.text), assumed: found.assumed)
    }
    if let plain = index.plain, plain == "@" || plain == "*" {
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
    guard number < 0 else { return "\(number)" }
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
      assumed: fields.reduce(into: assumed) { $0.formUnion($1.assumptions) })
  }

  /// `${A[@]:1:2}`.
  private func slice(
    _ parameter: ShellParameter, _ value: Expansion, _ state: inout ShellState
  ) throws -> Expansion {
    var value = value
    let start = try compute(parameter.argument, &state, &value.assumed)
    let length = try parameter.second.map { try compute($0, &state, &value.assumed) }
    // "${@:1}" begins with the first argument, which has the number 1.
    let shift = parameter.name == "@" || parameter.name == "*" ? 1 : 0
    guard case .success(let from) = start, from >= shift else {
      return Expansion(texts: [unknown(parameter.source)], isList: false)
    }
    value.texts = Array(value.texts.dropFirst(from - shift))
    if let length {
      guard case .success(let count) = length, count >= 0 else {
        return Expansion(texts: [unknown(parameter.source)])
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
    guard scalars.count <= 4096 || ["^^", ",,", ":"].contains(operation) else {
      return unknown("a part of a long text")
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
      guard let pattern = try pattern(parameter.argument, &state) else {
        return unknown(parameter.source)
      }
      if operation.hasPrefix("/") {
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
