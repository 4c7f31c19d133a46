/// Follows a script along all its ways without running or opening anything: what a command would
/// print, what a file holds and what the machine is like are not known, and are carried along as
/// such.
///
/// A condition that cannot be decided is followed both ways, each with variables of its own.
final class ShellMachine {
  /// What bounds the work: a limit makes a thing not known.
  enum Limit {
    static let ways = 64
    static let commands = 100_000
    static let commandsOfStatement = 20_000
    static let turns = 10_000
    static let calls = 64
    static let value = 1 << 20
    static let values = 16 << 20
    /// Elements of a list, and arguments.
    static let elements = 10_000
    /// The index of an element.
    static let index = 1 << 31
  }

  /// Thrown when a statement takes too many commands.
  struct GaveUp: Error {}

  var documents: [ShellWord] = []
  /// Why things are not known; each has a scalar that stands for it.
  private var reasons: [String] = []
  private var reasonIndices: [String: Int] = [:]
  /// What was assumed, in the order in which it was.
  private(set) var assumptions: [String] = []
  /// The conditions that were followed both ways.
  private(set) var conditions: [String] = []
  private var ways = 1
  private var used = 0
  private var allowed = 0
  var calls = 0
  /// How many bytes of text were made.
  private var made = 0

  // MARK: - What is not known

  /// The text that stands for something that is not known.
  func unknown(_ reason: String) -> String {
    // One reason may speak of another.
    let reason = reason.utf8.count > 240 ? String(reason.prefix(200)) + "..." : reason
    let index: Int
    if let known = reasonIndices[reason] {
      index = known
    } else {
      index = min(reasons.count, 0xFFF0)
      if index == reasons.count { reasons.append(reason) }
      reasonIndices[reason] = index
    }
    return Unicode.Scalar(String.firstUnknown + UInt32(index)).map { String(Character($0)) } ?? ""
  }

  /// A text for people: what is not known in it stands in angle brackets.
  func shown(_ text: String) -> String {
    guard text.hasUnknown else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if scalar.value >= String.firstUnknown {
        result += "<\(reason(of: scalar))>"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  func reason(of scalar: Unicode.Scalar) -> String {
    let index = Int(scalar.value - String.firstUnknown)
    return index < reasons.count ? reasons[index] : "not known"
  }

  func assume(_ text: String) -> String {
    if !assumptions.contains(text) { assumptions.append(text) }
    return text
  }

  /// A text, or, if it is too long, something that is not known.
  func bounded(_ text: String) -> String {
    let size = text.utf8.count
    made += size
    guard size <= Limit.value else { return unknown("a value longer than 1 MiB") }
    guard made <= 16 * Limit.values || size < 1024 else { return unknown("too much text in all") }
    return text
  }

  // MARK: - Commands

  /// Runs the statements of a whole script.
  func runScript(_ nodes: [ShellNode], _ state: ShellState) -> [ShellState] {
    var (running, ended) = ([state], [ShellState]())
    for node in nodes {
      var next: [ShellState] = []
      for state in running {
        allowed = used + (used < Limit.commands ? Limit.commandsOfStatement : 100)
        calls = 0
        do {
          for var result in try run(node, state) {
            // Outside of functions these are errors, after which bash goes on.
            if result.flow != .exited { result.flow = .running }
            if result.flow == .running { next.append(result) } else { ended.append(result) }
          }
        } catch {
          var state = state
          giveUp([node], &state, "following the script was given up at line \(node.line)")
          next.append(state)
        }
      }
      running = next
    }
    return ended + running
  }

  func run(_ nodes: [ShellNode], _ state: ShellState) throws -> [ShellState] {
    var (running, ended) = ([state], [ShellState]())
    for node in nodes {
      guard !running.isEmpty else { break }
      // Taken out of the list, so that a state with no other owner is changed in place.
      let states = running
      running = []
      for state in states {
        for result in try run(node, state) {
          if result.flow == .running { running.append(result) } else { ended.append(result) }
        }
      }
    }
    return ended + running
  }

  func run(_ node: ShellNode, _ state: ShellState) throws -> [ShellState] {
    used += 1
    guard used <= allowed else { throw GaveUp() }
    switch node.command {
    case .simple(let assignments, let words):
      return try runSimple(assignments, words, node, state)
    case .declaration(let words, let assignments):
      return [try declare(words, assignments, state)]
    case .pipeline(let nodes, let isNegated):
      guard nodes.count > 1 else {
        return try run(nodes, state).map { state in
          var state = state
          if isNegated { state.status = state.status.negated }
          return state
        }
      }
      var states = [state]
      for node in nodes { states = try states.flatMap { try runSubshell([node], $0) } }
      for index in states.indices where isNegated {
        states[index].status = states[index].status.negated
      }
      return states
    case .and(let left, let right): return try runBoth(left, right, node, state, isAnd: true)
    case .or(let left, let right): return try runBoth(left, right, node, state, isAnd: false)
    case .group(let nodes): return try run(nodes, state)
    case .subshell(let nodes): return try runSubshell(nodes, state)
    case .condition(let arms, let otherwise):
      return try runCondition(arms[...], otherwise, node, state)
    case .loop(let name, let words, let body):
      return try runLoop(name, words, body, node, state)
    case .openLoop(let name, let body): return try runOnce(body, node, state, name)
    case .countingLoop(let start, let test, let step, let body):
      return try runCounting(start, test, step, body, node, state)
    case .whileLoop(let test, let body, let isUntil):
      return try runWhile(test, body, isUntil, node, state)
    case .choice(let word, let cases): return try runChoice(word, cases[...], node, state)
    case .function(let name, let body):
      var state = state
      state.functions[name] = body
      state.status = .success
      return [state]
    case .arithmetic(let word):
      var state = state
      var assumed: Set<String> = []
      let value = try? compute(word, &state, &assumed).get()
      state.assumptions.formUnion(assumed)
      state.status = ShellStatus(value.map { $0 != 0 })
      return [state]
    case .test(let test):
      var state = state
      state.status = ShellStatus(try evaluate(test, &state))
      return [state]
    }
  }

  /// Runs commands whose variables are their own. Of its ways those are told apart that differ in
  /// what outlives them.
  func runSubshell(_ nodes: [ShellNode], _ state: ShellState) throws -> [ShellState] {
    var results: [ShellState] = []
    let ends = try run(nodes, state)
    for end in ends {
      var result = state
      result.keep(end)
      result.status = end.status
      if !results.contains(result) { results.append(result) }
    }
    ways += results.count - ends.count
    return results
  }

  private func runBoth(
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
  private func fork(
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

  private func runCondition(
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

  private func runChoice(
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
  private func runCase(
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

  // MARK: - Loops

  private func runLoop(
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

  private func runWhile(
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
  private func turn(
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
  private func runCounting(
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
  private func runOnce(
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
