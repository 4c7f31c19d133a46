/// A form that file names take, such as `layer_{layer}-model_{tp}-model_states.pt`: text, and
/// fields in braces that stand for decimal numbers.
///
/// Numbers are compared as numbers: `layer_3` and `layer_03` are one layer.
package struct FilePattern: Hashable, Sendable {
  private enum Part: Hashable {
    case text([UInt8])
    case number(String)
  }

  private let parts: [Part]

  package init(_ form: String) {
    var parts: [Part] = []
    for (index, piece) in form.split(separator: "{", omittingEmptySubsequences: false).enumerated()
    {
      if index == 0 {
        if !piece.isEmpty { parts.append(.text(Array(piece.utf8))) }
        continue
      }
      let halves = piece.split(separator: "}", maxSplits: 1, omittingEmptySubsequences: false)
      parts.append(.number(String(halves[0])))
      if halves.count > 1, !halves[1].isEmpty { parts.append(.text(Array(halves[1].utf8))) }
    }
    self.parts = parts
  }

  /// The numbers in `name`, by the names of their fields; `nil` when the form does not fit.
  func match(_ name: String) -> [String: Int]? {
    var rest = Array(name.utf8)[...]
    var numbers: [String: Int] = [:]
    for part in parts {
      switch part {
      case .text(let text):
        guard rest.starts(with: text) else { return nil }
        rest = rest.dropFirst(text.count)
      case .number(let field):
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        // No run has more layers, ranks or steps than that, and sums stay far from overflow.
        guard digits.count <= 12, let value = Int(String(decoding: digits, as: UTF8.self)) else {
          return nil
        }
        numbers[field] = value
        rest = rest.dropFirst(digits.count)
      }
    }
    return rest.isEmpty ? numbers : nil
  }
}
