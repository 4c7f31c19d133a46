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

  func run(
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

  func call(
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

}
