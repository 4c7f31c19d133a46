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
  var reasons: [String] = []
  var reasonIndices: [String: Int] = [:]
  /// What was assumed, in the order in which it was.
  private(set) var assumptions: [String] = []
  /// The conditions that were followed both ways.
  var conditions: [String] = []
  var ways = 1
  var used = 0
  var allowed = 0
  var calls = 0
  /// How many bytes of text were made.
  var made = 0

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

}
