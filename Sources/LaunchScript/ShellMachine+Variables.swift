extension ShellMachine {
  /// Sets a variable to one text; of a list, its first element.
  func set(_ name: String, _ text: String, _ assumed: Set<String>, _ state: inout ShellState) {
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    guard !variable.isReadOnly else { return }
    switch variable.content {
    case .list(var items):
      items[0] = bounded(text)
      variable.content = .list(items)
      variable.assumptions.formUnion(assumed)
    case .map(var items):
      items["0"] = bounded(text)
      variable.content = .map(items)
      variable.assumptions.formUnion(assumed)
    default:
      variable.content = .scalar(bounded(text))
      variable.assumptions = assumed
    }
    variable.sources = state.sources.count
    if state.exportsAll { variable.isExported = true }
    state.variables[name] = variable
  }

  /// Makes all of a variable not known.
  func setOpen(_ name: String, _ reason: String, _ state: inout ShellState) {
    var variable = state.variables[name] ?? ShellVariable(content: .none)
    guard !variable.isReadOnly else { return }
    variable.content = .open(reason)
    variable.assumptions = []
    variable.sources = state.sources.count
    state.variables[name] = variable
  }

  /// Variables that the shell itself changes: what a script sets them to says nothing.
  static let ownOfShell: Set<String> = [
    "RANDOM", "SRANDOM", "SECONDS", "LINENO", "EPOCHSECONDS", "EPOCHREALTIME", "BASHPID", "PWD",
    "OLDPWD", "BASH_REMATCH", "PIPESTATUS", "BASH_SOURCE", "FUNCNAME", "BASH_LINENO", "_", "UID",
    "EUID", "PPID", "SHLVL", "BASH_VERSION", "HOSTNAME", "PATH", "HOME", "USER", "OPTIND",
    "DIRSTACK", "SHELL", "BASH",
  ]

  /// Notes that a variable which was set before a file was sourced is taken to be unchanged.
  func assumed(of variable: ShellVariable, _ state: ShellState) -> Set<String> {
    guard variable.sources < state.sources.count else { return variable.assumptions }
    return variable.assumptions.union(
      state.sources[variable.sources...].map { assume("\($0) does not change what was set before") }
    )
  }

  /// What is known of a variable.
  struct Found {
    var values: [(key: String, text: String)]
    var assumed: Set<String> = []
    /// Why nothing is known, not even how many elements there are.
    var reason: String?
    var isMap = false
  }

  /// What is known of a variable; `nil` if it is not set, or nobody knows whether it is.
  func elements(_ name: String, _ state: ShellState) -> Found? {
    guard let variable = state.variables[name] else { return nil }
    if ShellMachine.ownOfShell.contains(name),
      !variable.isExported
        || name != "PATH" && name != "HOME"
          && name != "USER" && name != "HOSTNAME" && name != "SHELL"
    {
      return Found(values: [], reason: "\(name) of the shell")
    }
    let assumed = assumed(of: variable, state)
    switch variable.content {
    case .none: return Found(values: [], assumed: assumed)
    case .open(let reason): return Found(values: [], reason: reason)
    case .scalar(let text): return Found(values: [("0", text)], assumed: assumed)
    case .list(let items):
      return Found(
        values: items.keys.sorted().compactMap { key in items[key].map { ("\(key)", $0) } },
        assumed: assumed)
    case .map(let items):
      return Found(
        values: items.keys.sorted().compactMap { key in items[key].map { (key, $0) } },
        assumed: assumed, isMap: true)
    }
  }

  /// What separates the elements of a list that becomes one text; `nil` if that is not known.
  func separator(_ state: ShellState) -> String? {
    guard let own = state.variables["IFS"] else { return " " }
    guard case .scalar(let text) = own.content else { return own.content == .none ? " " : nil }
    return text.hasUnknown ? nil : String(text.prefix(1))
  }

  /// The arguments of the script or the function.
  func arguments(_ state: inout ShellState) -> [ShellField] {
    if let reason = state.openArguments {
      // Those before the first one that is not known are.
      return (state.arguments ?? []) + [ShellField(text: unknown(reason), isOpen: true)]
    }
    if let arguments = state.arguments { return arguments }
    state.assumptions.insert(assume("no arguments were given to the script"))
    return []
  }
}
