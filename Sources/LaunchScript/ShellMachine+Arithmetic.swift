extension ShellMachine {
  func number(
    _ expression: ShellWord, _ state: inout ShellState, _ assumed: inout Set<String>
  ) throws -> String {
    switch try compute(expression, &state, &assumed) {
    case .success(let value): return "\(value)"
    case .failure(.unknown(let reason)):
      return unknown("arithmetic on something unknown: \(reason)")
    case .failure(.invalid): return unknown("arithmetic that bash would not accept")
    }
  }

  /// The value of an expression, whose assignments are made.
  func compute(
    _ expression: ShellWord, _ state: inout ShellState, _ assumed: inout Set<String>
  ) throws -> Result<Int, ShellArithmetic.Failure> {
    let text = try joined(expression, &state)
    assumed.formUnion(text.assumptions)
    return compute(text.text, &state, &assumed)
  }

  func compute(
    _ text: String, _ state: inout ShellState, _ assumed: inout Set<String>
  ) -> Result<Int, ShellArithmetic.Failure> {
    let shownText = shown(text).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    /// What an expression sets that cannot be computed is not known.
    func failed(_ failure: ShellArithmetic.Failure) -> Result<Int, ShellArithmetic.Failure> {
      if text.contains("=") || text.contains("++") || text.contains("--") {
        forget(ShellWord.names(in: text), &state) { "\($0): set by arithmetic that is not known" }
      }
      return .failure(failure)
    }
    guard !text.hasUnknown else { return failed(.unknown(shownText)) }
    guard text.utf8.count < 4096 else { return failed(.unknown("a long expression")) }
    // The closures share the state, which an inout argument cannot be.
    final class Box {
      var state: ShellState; var assumed: Set<String> = []
      init(_ state: ShellState) { self.state = state }
    }
    let box = Box(state)
    var arithmetic = ShellArithmetic { (name) throws(ShellArithmetic.Failure) -> String in
      let bare = name.prefix { $0 != "[" }
      guard let found = self.elements(String(bare), box.state) else {
        throw .unknown("\(shownText) (\(bare) is not set in the script)")
      }
      box.assumed.formUnion(found.assumed)
      if let reason = found.reason { throw .unknown("\(shownText) (<\(reason)>)") }
      var key = "0"
      if bare.count < name.count {
        key = String(name.dropFirst(bare.count + 1).dropLast())
        guard let number = Int(key), number >= 0, !found.isMap else { throw .unknown(shownText) }
      }
      let value = found.values.first { $0.key == key }?.text ?? ""
      guard !value.hasUnknown else { throw .unknown("\(shownText) (\(self.shown(value)))") }
      return value
    } write: { name, value in
      let bare = String(name.prefix { $0 != "[" })
      if bare == name {
        self.set(bare, "\(value)", box.assumed, &box.state)
      } else {
        self.setOpen(bare, "\(bare), of which an element was set", &box.state)
      }
    }
    defer {
      state = box.state
      assumed.formUnion(box.assumed)
    }
    do {
      return .success(try arithmetic.value(text))
    } catch {
      let reason = "set by arithmetic that is not known"
      if text.contains("=") || text.contains("++") || text.contains("--") {
        forget(ShellWord.names(in: text), &box.state) { "\($0): \(reason)" }
      }
      return .failure(error)
    }
  }
}
