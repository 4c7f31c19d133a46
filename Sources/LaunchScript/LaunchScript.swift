import ByteIO
public import Diagnostics
public import SystemPackage

/// A shell script that starts a training: the options that it passes to the trainer.
///
/// The script is read and never run, and nothing else is opened. What bash would pass on whatever
/// the machine is *known*; what hangs on something that is not in the script is known only under
/// assumptions, or not known.
public struct LaunchScript: Sendable {
  /// An option over all launches and ways.
  public struct Option: Hashable, Sendable {
    /// Without the dashes before it, and with a dash for each underscore.
    public let name: String
    /// The values that it has; an absent one is `nil`.
    public let alternatives: [[String]?]
    /// The values, if they are the same on all ways and known.
    public let values: [String]?
    /// What has to be true so that these are the values.
    public let assumptions: [String]
    /// Where its value stands: the line that sets the variable after its name, if there is one such
    /// line, else that of its name, else that of the launch.
    public let line: Int

    /// Why it has no value that is sure.
    public var reason: String? {
      guard values == nil else {
        return assumptions.isEmpty ? nil : assumptions.joined(separator: "; ")
      }
      guard alternatives.count == 1, let only = alternatives.first ?? nil else {
        let shown = alternatives.map { words in
          words.map { $0.isEmpty ? "given" : $0.joined(separator: " ") } ?? "absent"
        }
        return shown.joined(separator: ", or ")
      }
      return only.joined(separator: " ")
    }
  }

  /// The launches of the way that has most, in the order of the script.
  public let launches: [Launch]
  /// How many ways through the script were followed.
  public let ways: Int
  /// The conditions that could not be decided.
  public let conditions: [String]
  /// What was assumed.
  public let assumptions: [String]
  /// The options, in the order of the first launch.
  public let options: [Option]
  /// Words that are not known and may be any options.
  public let mayBeOptions: [String]
  /// Scripts that are submitted or called, and not read.
  public let submitted: [String]
  /// The resources that `#SBATCH` lines ask for, by name.
  public let requests: [(name: String, value: String)]
  /// The size in bytes.
  public let size: Int

  /// Longer scripts are refused, in bytes.
  public static let maximumSize = 1 << 20

  /// Reads a script.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - arguments: What the script was given; `nil` if that is not known.
  ///   - environment: Variables of its environment.
  /// - Throws: `Failure` 66 for a file that cannot be read; 65 for one that is no text or that
  ///   bash would not accept.
  public init(
    _ path: FilePath, arguments: [String]? = nil, environment: [String: String] = [:]
  ) throws(Failure) {
    let bytes: [UInt8]
    do {
      let file = try InputFile(opening: path)
      guard file.size <= LaunchScript.maximumSize else {
        throw Failure(
          .scriptTooLong, "\(file.size) bytes; \(LaunchScript.maximumSize) are allowed",
          file: path.string)
      }
      bytes = try file.read(at: 0, count: file.size)
    } catch {
      throw Failure(reading: error, file: path.string)
    }
    do {
      try self.init(bytes, arguments: arguments, environment: environment)
    } catch {
      throw Failure(reading: error, file: path.string)
    }
  }

  /// Reads the bytes of a script.
  ///
  /// - Parameters:
  ///   - bytes: The text, of at most 1 MiB.
  ///   - arguments: What the script was given; `nil` if that is not known.
  ///   - environment: Variables of its environment.
  /// - Throws: `Failure` 65 for what is no text or what bash would not accept.
  public init(
    _ bytes: [UInt8], arguments: [String]? = nil, environment: [String: String] = [:]
  ) throws(Failure) {
    size = bytes.count
    let text = try LaunchScript.text(bytes)
    let machine = ShellMachine()
    let nodes: [ShellNode]
    do {
      nodes = try ShellParser.parse(text, documents: &machine.documents)
    } catch {
      throw Failure(.scriptSyntax, "line \(error.line): \(error.message)")
    }
    var state = ShellState()
    state.arguments = arguments.map { $0.map { ShellField(text: $0, isQuoted: true) } }
    for (name, value) in environment {
      // The user says what it is where it matters, whatever was sourced before.
      state.variables[name] = ShellVariable(
        content: .scalar(value), isExported: true, sources: .max)
    }
    let ends = machine.runScript(nodes, state)
    ways = ends.count
    conditions = machine.conditions
    assumptions = machine.assumptions
    var seen: [Launch] = []
    for end in ends {
      for launch in end.launches where !seen.contains(launch) { seen.append(launch) }
    }
    launches = ends.map(\.launches).max { $0.count < $1.count } ?? []
    options = LaunchScript.options(seen, text)
    var words: [String] = []
    for word in seen.flatMap(\.mayBeOptions) where !words.contains(word) { words.append(word) }
    mayBeOptions = words
    var scripts: [String] = []
    for script in ends.flatMap(\.submitted) where !scripts.contains(script) {
      scripts.append(script)
    }
    submitted = scripts
    requests = LaunchScript.requests(text)
  }

