extension ShellMachine {
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

  func expand(
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
  func unset(_ parameter: ShellParameter, _ state: ShellState) -> String {
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
  func base(
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
  func choose(
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

  func alternative(
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
}
