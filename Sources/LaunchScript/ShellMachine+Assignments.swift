extension ShellMachine {
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

  func assignList(
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

  func setElement(
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
  func literal(
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
  func hide(
    _ name: String, _ command: String, _ state: inout ShellState, isGlobal: Bool = false
  ) {
    guard !isGlobal, ["local", "declare", "typeset"].contains(command),
      let last = state.hidden.indices.last,
      state.hidden[last][name] == nil
    else { return }
    state.hidden[last][name] = .some(state.variables[name])
    state.variables[name] = ShellVariable(content: .none, sources: state.sources.count)
  }
}
