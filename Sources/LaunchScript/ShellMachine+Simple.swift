extension ShellMachine {
  /// Runs a command that is words and assignments.
  func runSimple(
    _ assignments: [ShellAssignment], _ words: [ShellWord], _ node: ShellNode, _ state: ShellState
  ) throws -> [ShellState] {
    var state = state
    var fields: [ShellField] = []
    for word in words { fields += try expand(word, &state) }
    guard !fields.isEmpty else {
      for assignment in assignments { try assign(assignment, &state) }
      let isCommand =
        words.isEmpty
        && assignments.contains { assignment in
          assignment.elements.contains {
            $0.word.parts.contains { part in
              if case .command = part { true } else { false }
            }
          }
        }
      state.status = isCommand || !words.isEmpty ? .external : .success
      return [state]
    }
    while fields.count > 1, ["command", "builtin", "nohup", "time"].contains(fields[0].text) {
      fields.removeFirst()
    }
    if fields[0].text == "exec" {
      fields.removeFirst()
      guard !fields.isEmpty else { return [state] }
      return try run(fields, assignments, node, state).map { state in
        var state = state
        state.flow = .exited
        return state
      }
    }
    return try run(fields, assignments, node, state)
  }

  private func run(
    _ fields: [ShellField], _ assignments: [ShellAssignment], _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    if let body = state.functions[fields[0].text] {
      return try call(body, Array(fields.dropFirst()), state)
    }
    if let results = try runBuiltin(fields, node, state) { return results }
    var state = state
    state.status = .external
    try noteFile(fields, node, &state)
    try runExternal(fields, assignments, node, &state)
    return [state]
  }

  private func call(
    _ body: ShellNode, _ arguments: [ShellField], _ state: ShellState
  ) throws -> [ShellState] {
    calls += 1
    defer { calls -= 1 }
    guard calls <= Limit.calls else {
      var state = state
      state.status = .open
      return [state]
    }
    var inner = state
    inner.arguments = arguments
    inner.hidden.append([:])
    return try run([body], inner).map { end in
      var end = end
      for (name, variable) in end.hidden.popLast() ?? [:] { end.variables[name] = variable }
      end.arguments = state.arguments
      if end.flow == .returned { end.flow = .running }
      return end
    }
  }

  // MARK: - Assignments

  func assign(_ assignment: ShellAssignment, _ state: inout ShellState) throws {
    let name = assignment.name
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    variable.sources = state.sources.count
    if state.exportsAll { variable.isExported = true }
    if !assignment.appends { variable.assumptions = [] }
    var assumed: Set<String> = []
    if assignment.isArray {
      try assignList(assignment, &variable, &state, &assumed)
    } else {
      let word = assignment.elements.first?.word ?? ShellWord()
      let field = try joined(word, &state)
      assumed.formUnion(field.assumptions)
      var text = field.text
      if let index = assignment.index {
        guard let key = try key(index, of: name, &state, &assumed) else {
          return set(name, unknown("\(name), of which an element was set"), assumed, &state)
        }
        setElement(key, text, assignment.appends, &variable)
      } else {
        if variable.isInteger {
          let value = compute(text, &state, &assumed)
          text = (try? value.get()).map { "\($0)" } ?? unknown("arithmetic on \(shown(text))")
        }
        switch variable.content {
        case .list, .map: setElement("0", text, assignment.appends, &variable)
        case .scalar(let old) where assignment.appends && !variable.isInteger:
          variable.content = .scalar(bounded(old + text))
        case .scalar(let old) where assignment.appends:
          let sum = (try? compute("(\(old)) + (\(text))", &state, &assumed).get()).map { "\($0)" }
          variable.content = .scalar(sum ?? unknown("a sum with something unknown"))
        case .none where assignment.appends && state.variables[name] == nil:
          // What was in the environment comes first, if anything was.
          let old = unknown("environment variable \(name)")
          variable.content = .scalar(bounded(old + text))
        default: variable.content = .scalar(bounded(text))
        }
      }
    }
    variable.assumptions.formUnion(assumed)
    state.variables[name] = variable
  }

  private func assignList(
    _ assignment: ShellAssignment, _ variable: inout ShellVariable, _ state: inout ShellState,
    _ assumed: inout Set<String>
  ) throws {
    if !assignment.appends {
      if case .map = variable.content {
        variable.content = .map([:])
      } else {
        variable.content = .list([:])
      }
    } else if case .scalar(let text) = variable.content {
      variable.content = .list([0: text])
    } else if variable.content == .none {
      variable.content = .list([:])
    }
    for element in assignment.elements {
      if let index = element.index {
        let field = try joined(element.word, &state)
        assumed.formUnion(field.assumptions)
        // What kind of list it is decides what an index means.
        state.variables[assignment.name] = variable
        guard let key = try key(index, of: assignment.name, &state, &assumed) else {
          variable.content = .scalar(unknown("\(assignment.name), of which an element was set"))
          return
        }
        setElement(key, field.text, false, &variable)
      } else {
        for field in try expand(element.word, &state) {
          assumed.formUnion(field.assumptions)
          if case .list(let items) = variable.content {
            setElement("\((items.keys.max() ?? -1) + 1)", field.text, false, &variable)
          }
        }
      }
    }
  }

  private func setElement(
    _ key: String, _ text: String, _ appends: Bool, _ variable: inout ShellVariable
  ) {
    switch variable.content {
    case .map(var items):
      items[key] = bounded((appends ? items[key] ?? "" : "") + text)
      variable.content = .map(items)
    case .list(var items):
      guard let number = Int(key) else { return }
      items[number] = bounded((appends ? items[number] ?? "" : "") + text)
      variable.content = .list(items)
    case .scalar(let old):
      variable.content = .list([0: old])
      setElement(key, text, appends, &variable)
    case .none:
      variable.content = .list([:])
      setElement(key, text, appends, &variable)
    }
  }

  /// `export`, `declare`, `local` and their like.
  func declare(
    _ words: [ShellWord], _ assignments: [ShellAssignment], _ state: ShellState
  ) throws -> ShellState {
    var state = state
    let command = words.first?.plain ?? ""
    var flags: Set<Character> = []
    var names: [String] = []
    for word in words.dropFirst() {
      for field in try expand(word, &state) {
        if field.text.hasPrefix("-") || field.text.hasPrefix("+") {
          flags.formUnion(field.text.hasPrefix("-") ? Array(field.text.dropFirst()) : [])
        } else if let mark = field.text.firstIndex(of: "="),
          !field.text[..<mark].description.hasUnknown
        {
          let name = String(field.text[..<mark])
          hide(name, command, &state)
          set(name, String(field.text[field.text.index(after: mark)...]), field.assumptions, &state)
          names.append(name)
        } else if field.text.hasUnknown {
          // It may declare anything.
          state.sources.append("\(command) \(shown(field.text))")
        } else {
          names.append(field.text)
        }
      }
    }
    func prepare(_ name: String) {
      hide(name, command, &state)
      guard flags.contains("i") || flags.contains("A") || command == "export" || flags.contains("x")
      else { return }
      var variable = state.variables[name] ?? ShellVariable(content: .none)
      if flags.contains("i") { variable.isInteger = true }
      if flags.contains("A"), variable.content == .none { variable.content = .map([:]) }
      if command == "export" || flags.contains("x") { variable.isExported = true }
      if variable.content == .none, state.variables[name] == nil, !flags.contains("i") { return }
      state.variables[name] = variable
    }
    for name in names where !flags.contains("f") {
      if state.functions[name] == nil || state.variables[name] != nil { prepare(name) }
    }
    for assignment in assignments {
      hide(assignment.name, command, &state)
      if flags.contains("i") || flags.contains("A") { prepare(assignment.name) }
      try assign(assignment, &state)
      prepare(assignment.name)
      if flags.contains("n") {
        set(assignment.name, unknown("a name for another variable"), [], &state)
      }
    }
    state.status = .success
    return state
  }

  /// Remembers what a variable of a function hides.
  private func hide(_ name: String, _ command: String, _ state: inout ShellState) {
    guard ["local", "declare", "typeset"].contains(command), let last = state.hidden.indices.last,
      state.hidden[last][name] == nil
    else { return }
    state.hidden[last][name] = .some(state.variables[name])
    state.variables[name] = ShellVariable(content: .none, sources: state.sources.count)
  }

  // MARK: - Builtins

  /// Runs a command of the shell itself; `nil` if it is none.
  private func runBuiltin(
    _ fields: [ShellField], _ node: ShellNode, _ before: ShellState
  ) throws -> [ShellState]? {
    var state = before
    state.status = .success
    let words = fields.dropFirst().map(\.text)
    func count(_ standard: Int) -> Int { words.first.flatMap { Int($0) } ?? standard }
    switch fields[0].text {
    case ":", "true", "echo", "cd", "pushd", "popd", "trap", "wait", "ulimit", "umask", "shopt",
      "alias", "hash", "type", "enable":
      break
    case "printf":
      if words.first == "-v", words.count > 1 {
        set(words[1], unknown("what printf makes"), [], &state)
      }
    case "false": state.status = .failure
    case "exit": state.flow = .exited
    case "return":
      state.flow = .returned
      state.status = words.isEmpty ? before.status : ShellStatus(words[0] == "0")
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
      for word in words { last = try? compute(word, &state, &assumed).get() }
      state.assumptions.formUnion(assumed)
      state.status = ShellStatus(last.map { $0 != 0 })
    case "shift":
      let arguments = self.arguments(&state)
      if state.arguments != nil { state.arguments = Array(arguments.dropFirst(count(1))) }
      state.status = ShellStatus(arguments.count >= count(1))
    case "set": try runSet(Array(fields.dropFirst()), &state)
    case "unset":
      for name in words where !name.hasPrefix("-") {
        if words.first == "-f" {
          state.functions[name] = nil
        } else {
          unset(name, &state)
        }
      }
    case "read", "mapfile", "readarray", "getopts":
      for name in words where ShellParser.isNameStart(name.unicodeScalars.first) {
        set(name, unknown("read from input"), [], &state)
      }
      state.status = .open
    case "eval": return try runEval(fields, node, state)
    case "source", ".":
      state.sources.append(shown(words.first ?? ""))
      state.status = .external
    default: return nil
    }
    return [state]
  }

  private func unset(_ name: String, _ state: inout ShellState) {
    let bare = String(name.prefix { $0 != "[" })
    let gone = ShellVariable(content: .none, sources: state.sources.count)
    guard bare.count < name.count else {
      state.variables[name] = gone
      return
    }
    let key = String(name.dropFirst(bare.count + 1).dropLast())
    switch state.variables[bare]?.content {
    case .map(var items) where !key.hasUnknown:
      items[key] = nil
      state.variables[bare]?.content = .map(items)
    case .list(var items) where Int(key) != nil:
      items[Int(key) ?? 0] = nil
      state.variables[bare]?.content = .list(items)
    default: set(bare, self.unknown("\(bare), of which an element was unset"), [], &state)
    }
  }

  private func runSet(_ fields: [ShellField], _ state: inout ShellState) throws {
    for (index, field) in fields.enumerated() {
      if field.text == "--" || !field.text.hasPrefix("-") && !field.text.hasPrefix("+") {
        let isOption = index > 0 && ["-o", "+o"].contains(fields[index - 1].text)
        if isOption {
          if field.text == "allexport" { state.exportsAll = fields[index - 1].text == "-o" }
          continue
        }
        state.arguments = Array(fields[(field.text == "--" ? index + 1 : index)...])
        return
      }
      if field.text.contains("a"), !field.text.hasSuffix("o") {
        state.exportsAll = field.text.hasPrefix("-")
      }
    }
  }

  private func runEval(
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
      state.sources.append("eval at line \(node.line)")
      state.status = .external
      return [state]
    }
    return try run(nodes, state)
  }

  // MARK: - Other programs

  /// Remembers a text that `cat` or `tee` writes to a file.
  private func noteFile(
    _ fields: [ShellField], _ node: ShellNode, _ state: inout ShellState
  ) throws {
    guard fields[0].text == "cat" || fields[0].text == "tee" else { return }
    guard let input = node.redirects.last(where: { $0.kind == "<<" }),
      let slot = input.word.plain.flatMap({ Int($0) }), documents.indices.contains(slot)
    else { return }
    let output = node.redirects.last { [">", ">|"].contains($0.kind) }
    let path =
      try output.map { try joined($0.word, &state).text }
      ?? (fields[0].text == "tee"
        ? fields.dropFirst().first { !$0.text.hasPrefix("-") }?.text : nil)
    guard let path else { return }
    state.files[path] = try joined(documents[slot], &state).text
  }

  private static let shells: Set<String> = ["bash", "sh", "dash", "zsh", "ksh"]
  private static let submitters: Set<String> = ["sbatch", "qsub", "bsub"]

  private func runExternal(
    _ fields: [ShellField], _ assignments: [ShellAssignment], _ node: ShellNode,
    _ state: inout ShellState
  ) throws {
    func base(_ text: String) -> String { String(text.split(separator: "/").last ?? "") }
    // A shell that is given a text: what is quoted there is parsed anew.
    for index in fields.indices where ShellMachine.shells.contains(base(fields[index].text)) {
      var next = index + 1
      while next < fields.count, fields[next].text.hasPrefix("-") {
        let flag = fields[next].text
        next += 1
        guard !flag.hasPrefix("--"), flag.contains("c") else { continue }
        guard next < fields.count else { return }
        try runText(fields, next, assignments, node, &state)
        return
      }
      if next < fields.count, base(fields[next].text).hasSuffix("sh") {
        state.submitted.append(shown(fields[next].text))
      }
    }
    if ShellMachine.submitters.contains(base(fields[0].text)),
      let script = fields.dropFirst().first(where: { !$0.text.hasPrefix("-") })
    {
      state.submitted.append(shown(script.text))
    }
    if let launch = LaunchScript.Launch(fields, line: node.line, state: state, machine: self) {
      state.launches.append(launch)
    }
  }

  /// Runs the text that another shell is given: it has the variables that are exported alone.
  private func runText(
    _ fields: [ShellField], _ index: Int, _ assignments: [ShellAssignment], _ node: ShellNode,
    _ state: inout ShellState
  ) throws {
    calls += 1
    defer { calls -= 1 }
    guard calls <= Limit.calls else { return }
    var inner = state
    for assignment in assignments {
      try assign(assignment, &inner)
      inner.variables[assignment.name]?.isExported = true
    }
    inner.variables = inner.variables.filter { $0.value.isExported }
    inner.functions = [:]
    inner.hidden = []
    inner.arguments = Array(fields.dropFirst(index + 2))
    inner.assumptions.formUnion(fields[index].assumptions)
    guard
      let nodes = try? ShellParser.parse(
        bounded(fields[index].text), line: node.line, documents: &documents)
    else { return }
    let end = try runSubshell(nodes, inner)
    state.keep(end)
  }
}
