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
    var skipsFunctions = false
    if fields.count > 1, fields[0].text == "command", fields[1].text.hasPrefix("-") {
      // `command -v` asks whether there is such a command.
      state.status = .open
      return [state]
    }
    while fields.count > 1, ["command", "builtin", "nohup", "time"].contains(fields[0].text) {
      skipsFunctions = skipsFunctions || fields[0].text == "command" || fields[0].text == "builtin"
      fields.removeFirst()
    }
    if fields[0].isOpen, fields[0].text.isUnknown, !assignments.isEmpty {
      // If the command is no word at all, the assignments stay.
      forget(Set(assignments.map(\.name)), &state) {
        "\($0): set before a command that is not known, line \(node.line)"
      }
    }
    if fields[0].text == "exec" {
      fields.removeFirst()
      guard !fields.isEmpty else { return [state] }
      return try run(fields, assignments, node, state, skipsFunctions: true).map { state in
        var state = state
        state.flow = .exited
        return state
      }
    }
    return try run(fields, assignments, node, state, skipsFunctions: skipsFunctions)
  }

  private func run(
    _ fields: [ShellField], _ assignments: [ShellAssignment], _ node: ShellNode,
    _ state: ShellState, skipsFunctions: Bool
  ) throws -> [ShellState] {
    // Assignments before a command are there while it runs.
    let names = Set(assignments.map(\.name))
    var inner = state
    let isOwn =
      !skipsFunctions && state.functions[fields[0].text] != nil
      || ["eval", "source", ".", "read"].contains(fields[0].text)
    if isOwn { for assignment in assignments { try assign(assignment, &inner) } }
    func restored(_ ends: [ShellState]) -> [ShellState] {
      guard isOwn, !names.isEmpty else { return ends }
      return ends.map { end in
        var end = end
        for name in names { end.variables[name] = state.variables[name] }
        return end
      }
    }
    if !skipsFunctions, let body = state.functions[fields[0].text] {
      return restored(try call(body, Array(fields.dropFirst()), inner))
    }
    if ["export", "declare", "local", "readonly", "typeset"].contains(fields[0].text) {
      let words = fields.map { field -> ShellWord in
        let isPlain = field.text == fields[0].text && !field.isQuoted
        return ShellWord(parts: [isPlain ? .plain(field.text) : .quoted(field.text)])
      }
      return [
        try declare([ShellWord(parts: [.plain(fields[0].text)])] + words.dropFirst(), [], state)
      ]
    }
    if let results = try runBuiltin(fields, node, inner) { return restored(results) }
    var state = state
    state.status = .external
    try noteFile(fields, node, &state)
    return try runExternal(fields, assignments, node, state)
  }

  private func call(
    _ body: ShellNode, _ arguments: [ShellField], _ state: ShellState
  ) throws -> [ShellState] {
    calls += 1
    defer { calls -= 1 }
    guard calls <= Limit.calls else {
      var state = state
      giveUp([body], &state, "a function that calls itself was not followed")
      state.status = .open
      return [state]
    }
    var inner = state
    inner.arguments = Array(arguments.prefix { !$0.isOpen })
    inner.openArguments = ShellMachine.open(arguments, "arguments of a function")
    inner.hidden.append([:])
    return try run([body], inner).map { end in
      var end = end
      for (name, variable) in end.hidden.popLast() ?? [:] { end.variables[name] = variable }
      end.arguments = state.arguments
      end.openArguments = state.openArguments
      if end.flow == .returned { end.flow = .running }
      return end
    }
  }

  /// Why nobody knows how many words these are; `nil` if that is known.
  static func open(_ fields: [ShellField], _ what: String) -> String? {
    fields.contains(where: \.isOpen) || fields.count > Limit.elements
      ? "\(what), of which one is not known" : nil
  }

  // MARK: - Assignments

  func assign(_ assignment: ShellAssignment, _ state: inout ShellState) throws {
    let name = assignment.name
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    guard !variable.isReadOnly else {
      // An error, which ends more than this assignment.
      state.assumptions.insert(assume("\(name), which is read-only, is not set again"))
      return
    }
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
          return setOpen(name, "\(name), of which an element was set", &state)
        }
        setElement(key, text, assignment.appends, &variable)
      } else {
        if variable.isInteger {
          let value = compute(text, &state, &assumed)
          text = (try? value.get()).map { "\($0)" } ?? unknown("arithmetic on \(shown(text))")
        }
        switch variable.content {
        case .open(let reason) where assignment.appends: variable.content = .open(reason)
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
      if state.variables[assignment.name] == nil {
        assumed.insert(assume("\(assignment.name) assumed not set"))
      }
      variable.content = .list([:])
    } else if case .open = variable.content {
      return
    }
    var last = -1
    if case .list(let items) = variable.content { last = items.keys.max() ?? -1 }
    for element in assignment.elements {
      if let index = element.index {
        let field = try joined(element.word, &state)
        assumed.formUnion(field.assumptions)
        // What kind of list it is decides what an index means.
        state.variables[assignment.name] = variable
        guard let key = try key(index, of: assignment.name, &state, &assumed) else {
          variable.content = .open("\(assignment.name), of which an element was set")
          return
        }
        setElement(key, field.text, false, &variable)
        last = Int(key) ?? last
      } else {
        let fields = try expand(element.word, &state)
        for field in fields {
          assumed.formUnion(field.assumptions)
          last += 1
          guard case .list(let items) = variable.content, !field.isOpen, last < Limit.index,
            items.count < Limit.elements
          else {
            // How many elements there are from here on is not known.
            variable.content = .open(
              "\(assignment.name), with \(shown(field.text)) among its elements")
            return
          }
          setElement("\(last)", field.text, false, &variable)
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
    case .open: break
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
    // All words are expanded before the first is assigned.
    let assignments = try assignments.map { try literal($0, &state) }
    let command = words.first?.plain ?? ""
    if command == "local", state.hidden.isEmpty {
      // Outside of functions it is an error.
      state.status = .failure
      return state
    }
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
          hide(name, command, &state, isGlobal: flags.contains("g"))
          set(name, String(field.text[field.text.index(after: mark)...]), field.assumptions, &state)
          names.append(name)
          if flags.contains("i") { setOpen(name, "arithmetic on \(shown(field.text))", &state) }
        } else if field.text.hasUnknown {
          // It may declare anything.
          state.addSource("\(command) \(shown(field.text))")
        } else {
          names.append(field.text)
        }
      }
    }
    if flags.contains("n"), command != "export" {
      state.assumptions.insert(assume("names for other variables (declare -n) set nothing else"))
    }
    func prepare(_ name: String) {
      hide(name, command, &state, isGlobal: flags.contains("g"))
      if command == "export", flags.contains("n") {
        state.variables[name]?.isExported = false
        return
      }
      if command == "readonly" || flags.contains("r") { state.variables[name]?.isReadOnly = true }
      if flags.contains("u") || flags.contains("l") || flags.contains("c") {
        setOpen(name, "\(name), whose letters are changed", &state)
      }
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
      hide(assignment.name, command, &state, isGlobal: flags.contains("g"))
      if flags.contains("i") || flags.contains("A") { prepare(assignment.name) }
      try assign(assignment, &state)
      prepare(assignment.name)
      if flags.contains("n") {
        setOpen(assignment.name, "a name for another variable", &state)
      }
    }
    state.status = .success
    return state
  }

  /// An assignment whose words are expanded.
  private func literal(
    _ assignment: ShellAssignment, _ state: inout ShellState
  ) throws -> ShellAssignment {
    var result = assignment
    result.elements = []
    for element in assignment.elements {
      guard assignment.isArray, element.index == nil else {
        let field = try joined(element.word, &state)
        state.assumptions.formUnion(field.assumptions)
        result.elements.append(
          .init(index: element.index, word: ShellWord(parts: [.quoted(field.text)])))
        continue
      }
      // What may be several words stays as it is.
      result.elements.append(element)
    }
    return result
  }

  /// Remembers what a variable of a function hides.
  private func hide(
    _ name: String, _ command: String, _ state: inout ShellState, isGlobal: Bool = false
  ) {
    guard !isGlobal, ["local", "declare", "typeset"].contains(command),
      let last = state.hidden.indices.last,
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

  private func unset(_ name: String, _ state: inout ShellState) {
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

  private func runSet(_ fields: [ShellField], _ state: inout ShellState) throws {
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
      state.addSource("eval at line \(node.line)")
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
    // What its expansion sets is set in another process.
    var inner = state
    state.files[path] = try joined(documents[slot], &inner).text
  }

  private static let shells: Set<String> = ["bash", "sh", "dash", "zsh", "ksh"]
  private static let submitters: Set<String> = ["sbatch", "qsub", "bsub"]

  private func runExternal(
    _ fields: [ShellField], _ assignments: [ShellAssignment], _ node: ShellNode,
    _ before: ShellState
  ) throws -> [ShellState] {
    var state = before
    func base(_ text: String) -> String { String(text.split(separator: "/").last ?? "") }
    // A shell that is given a text: what is quoted there is parsed anew.
    for index in fields.indices where ShellMachine.shells.contains(base(fields[index].text)) {
      var next = index + 1
      while next < fields.count, fields[next].text.hasPrefix("-") {
        let flag = fields[next].text
        next += 1
        guard !flag.hasPrefix("--"), flag.contains("c") else { continue }
        guard next < fields.count else { return [state] }
        return try runText(fields, index, next, assignments, node, state)
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
    return [state]
  }

  /// Runs the text that another shell is given: it has the variables that are exported alone.
  private func runText(
    _ fields: [ShellField], _ shell: Int, _ index: Int, _ assignments: [ShellAssignment],
    _ node: ShellNode, _ state: ShellState
  ) throws -> [ShellState] {
    calls += 1
    defer { calls -= 1 }
    guard calls <= Limit.calls else { return [state] }
    var inner = state
    for assignment in assignments {
      try assign(assignment, &inner)
      inner.variables[assignment.name]?.isExported = true
    }
    // Lists are never exported, nor is how words are split.
    inner.variables = inner.variables.filter { name, variable in
      guard variable.isExported, name != "IFS" else { return false }
      switch variable.content {
      case .scalar, .open: return true
      case .none, .list, .map: return false
      }
    }
    for name in inner.variables.keys {
      inner.variables[name]?.isInteger = false
      inner.variables[name]?.isReadOnly = false
    }
    if let start = fields[..<shell].firstIndex(where: {
      $0.text == "env" || $0.text.hasSuffix("/env")
    }) {
      for field in fields[(start + 1)..<shell] {
        if let mark = field.text.firstIndex(of: "="), !field.text.hasPrefix("-") {
          let name = String(field.text[..<mark])
          inner.variables[name] = ShellVariable(
            content: .scalar(String(field.text[field.text.index(after: mark)...])),
            isExported: true, assumptions: field.assumptions, sources: state.sources.count)
        } else if field.text.hasPrefix("-") {
          // Some variables, or all, are taken away.
          inner.variables = [:]
        }
      }
    }
    inner.functions = [:]
    inner.hidden = []
    let rest = Array(fields.dropFirst(index + 2))
    inner.arguments = Array(rest.prefix { !$0.isOpen })
    inner.openArguments = ShellMachine.open(rest, "arguments of another shell")
    inner.assumptions.formUnion(fields[index].assumptions)
    guard
      let nodes = try? ShellParser.parse(
        bounded(fields[index].text), line: node.line, documents: &documents)
    else { return [state] }
    return try runSubshell(nodes, inner).map { end in
      var result = state
      result.keep(end)
      result.status = end.status
      return result
    }
  }
}
