extension ShellMachine {
  /// Remembers a text that `cat` or `tee` writes to a file.
  func noteFile(
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

  static let shells: Set<String> = ["bash", "sh", "dash", "zsh", "ksh"]
  static let submitters: Set<String> = ["sbatch", "qsub", "bsub"]

  func runExternal(
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
  func runText(
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