  /// Splits a text as the shell splits words: quotes count, and nothing is expanded.
  ///
  /// - Returns: The words; `nil` for a text with a quotation mark that is not closed.
  public static func words(of text: String) -> [String]? {
    var parser = ShellParser(text, line: 1)
    var words: [String] = []
    while true {
      while let scalar = parser.peek, ShellParser.isBlank(scalar) || scalar == "\n" {
        parser.advance()
      }
      guard parser.peek != nil else { return words }
      guard let word = parser.literalWord() else { return nil }
      words.append(word)
    }
  }

  private static func text(_ bytes: [UInt8]) throws(Failure) -> String {
    let isText = !bytes.contains { $0 == 0 || $0 < 7 || $0 > 13 && $0 < 27 }
    guard isText else {
      throw Failure(.scriptNoText, "this is not a text: it has bytes that no script has")
    }
    if let place = bytes.indices.first(where: {
      bytes[$0] == 13 && $0 + 1 < bytes.count && bytes[$0 + 1] == 10
    }) {
      let line = bytes[..<place].count { $0 == 10 } + 1
      throw Failure(
        .scriptLineEnds, "line \(line) ends in CR LF, which bash takes as part of its last word",
        hint: "write it with LF alone (dos2unix, or sed -i 's/\\r$//')")
    }
    // A text in another encoding is read byte by byte: names and options are ASCII.
    var scalars = String.UnicodeScalarView()
    let text =
      String(validating: bytes, as: UTF8.self)
      ?? {
        scalars.append(contentsOf: bytes.map { Unicode.Scalar($0) })
        return String(scalars)
      }()
    guard !text.hasUnknown else {
      throw Failure(.scriptNoText, "it has characters of a plane that no script needs")
    }
    return text
  }

  private static func options(_ launches: [Launch], _ text: String) -> [Option] {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    var names: [String] = []
    for name in launches.flatMap({ $0.options.map(\.name) }) where !names.contains(name) {
      names.append(name)
    }
    return names.map { name in
      let found = launches.map { launch in (launch, launch.options.first { $0.name == name }) }
      var alternatives: [[String]?] = []
      for (_, option) in found where !alternatives.contains(option?.values) {
        alternatives.append(option?.values)
      }
      let isKnown = alternatives.count == 1 && found.allSatisfy { $0.1?.isKnown == true }
      let assumed = Set(found.flatMap { $0.1?.assumptions ?? [] }).sorted()
      return Option(
        name: name, alternatives: alternatives, values: isKnown ? alternatives[0] : nil,
        assumptions: assumed,
        line: LaunchScript.place(of: name, in: lines) ?? found.first { $0.1 != nil }?.0.line ?? 0)
    }
  }

  /// The line that gives an option its value, counted from 1.
  private static func place(of name: String, in lines: [Substring]) -> Int? {
    func isName(_ character: Character) -> Bool {
      character.isLetter || character.isNumber || "_-".contains(character)
    }
    var place: Int?
    for (number, line) in lines.enumerated() where line.drop(while: \.isWhitespace).first != "#" {
      let words = line.split(whereSeparator: { $0.isWhitespace || $0 == "\"" || $0 == "'" })
      guard
        let index = words.lastIndex(where: { word in
          word.hasPrefix("--")
            && word.dropFirst(2).prefix(while: isName).map { $0 == "_" ? "-" : $0 } == Array(name)
        })
      else { continue }
      place = number + 1
      let after = words[index].contains("=") ? words[index].drop { $0 != "=" }.dropFirst() : nil
      guard let value = after ?? (index + 1 < words.count ? words[index + 1] : nil),
        value.hasPrefix("$")
      else { continue }
      let variable = value.dropFirst().drop { $0 == "{" }.prefix { isName($0) && $0 != "-" }
      let setters = lines.indices.filter { index in
        let start = lines[index].drop(while: \.isWhitespace)
        return start.hasPrefix("\(variable)=") || start.hasPrefix("export \(variable)=")
      }
      if !variable.isEmpty, setters.count == 1 { place = setters[0] + 1 }
    }
    return place
  }

  /// What the lines `#SBATCH --name=value` at the head of a script ask for.
  private static func requests(_ text: String) -> [(name: String, value: String)] {
    var result: [(name: String, value: String)] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
      guard line.hasPrefix("#") else {
        if line.allSatisfy(\.isWhitespace) { continue }
        break
      }
      guard line.hasPrefix("#SBATCH") else { continue }
      let words = line.dropFirst(7).prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      guard let first = words.first, first.hasPrefix("-") else { continue }
      let name = first.drop { $0 == "-" }.prefix { $0 != "=" }
      let value = first.drop { $0 != "=" }.dropFirst()
      result.append(
        (String(name), value.isEmpty && words.count > 1 ? String(words[1]) : String(value)))
    }
    return result
  }
}
