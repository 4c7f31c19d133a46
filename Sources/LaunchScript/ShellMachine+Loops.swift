extension ShellMachine {
  func runLoop(
    _ name: String, _ words: [ShellWord]?, _ body: [ShellNode], _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    var state = state
    var fields: [ShellField] = []
    if let words {
      for word in words { fields += try expand(word, &state) }
    } else {
      fields = arguments(&state)
    }
    guard !fields.contains(where: \.isOpen), state.openArguments == nil || words != nil,
      fields.count <= Limit.turns
    else {
      return try runOnce(body, node, state, name)
    }
    state.status = .success
    var (running, ended) = ([state], [ShellState]())
    for field in fields {
      var next: [ShellState] = []
      for var state in running {
        set(name, field.text, field.assumptions, &state)
        turn(try run(body, state), &next, &ended)
      }
      running = next
    }
    return running + ended
  }

  func runWhile(
    _ test: [ShellNode], _ body: [ShellNode], _ isUntil: Bool, _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    var state = state
    // That of the last body, or success where there was none.
    state.status = .success
    var (running, ended) = ([state], [ShellState]())
    for _ in 0..<Limit.turns {
      var next: [ShellState] = []
      for state in running {
        let before = state.status
        for var state in try run(test, state) {
          let status = isUntil ? state.status.negated : state.status
          switch status {
          case _ where state.flow != .running: ended.append(state)
          case .success: turn(try run(body, state), &next, &ended)
          case .failure:
            state.status = before
            ended.append(state)
          case .external, .open: ended += try runOnce(test + body, node, state)
          }
        }
      }
      running = next
      if running.isEmpty { return ended }
    }
    return try ended + running.flatMap { try runOnce(test + body, node, $0) }
  }

  /// Sorts the ends of one turn of a loop into those that go on and those that leave it.
  func turn(
    _ results: [ShellState], _ next: inout [ShellState], _ ended: inout [ShellState]
  ) {
    for var state in results {
      switch state.flow {
      case .running: next.append(state)
      case .continued(let count):
        state.flow = count > 1 ? .continued(count - 1) : .running
        if count > 1 { ended.append(state) } else { next.append(state) }
      case .broken(let count):
        state.flow = count > 1 ? .broken(count - 1) : .running
        ended.append(state)
      case .exited, .returned: ended.append(state)
      }
    }
  }

  /// `for ((start; test; step))`.
  func runCounting(
    _ start: ShellWord, _ test: ShellWord, _ step: ShellWord, _ body: [ShellNode],
    _ node: ShellNode, _ state: ShellState
  ) throws -> [ShellState] {
    var state = state
    let names = [start, test, step].reduce(into: Set<String>()) { $0.formUnion($1.names) }
    func value(_ word: ShellWord, _ state: inout ShellState) throws -> Int? {
      var assumed: Set<String> = []
      defer { state.assumptions.formUnion(assumed) }
      return try? compute(word, &state, &assumed).get()
    }
    func open(_ state: ShellState) throws -> [ShellState] {
      var state = state
      forget(names, &state) { "\($0): counted in a loop that is not known, line \(node.line)" }
      return try runOnce(body, node, state).map { end in
        var end = end
        forget(names, &end) { "\($0): counted in a loop that is not known, line \(node.line)" }
        return end
      }
    }
    guard try value(start, &state) != nil else { return try open(state) }
    var (running, ended) = ([state], [ShellState]())
    for _ in 0..<Limit.turns {
      var next: [ShellState] = []
      for var state in running {
        let isEndless = test.parts.isEmpty
        guard let isTrue = isEndless ? 1 : try value(test, &state) else {
          ended += try open(state)
          continue
        }
        guard isTrue != 0 else {
          ended.append(state)
          continue
        }
        var after: [ShellState] = []
        turn(try run(body, state), &after, &ended)
        for var state in after {
          if try value(step, &state) == nil { ended += try open(state) } else { next.append(state) }
        }
      }
      running = next
      if running.isEmpty { return ended }
    }
    return try ended + running.flatMap { try open($0) }
  }

  /// A loop whose turns are not known: what it sets is not known, but what it launches is looked
  /// at.
  func runOnce(
    _ body: [ShellNode], _ node: ShellNode, _ state: ShellState, _ name: String? = nil
  ) throws -> [ShellState] {
    var state = state
    var names = ShellNode.assigned(in: body).union(name.map { [$0] } ?? [])
    func forgetAll(_ state: inout ShellState) {
      forget(names, &state) { "\($0): set in a loop over something unknown, line \(node.line)" }
    }
    /// What a turn changed, by whatever way.
    func note(_ end: ShellState, _ before: ShellState, _ state: inout ShellState) {
      for name in Set(end.variables.keys).union(before.variables.keys)
      where end.variables[name]?.content != before.variables[name]?.content {
        names.insert(name)
      }
      if end.arguments != before.arguments || end.openArguments != before.openArguments {
        state.arguments = []
        state.openArguments = "arguments set in a loop over something unknown, line \(node.line)"
      }
      for (name, body) in end.functions where before.functions[name] != body {
        state.functions[name] = nil
        state.assumptions.insert(assume("\(name), defined in a loop, changes nothing"))
      }
      for source in end.sources where !before.sources.contains(source) {
        state.addSource(source)
      }
    }
    guard ShellNode.matter(body, state.functions) else {
      forgetAll(&state)
      state.status = .open
      return [state]
    }
    // Once to see what it changes, and again with that not known.
    let before = state
    for end in try run(body, before) { note(end, before, &state) }
    forgetAll(&state)
    let forgotten = state
    var results: [ShellState] = []
    let ends = try run(body, forgotten)
    for end in ends { note(end, forgotten, &state) }
    for end in ends {
      var result = state
      result.keep(end)
      forgetAll(&result)
      result.status = .open
      if end.flow == .exited {
        result.assumptions.insert(assume("the loop at line \(node.line) does not leave the script"))
      }
      if !results.contains(result) { results.append(result) }
    }
    ways += results.count - ends.count
    return results
  }

  /// Leaves commands out: what they may set is not known, and all that comes after hangs on it that
  /// they do nothing else.
  func giveUp(_ nodes: [ShellNode], _ state: inout ShellState, _ reason: String) {
    let bodies = Array(state.functions.values)
    forget(ShellNode.assigned(in: nodes + bodies), &state) { "\($0): \(reason)" }
    state.assumptions.insert(assume("nothing else hangs on it that \(reason)"))
  }

  /// Makes variables not known.
  func forget(_ names: Set<String>, _ state: inout ShellState, _ reason: (String) -> String) {
    for name in names { setOpen(name, reason(name), &state) }
  }
}
