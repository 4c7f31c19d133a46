/// A variable of a script.
struct ShellVariable: Hashable {
  enum Content: Hashable {
    /// Unset on purpose.
    case none
    /// Nothing is known of it, not even how many elements it has.
    case open(String)
    case scalar(String)
    case list([Int: String])
    case map([String: String])
  }

  var content: Content
  var isExported = false
  /// Whether what is assigned is computed.
  var isInteger = false
  var isReadOnly = false
  /// What has to be true so that this is its value.
  var assumptions: Set<String> = []
  /// How many files had been sourced when it was set: a later one may set it again.
  var sources = 0
}

/// A word after expansion.
struct ShellField: Hashable {
  /// The text, in which a scalar of the last plane stands for something that is not known.
  var text: String
  /// Whether any of it was in quotes.
  var isQuoted = false
  /// Whether it may be several words, or none: something in it is not known and not quoted.
  var isOpen = false
  var assumptions: Set<String> = []
}

/// How a command ended.
enum ShellStatus: Hashable {
  case success, failure
  /// An external command, which is taken to succeed except in a condition.
  case external
  case open

  init(_ isTrue: Bool?) {
    self = isTrue.map { $0 ? .success : .failure } ?? .open
  }

  var negated: ShellStatus {
    switch self {
    case .success: .failure
    case .failure: .success
    case .external, .open: .open
    }
  }
}

/// Everything that a script has come to on one of its ways.
struct ShellState: Hashable {
  enum Flow: Hashable {
    case running, exited, returned
    case broken(Int), continued(Int)
  }

  var variables: [String: ShellVariable] = [:]
  /// The arguments of the script or of a function; `nil` where nobody said with which ones the
  /// script was started.
  var arguments: [ShellField]?
  /// Why nobody knows what the arguments are, nor how many.
  var openArguments: String?
  var functions: [String: ShellNode] = [:]
  /// What functions that are running hide, the innermost last.
  var hidden: [[String: ShellVariable?]] = []
  /// Files that were sourced, which may have set anything.
  var sources: [String] = []
  var exportsAll = false
  /// What has to be true so that this way is taken.
  var assumptions: Set<String> = []
  /// The texts of files that the script writes.
  var files: [String: String] = [:]
  var launches: [LaunchScript.Launch] = []
  /// Scripts that are submitted or called.
  var submitted: [String] = []
  var status = ShellStatus.success
  var flow = Flow.running

  /// Notes that something that is not followed may have set anything.
  mutating func addSource(_ name: String) {
    // Thousands of them say no more than the first ones.
    if sources.count < 64 || sources.last != name { sources.append(name) }
  }

  /// Takes over what a subshell did that outlives it.
  mutating func keep(_ other: ShellState) {
    launches = other.launches
    submitted = other.submitted
    files = other.files
  }
}

extension String {
  /// Where the scalars begin that stand for what is not known.
  static let firstUnknown: UInt32 = 0x10_0000

  /// Whether something in it is not known.
  var hasUnknown: Bool { unicodeScalars.contains { $0.value >= String.firstUnknown } }
  /// Whether nothing in it is known.
  var isUnknown: Bool {
    !isEmpty && unicodeScalars.allSatisfy { $0.value >= String.firstUnknown }
  }
}

extension ShellWord {
  /// The names that stand in it: any of them may be set by arithmetic.
  var names: Set<String> {
    var names: Set<String> = []
    for part in parts {
      guard case .quoted(let text) = part else { continue }
      names.formUnion(ShellWord.names(in: text))
    }
    return names
  }

  /// The names in a text.
  static func names(in text: String) -> Set<String> {
    Set(
      text.split { !ShellParser.isName($0.unicodeScalars.first) }.map(String.init)
        .filter { ShellParser.isNameStart($0.unicodeScalars.first) })
  }

  /// The names that its expansion sets: `${NAME:=word}`, `$((NAME = 1))`.
  var assigned: Set<String> {
    var names: Set<String> = []
    for part in parts {
      switch part {
      case .parameter(let parameter, _):
        if parameter.operation.hasSuffix("=") { names.insert(parameter.name) }
        names.formUnion(parameter.argument.assigned)
      case .arithmetic(let word, _):
        let text = word.parts.map { if case .quoted(let text) = $0 { text } else { " " } }.joined()
        if text.contains("=") || text.contains("++") || text.contains("--") {
          names.formUnion(word.names)
        }
      default: break
      }
    }
    return names
  }
}

