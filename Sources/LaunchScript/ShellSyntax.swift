/// A word before it is expanded.
struct ShellWord: Hashable, Sendable {
  var parts: [ShellPart] = []

  /// The text of a word that is made of plain text alone, as reserved words and names are.
  var plain: String? {
    if parts.isEmpty { return "" }
    guard parts.count == 1, case .plain(let text) = parts[0] else { return nil }
    return text
  }
}

extension ShellWord {
  /// The words between a character that stands outside of all expansions.
  func split(at separator: Character) -> [ShellWord] {
    var words = [ShellWord()]
    for part in parts {
      guard case .quoted(let text) = part else {
        words[words.count - 1].parts.append(part)
        continue
      }
      for (index, piece) in text.split(separator: separator, omittingEmptySubsequences: false)
        .enumerated()
      {
        if index > 0 { words.append(ShellWord()) }
        words[words.count - 1].parts.append(.quoted(String(piece)))
      }
    }
    return words
  }
}

/// A piece of a word.
indirect enum ShellPart: Hashable, Sendable {
  /// Text outside of quotes, which may be a pattern.
  case plain(String)
  /// Text in quotes, or after a backslash.
  case quoted(String)
  case parameter(ShellParameter, isQuoted: Bool)
  /// `$( )`, backquotes, `<( )`: what a command prints is not known.
  case command(String, isQuoted: Bool)
  case arithmetic(ShellWord, isQuoted: Bool)
}

/// `$NAME` or `${...}`.
struct ShellParameter: Hashable, Sendable {
  /// A name, a number, or one of `@ * # ? $ ! -`.
  var name: String
  /// What stands in brackets; `@` and `*` too.
  var index: ShellWord?
  /// `${#NAME}`.
  var isLength = false
  /// `${!NAME}`.
  var isIndirect = false
  /// `:-`, `%%`, `/`...
  var operation = ""
  var argument = ShellWord()
  /// The replacement of `/`, or the length of `:`.
  var second: ShellWord?
  /// As it is written.
  var source: String
}

/// `NAME=value`, `NAME+=value`, `NAME[i]=value`, `NAME=(...)`.
struct ShellAssignment: Hashable, Sendable {
  struct Element: Hashable, Sendable {
    var index: ShellWord?
    var word: ShellWord
  }

  var name: String
  var index: ShellWord?
  var appends = false
  /// The only word, or all of an array's.
  var elements: [Element]
  var isArray = false
}

/// A command with its place and its redirections.
struct ShellNode: Hashable, Sendable {
  var command: ShellCommand
  var line: Int
  var redirects: [ShellRedirect] = []
}

extension ShellNode {
  /// Whether it is more than words and assignments.
  var isCompound: Bool {
    switch command {
    case .simple, .declaration: false
    case .pipeline(let nodes, _): nodes.last?.isCompound == true
    case .and(_, let last), .or(_, let last): last.isCompound
    default: true
    }
  }
}

/// `> file`, `<<END`, `<<< word`.
struct ShellRedirect: Hashable, Sendable {
  /// The operator; `<<` for `<<-`, too.
  var kind: String
  /// The file, or the text of a here-document.
  var word: ShellWord
}

/// Every form of a command (The Open Group, "Shell Command Language"; bash(1)).
indirect enum ShellCommand: Hashable, Sendable {
  struct Arm: Hashable, Sendable {
    var test: [ShellNode]
    var body: [ShellNode]
  }

  struct Case: Hashable, Sendable {
    /// What comes after the body.
    enum End: Hashable, Sendable {
      /// `;;`: nothing.
      case closed
      /// `;&`: the next body.
      case falls
      /// `;;&`: the cases after it.
      case goesOn
    }

    var patterns: [ShellWord]
    var body: [ShellNode]
    var end: End
  }

  case simple(assignments: [ShellAssignment], words: [ShellWord])
  /// `export`, `declare` and their like, whose words may be assignments.
  case declaration(words: [ShellWord], assignments: [ShellAssignment])
  case pipeline([ShellNode], isNegated: Bool)
  case and(ShellNode, ShellNode)
  case or(ShellNode, ShellNode)
  case group([ShellNode])
  /// Also what runs in the background.
  case subshell([ShellNode])
  case condition([Arm], otherwise: [ShellNode])
  /// `for NAME in WORDS`; all arguments without `in`.
  case loop(name: String, words: [ShellWord]?, body: [ShellNode])
  /// `for ((start; test; step))`.
  case countingLoop(start: ShellWord, test: ShellWord, step: ShellWord, body: [ShellNode])
  /// `select`, whose turns are not known.
  case openLoop(name: String, body: [ShellNode])
  case whileLoop(test: [ShellNode], body: [ShellNode], isUntil: Bool)
  case choice(ShellWord, [Case])
  case function(name: String, body: ShellNode)
  case arithmetic(ShellWord)
  case test(ShellTest)
}

/// The expression in `[[ ]]`.
indirect enum ShellTest: Hashable, Sendable {
  case unary(String, ShellWord)
  case binary(ShellWord, String, ShellWord)
  case not(ShellTest)
  case and(ShellTest, ShellTest)
  case or(ShellTest, ShellTest)
}

/// What bash rejects.
struct ShellSyntaxError: Error, Hashable {
  let line: Int
  let message: String
}
