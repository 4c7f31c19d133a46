extension ShellMachine {
  /// `${A[@]:1:2}`.
  func slice(
    _ parameter: ShellParameter, _ value: Expansion, _ state: inout ShellState
  ) throws -> Expansion {
    var value = value
    if case .list(let items)? = state.variables[parameter.name]?.content,
      items.keys.max() != items.count - 1, !items.isEmpty
    {
      // Where elements are missing, numbers and places differ.
      return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
    }
    let start = try compute(parameter.argument, &state, &value.assumed)
    let length = try parameter.second.map { try compute($0, &state, &value.assumed) }
    // "${@:1}" begins with the first argument, which has the number 1.
    let shift = parameter.name == "@" || parameter.name == "*" ? 1 : 0
    guard case .success(let from) = start, from >= shift else {
      return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
    }
    value.texts = Array(value.texts.dropFirst(from - shift))
    if let length {
      guard case .success(let count) = length, count >= 0 else {
        return Expansion(texts: [unknown(parameter.source)], isList: true, isOpen: true)
      }
      value.texts = Array(value.texts.prefix(count))
    }
    return value
  }

  /// A text after the operation of a parameter.
  func changed(
    _ text: String, _ parameter: ShellParameter, _ assumed: inout Set<String>,
    _ state: inout ShellState
  ) throws -> String {
    let operation = parameter.operation
    if text.hasUnknown {
      return text.isUnknown && text.unicodeScalars.count == 1
        ? text : unknown("\(parameter.source) of \(shown(text))")
    }
    let scalars = Array(text.unicodeScalars)
    func string(_ slice: ArraySlice<Unicode.Scalar>) -> String {
      var view = String.UnicodeScalarView()
      view.append(contentsOf: slice)
      return String(view)
    }
    guard scalars.count <= 512 || ["^^", ",,", ":"].contains(operation) else {
      return unknown("a part of a long text")
    }
    // What letters there are beyond ASCII hangs on the locale.
    let isPlain = scalars.allSatisfy(\.isASCII)
    guard isPlain || !["^", "^^", ",", ",,", ":"].contains(operation) else {
      return unknown(parameter.source)
    }
    switch operation {
    case "^^" where parameter.argument.parts.isEmpty: return text.uppercased()
    case ",," where parameter.argument.parts.isEmpty: return text.lowercased()
    case "^" where parameter.argument.parts.isEmpty:
      return text.prefix(1).uppercased() + text.dropFirst()
    case "," where parameter.argument.parts.isEmpty:
      return text.prefix(1).lowercased() + text.dropFirst()
    case ":":
      let start = try compute(parameter.argument, &state, &assumed)
      let length = try parameter.second.map { try compute($0, &state, &assumed) }
      guard case .success(var from) = start else { return unknown(parameter.source) }
      if from < 0 { from = scalars.count + from }
      guard from >= 0 else { return "" }
      let rest = scalars.dropFirst(from)
      switch length {
      case nil: return string(rest)
      case .success(let count) where count >= 0: return string(rest.prefix(count))
      case .success(let count): return string(rest.dropLast(min(rest.count, 0 &- count)))
      default: return unknown(parameter.source)
      }
    case "#", "##", "%", "%%", "/", "//", "/#", "/%":
      guard let pattern = try pattern(parameter.argument, &state), isPlain || !pattern.matches([])
      else {
        return unknown(parameter.source)
      }
      if operation.hasPrefix("/") {
        guard !pattern.matches([]), scalars.count <= 256 else { return unknown(parameter.source) }
        let second = try parameter.second.map { try joined($0, &state) } ?? ShellField(text: "")
        assumed.formUnion(second.assumptions)
        // Some versions of bash put what fits in the place of "&".
        guard !second.text.contains("&") else { return unknown(parameter.source) }
        return string(
          ShellMachine.replaced(scalars, pattern, Array(second.text.unicodeScalars), operation)[...]
        )
      }
      let lengths = operation.count == 1 ? Array(0...scalars.count) : (0...scalars.count).reversed()
      for length in lengths {
        let isFront = operation.hasPrefix("#")
        let part = isFront ? scalars.prefix(length) : scalars.suffix(length)
        if pattern.matches(part) {
          return string(isFront ? scalars.dropFirst(length) : scalars.dropLast(length))
        }
      }
      return text
    default: return unknown(parameter.source)
    }
  }

  static func replaced(
    _ scalars: [Unicode.Scalar], _ pattern: ShellPattern, _ replacement: [Unicode.Scalar],
    _ operation: String
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var place = 0
    while place <= scalars.count {
      let isPossible = operation == "/#" ? place == 0 : true
      let ends = isPossible ? Array((place...scalars.count).reversed()) : []
      let end = ends.first { end in
        end > place && (operation != "/%" || end == scalars.count)
          && pattern.matches(scalars[place..<end])
      }
      if let end {
        result += replacement
        place = end
        if operation != "//" { return result + scalars[place...] }
      } else {
        if place < scalars.count { result.append(scalars[place]) }
        place += 1
      }
    }
    return result
  }
}