extension ShellNode {
  private static let setters: Set<String> = [
    "read", "mapfile", "readarray", "let", "printf", "unset", "getopts", "export", "declare",
    "local", "readonly", "typeset",
  ]

  /// The names that commands may set, wherever they stand in them.
  static func assigned(in nodes: [ShellNode]) -> Set<String> {
    nodes.reduce(into: []) { $0.formUnion($1.assigned) }
  }

  private var assigned: Set<String> {
    switch command {
    case .simple(let assignments, let words):
      var names = Set(assignments.map(\.name))
      for word in words { names.formUnion(word.assigned) }
      switch words.first?.plain {
      case "getopts": names.formUnion(["OPTARG", "OPTIND"])
      case "read": names.insert("REPLY")
      case "mapfile", "readarray": names.insert("MAPFILE")
      default: break
      }
      if let name = words.first?.plain, ShellNode.setters.contains(name) {
        for word in words.dropFirst() {
          let text = String((word.plain ?? "").trimmingPrefix("-v"))
          let end =
            text.firstIndex { !ShellParser.isName($0.unicodeScalars.first) } ?? text.endIndex
          if end > text.startIndex { names.insert(String(text[..<end])) }
        }
      }
      return names
    case .declaration(let words, let assignments):
      return Set(assignments.map(\.name) + words.dropFirst().compactMap(\.plain))
    case .and(let a, let b), .or(let a, let b): return a.assigned.union(b.assigned)
    // Their variables are their own.
    case .pipeline(let nodes, _): return nodes.count == 1 ? ShellNode.assigned(in: nodes) : []
    case .subshell, .test: return []
    case .group(let nodes): return ShellNode.assigned(in: nodes)
    case .openLoop(let name, let body): return ShellNode.assigned(in: body).union([name, "REPLY"])
    case .countingLoop(let start, let test, let step, let body):
      return [start, test, step].reduce(into: ShellNode.assigned(in: body)) {
        $0.formUnion($1.names)
      }
    case .condition(let arms, let otherwise):
      return ShellNode.assigned(in: arms.flatMap { $0.test + $0.body } + otherwise)
    case .loop(let name, _, let body): return ShellNode.assigned(in: body).union([name])
    case .whileLoop(let test, let body, _): return ShellNode.assigned(in: test + body)
    case .choice(_, let cases): return ShellNode.assigned(in: cases.flatMap(\.body))
    case .function(_, let body): return body.assigned
    case .arithmetic(let word): return word.names
    }
  }

  /// Whether commands may do more than print, make folders and fetch files: assign, launch, leave
  /// or define something.
  static func matter(_ nodes: [ShellNode], _ functions: [String: ShellNode]) -> Bool {
    nodes.contains { $0.matters(functions) }
  }

  /// Commands that leave no trace in what a script passes on.
  private static let idle: Set<String> = [
    "echo", "printf", "mkdir", "wget", "curl", "cp", "mv", "rm", "ln", "touch", "chmod", "cat",
    "sleep", "true", ":", "false", "test", "[", "ls", "cd", "pushd", "popd", "git", "tar", "unzip",
    "module", "ulimit", "date", "hostname", "nvidia-smi", "pip", "conda", "wait", "trap", "kill",
    "grep", "sed", "awk", "head", "tail", "tee", "clear", "umask", "pwd", "df", "du", "find",
  ]

  private func matters(_ functions: [String: ShellNode]) -> Bool {
    switch command {
    case .simple(let assignments, let words):
      guard let first = words.first else { return !assignments.isEmpty }
      if words.contains(where: { !$0.assigned.isEmpty }) { return true }
      guard let name = first.plain else { return true }
      if name == "printf" { return words.contains { $0.plain == "-v" } }
      return functions[name] != nil || !ShellNode.idle.contains(name)
    case .pipeline(let nodes, _), .group(let nodes), .subshell(let nodes),
      .openLoop(_, let nodes):
      return ShellNode.matter(nodes, functions)
    case .countingLoop: return true
    case .and(let a, let b), .or(let a, let b): return ShellNode.matter([a, b], functions)
    case .condition(let arms, let otherwise):
      return ShellNode.matter(arms.flatMap { $0.test + $0.body } + otherwise, functions)
    case .loop(_, _, let body): return ShellNode.matter(body, functions)
    case .whileLoop(let test, let body, _): return ShellNode.matter(test + body, functions)
    case .choice(_, let cases): return ShellNode.matter(cases.flatMap(\.body), functions)
    case .test: return false
    case .declaration, .function, .arithmetic: return true
    }
  }
}
