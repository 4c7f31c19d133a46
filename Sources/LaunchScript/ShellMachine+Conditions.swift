extension ShellMachine {
  func runBoth(
    _ left: ShellNode, _ right: ShellNode, _ node: ShellNode, _ state: ShellState, isAnd: Bool
  ) throws -> [ShellState] {
    var results: [ShellState] = []
    for state in try run(left, state) {
      guard state.flow == .running else {
        results.append(state)
        continue
      }
      switch state.status {
      case .success, .external:
        if isAnd { results += try run(right, state) } else { results.append(state) }
      case .failure:
        if isAnd { results.append(state) } else { results += try run(right, state) }
      case .open:
        guard ShellNode.matter([right], state.functions) else {
          results.append(state)
          continue
        }
        results += try fork("\(isAnd ? "&&" : "||") at line \(node.line)", [right], state) {
          try self.run(right, $0)
        } or: { state in
          var state = state
          state.status = isAnd ? .failure : .success
          return [state]
        }
      }
    }
    return results
  }

  /// Follows both ways of a condition that is open, unless there are too many already.
  func fork(
    _ name: String, _ nodes: [ShellNode], _ state: ShellState,
    either: (ShellState) throws -> [ShellState], or other: (ShellState) throws -> [ShellState]
  ) throws -> [ShellState] {
    guard ways < Limit.ways else {
      var state = state
      giveUp(nodes, &state, "a condition was not followed, \(name)")
      if !conditions.contains(name) { conditions.append(name) }
      state.status = .open
      return [state]
    }
    ways += 1
    let (a, b) = (try either(state), try other(state))
    if a == b {
      ways -= 1
      return a
    }
    if !conditions.contains(name) { conditions.append(name) }
    return a + b
  }

  func runCondition(
    _ arms: ArraySlice<ShellCommand.Arm>, _ otherwise: [ShellNode], _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    guard let arm = arms.first else {
      guard otherwise.isEmpty else { return try run(otherwise, state) }
      var state = state
      state.status = .success
      return [state]
    }
    let rest = arms.dropFirst()
    return try run(arm.test, state).flatMap { state -> [ShellState] in
      guard state.flow == .running else { return [state] }
      switch state.status {
      case .success: return try run(arm.body, state)
      case .failure: return try runCondition(rest, otherwise, node, state)
      case .external, .open:
        let nodes = arm.body + rest.flatMap { $0.test + $0.body } + otherwise
        guard ShellNode.matter(nodes, state.functions) else {
          var state = state
          state.status = .open
          return [state]
        }
        return try fork("if at line \(node.line)", nodes, state) {
          try self.run(arm.body, $0)
        } or: {
          try self.runCondition(rest, otherwise, node, $0)
        }
      }
    }
  }

  func runChoice(
    _ word: ShellWord, _ cases: ArraySlice<ShellCommand.Case>, _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    var state = state
    state.status = .success
    guard let item = cases.first else { return [state] }
    let subject = try joined(word, &state)
    var isOpen = subject.text.hasUnknown
    var fits = false
    if !isOpen {
      for pattern in item.patterns {
        guard let pattern = try self.pattern(pattern, &state) else {
          isOpen = true
          break
        }
        if pattern.matches(Array(subject.text.unicodeScalars)[...]) { fits = true }
      }
    }
    state.assumptions.formUnion(subject.assumptions)
    func taken(_ state: ShellState) throws -> [ShellState] {
      try runCase(word, cases, node, state)
    }
    if fits { return try taken(state) }
    guard isOpen else { return try runChoice(word, cases.dropFirst(), node, state) }
    let nodes = cases.flatMap(\.body)
    guard ShellNode.matter(nodes, state.functions) else { return [state] }
    return try fork("case at line \(node.line)", nodes, state) {
      try taken($0)
    } or: {
      try self.runChoice(word, cases.dropFirst(), node, $0)
    }
  }

  /// Runs the body of the first case, and what comes after it.
  func runCase(
    _ word: ShellWord, _ cases: ArraySlice<ShellCommand.Case>, _ node: ShellNode,
    _ state: ShellState
  ) throws -> [ShellState] {
    guard let item = cases.first else { return [state] }
    let rest = cases.dropFirst()
    return try run(item.body, state).flatMap { state -> [ShellState] in
      guard state.flow == .running else { return [state] }
      switch item.end {
      case .closed: return [state]
      case .falls: return try runCase(word, rest, node, state)
      case .goesOn: return try runChoice(word, rest, node, state)
      }
    }
  }
}
