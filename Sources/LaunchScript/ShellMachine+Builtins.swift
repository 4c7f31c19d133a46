extension ShellMachine {
  /// Runs a command of the shell itself; `nil` if it is none.
  func runBuiltin(
    _ fields: [ShellField], _ node: ShellNode, _ before: ShellState
  ) throws -> [ShellState]? {
    var state = before
    state.status = .success
    let words = fields.dropFirst().map(\.text)
    func count(_ standard: Int) -> Int { words.first.flatMap { Int($0) } ?? standard }
    switch fields[0].text {
    case ":", "true", "echo": break
    case "cd", "pushd", "popd", "wait", "ulimit", "umask", "enable", "unalias":
      state.status = .external
    // They ask whether there is such a command.
    case "hash", "type": state.status = .open
    case "trap":
      state.status = .external
      if words.first?.contains("=") == true {
        state.assumptions.insert(assume("what trap runs changes nothing"))
      }
    case "alias":
      state.status = .external
      if !words.isEmpty { state.assumptions.insert(assume("no alias changes a command")) }
    case "shopt":
      state.status = .external
      let telling = ["nocasematch", "lastpipe", "nullglob", "failglob", "expand_aliases"]
      for name in words where telling.contains(name) {
        state.assumptions.insert(assume("shopt \(name) changes nothing"))
      }
    case "printf":
      if words.first == "-v", words.count > 1 {
        if words[1].hasUnknown { state.addSource("printf") }
        setOpen(words[1], "what printf makes", &state)
      } else if let first = words.first, first.hasPrefix("-v") {
        setOpen(String(first.dropFirst(2)), "what printf makes", &state)
      }
    case "false": state.status = .failure
    case "exit", "return":
      if fields[0].text == "return", state.hidden.isEmpty {
        // Outside of functions it is an error, after which bash goes on.
        state.status = .failure
        break
      }
      state.flow = fields[0].text == "exit" ? .exited : .returned
      let code = words.first.map { Int($0) }
      state.status =
        words.isEmpty ? before.status : ShellStatus(code?.map { $0 & 255 == 0 })
    case "break": state.flow = .broken(max(1, count(1)))
    case "continue": state.flow = .continued(max(1, count(1)))
    case "test": state.status = ShellStatus(evaluate(Array(fields.dropFirst()), &state))
    case "[":
      guard words.last == "]" else {
        state.status = .open
        break
      }
      state.status = ShellStatus(evaluate(Array(fields.dropFirst().dropLast()), &state))
    case "let":
      var assumed: Set<String> = []
      var last: Int?
      if words.contains(where: \.hasUnknown) {
        forget(ShellNode.assigned(in: [node]), &state) { "\($0): set by let, line \(node.line)" }
      }
      for word in words { last = try? compute(word, &state, &assumed).get() }
      state.assumptions.formUnion(assumed)
      state.status = ShellStatus(last.map { $0 != 0 })
    case "shift":
      let arguments = self.arguments(&state)
      let number = count(1)
      let isOpen = state.openArguments != nil
      guard number >= 0, number <= arguments.count - (isOpen ? 1 : 0),
        words.first.map({ Int($0) != nil }) ?? true
      else {
        state.status = isOpen ? .open : .failure
        if isOpen { state.arguments = [] }
        break
      }
      if state.arguments != nil { state.arguments = Array(arguments.dropFirst(number)) }
    case "set": try runSet(Array(fields.dropFirst()), &state)
    case "unset":
      if words.contains(where: \.hasUnknown) { state.addSource("unset at line \(node.line)") }
      for name in words where !name.hasPrefix("-") {
        if words.first == "-f" {
          state.functions[name] = nil
        } else {
          unset(name, &state)
        }
      }
    case "read", "mapfile", "readarray", "getopts":
      for name in words where ShellParser.isNameStart(name.unicodeScalars.first) {
        setOpen(String(name.prefix { $0 != "[" }), "read from input", &state)
      }
      for name in ["REPLY", "MAPFILE", "OPTARG"] where state.variables[name] != nil {
        setOpen(name, "read from input", &state)
      }
      if words.contains(where: \.hasUnknown) { state.addSource(fields[0].text) }
      state.status = .open
    case "eval": return try runEval(fields, node, state)
    case "source", ".":
      state.addSource(shown(words.first ?? ""))
      state.status = .external
    default: return nil
    }
    return [state]
  }

  func unset(_ name: String, _ state: inout ShellState) {
    let bare = String(name.prefix { $0 != "[" })
    let gone = ShellVariable(content: .none, sources: state.sources.count)
    guard state.variables[bare]?.isReadOnly != true else { return }
    guard bare.count < name.count else {
      state.variables[name] = gone
      return
    }
    let key = String(name.dropFirst(bare.count + 1).dropLast())
    switch state.variables[bare]?.content {
    case .map(var items) where key.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }:
      items[key] = nil
      state.variables[bare]?.content = .map(items)
    case .list(var items) where Int(key).map { $0 >= 0 } == true:
      items[Int(key) ?? 0] = nil
      state.variables[bare]?.content = .list(items)
    default: setOpen(bare, "\(bare), of which an element was unset", &state)
    }
  }

  func runSet(_ fields: [ShellField], _ state: inout ShellState) throws {
    var index = 0
    while index < fields.count {
      let text = fields[index].text
      if fields[index].isOpen {
        state.arguments = []
        state.openArguments = "arguments that were set, of which one is not known"
        return
      }
      if text == "--" || !text.hasPrefix("-") && !text.hasPrefix("+") || text == "-" {
        let arguments = Array(fields[(text == "--" || text == "-" ? index + 1 : index)...])
        if text == "-", arguments.isEmpty { return }
        state.openArguments = ShellMachine.open(arguments, "arguments that were set")
        state.arguments = Array(arguments.prefix { !$0.isOpen })
        return
      }
      index += 1
      let isOn = text.hasPrefix("-")
      for letter in text.dropFirst() {
        if letter == "a" { state.exportsAll = isOn }
        guard letter == "o" else { continue }
        // The next word is the option's name.
        if index < fields.count, fields[index].text == "allexport" { state.exportsAll = isOn }
        index += 1
      }
    }
  }

  func runEval(
    _ fields: [ShellField], _ node: ShellNode, _ before: ShellState
  ) throws -> [ShellState] {
    var state = before
    let text = fields.dropFirst().map(\.text).joined(separator: " ")
    for field in fields { state.assumptions.formUnion(field.assumptions) }
    calls += 1
    defer { calls -= 1 }
    guard calls <= Limit.calls, !text.isUnknown || text.isEmpty,
      let nodes = try? ShellParser.parse(bounded(text), line: node.line, documents: &documents)
    else {
      // What it does is not known, and may be anything.
      state.addSource("eval at line \(node.line)")
      state.status = .external
      return [state]
    }
    return try run(nodes, state)
  }
}
