/// The arithmetic of the shell: that of C in 64 bits, which wraps, with `**` and `BASE#DIGITS`.
struct ShellArithmetic {
  /// Why there is no value.
  enum Failure: Error, Hashable {
    /// Something in it is not known.
    case unknown(String)
    /// Bash would report an error.
    case invalid
  }

  /// What a variable is, as text, and how one is set.
  private let read: (String) throws(Failure) -> String
  private let write: (String, Int) -> Void
  private var scalars: [Unicode.Scalar] = []
  private var position = 0
  private var depth = 0

  init(
    read: @escaping (String) throws(Failure) -> String, write: @escaping (String, Int) -> Void
  ) {
    self.read = read
    self.write = write
  }

  /// The value of an expression; that of an empty one is 0.
  mutating func value(_ text: String) throws(Failure) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw .invalid }
    let (before, place) = (scalars, position)
    defer { (scalars, position) = (before, place) }
    (scalars, position) = (Array(text.unicodeScalars), 0)
    skip()
    if position == scalars.count { return 0 }
    let result = try comma(true)
    guard position == scalars.count else { throw .invalid }
    return result
  }

  private mutating func skip() {
    while position < scalars.count, " \t\n".unicodeScalars.contains(scalars[position]) {
      position += 1
    }
  }

  private mutating func take(_ text: String, unless others: String...) -> Bool {
    func starts(_ text: String) -> Bool {
      scalars[position...].starts(with: text.unicodeScalars)
    }
    guard starts(text), !others.contains(where: starts) else { return false }
    position += text.unicodeScalars.count
    skip()
    return true
  }

  private mutating func comma(_ isLive: Bool) throws(Failure) -> Int {
    var value = try assignment(isLive)
    while take(",") { value = try assignment(isLive) }
    return value
  }

  private mutating func assignment(_ isLive: Bool) throws(Failure) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw .invalid }
    let start = position
    if let name = name() {
      for operation in ["<<=", ">>=", "*=", "/=", "%=", "+=", "-=", "&=", "^=", "|="]
      where take(operation) {
        let right = try assignment(isLive)
        let old = isLive ? try number(of: name) : 0
        let value = isLive ? try ShellArithmetic.apply(String(operation.dropLast()), old, right) : 0
        if isLive { write(name, value) }
        return value
      }
      if take("=", unless: "==") {
        let value = try assignment(isLive)
        if isLive { write(name, value) }
        return value
      }
      position = start
    }
    let condition = try binary(0, isLive)
    guard take("?") else { return condition }
    let first = try assignment(isLive && condition != 0)
    guard take(":") else { throw .invalid }
    let second = try assignment(isLive && condition == 0)
    return condition != 0 ? first : second
  }

  /// Operators of equal precedence, the loosest first.
  private static let levels: [[String]] = [
    ["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!="], ["<=", ">=", "<", ">"], ["<<", ">>"],
    ["+", "-"], ["*", "/", "%"],
  ]

  private mutating func binary(_ level: Int, _ isLive: Bool) throws(Failure) -> Int {
    guard level < ShellArithmetic.levels.count else { return try power(isLive) }
    var left = try binary(level + 1, isLive)
    next: while true {
      for operation in ShellArithmetic.levels[level] {
        guard
          take(
            operation, unless: operation + "=", operation == "*" ? "**" : "\0",
            operation.count == 1 && "|&<>".contains(operation) ? operation + operation : "\0")
        else { continue }
        let isNeeded = operation == "&&" ? left != 0 : operation == "||" ? left == 0 : true
        let right = try binary(level + 1, isLive && isNeeded)
        left = isLive ? try ShellArithmetic.apply(operation, left, right) : 0
        continue next
      }
      return left
    }
  }

  private mutating func power(_ isLive: Bool) throws(Failure) -> Int {
    let base = try unary(isLive)
    guard take("**") else { return base }
    let exponent = try power(isLive)
    guard isLive else { return 0 }
    guard exponent >= 0 else { throw .invalid }
    var (result, factor, rest) = (1, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result = result &* factor }
      factor = factor &* factor
      rest >>= 1
    }
    return result
  }

  private mutating func unary(_ isLive: Bool) throws(Failure) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw .invalid }
    for (operation, step) in [("++", 1), ("--", -1)] where take(operation) {
      guard let name = name() else { throw .invalid }
      guard isLive else { return 0 }
      let value = try number(of: name) &+ step
      write(name, value)
      return value
    }
    if take("!", unless: "!=") { return try unary(isLive) == 0 ? 1 : 0 }
    if take("~") { return ~(try unary(isLive)) }
    if take("-") { return 0 &- (try unary(isLive)) }
    if take("+") { return try unary(isLive) }
    if take("(") {
      let value = try comma(isLive)
      guard take(")") else { throw .invalid }
      return value
    }
    guard let name = name() else { return try literal() }
    let value = isLive ? try number(of: name) : 0
    for (operation, step) in [("++", 1), ("--", -1)] where take(operation) {
      if isLive { write(name, value &+ step) }
    }
    return value
  }

  /// A name, which may have an index.
  private mutating func name() -> String? {
    guard position < scalars.count, ShellParser.isNameStart(scalars[position]) else { return nil }
    let start = position
    while position < scalars.count, ShellParser.isName(scalars[position]) { position += 1 }
    if position < scalars.count, scalars[position] == "[" {
      var open = 0
      repeat {
        if scalars[position] == "[" { open += 1 }
        if scalars[position] == "]" { open -= 1 }
        position += 1
      } while open > 0 && position < scalars.count
    }
    var text = String.UnicodeScalarView()
    text.append(contentsOf: scalars[start..<position])
    skip()
    return String(text)
  }

  private mutating func number(of name: String) throws(Failure) -> Int {
    try value(try read(name))
  }

  private mutating func literal() throws(Failure) -> Int {
    let start = position
    while position < scalars.count,
      ShellParser.isName(scalars[position]) || scalars[position] == "#"
        || scalars[position] == "@"
    { position += 1 }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars[start..<position])
    let text = String(view)
    skip()
    var (base, digits) = (10, Substring(text))
    if let mark = text.firstIndex(of: "#") {
      guard let given = Int(text[..<mark]), (2...36).contains(given) else { throw .invalid }
      (base, digits) = (given, text[text.index(after: mark)...])
    } else if text.hasPrefix("0x") || text.hasPrefix("0X") {
      (base, digits) = (16, text.dropFirst(2))
    } else if text.hasPrefix("0"), text.count > 1 {
      (base, digits) = (8, text.dropFirst())
    }
    guard let value = Int(digits, radix: base) else {
      // Something that is not known has a mark of its own, and is no digit.
      throw .invalid
    }
    return value
  }

  private static func apply(_ operation: String, _ a: Int, _ b: Int) throws(Failure) -> Int {
    switch operation {
    case "||": return a != 0 || b != 0 ? 1 : 0
    case "&&": return a != 0 && b != 0 ? 1 : 0
    case "|": return a | b
    case "^": return a ^ b
    case "&": return a & b
    case "==": return a == b ? 1 : 0
    case "!=": return a != b ? 1 : 0
    case "<=": return a <= b ? 1 : 0
    case ">=": return a >= b ? 1 : 0
    case "<": return a < b ? 1 : 0
    case ">": return a > b ? 1 : 0
    case "<<": return a &<< b
    case ">>": return a &>> b
    case "+": return a &+ b
    case "-": return a &- b
    case "*": return a &* b
    case "/", "%":
      guard b != 0 else { throw .invalid }
      if operation == "/" { return a.dividedReportingOverflow(by: b).partialValue }
      return a.remainderReportingOverflow(dividingBy: b).partialValue
    default: throw .invalid
    }
  }
}
