import Diagnostics

extension LossPicture {
  /// The picture as SVG. Text is dark on white, and the other way round where the reader prefers
  /// that.
  public var svg: String {
    let (width, height) = (Int(LossPicture.width), Int(LossPicture.height))
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" "
        + "width=\"\(width)\" height=\"\(height)\" role=\"img\" aria-label=\"\(title)\" "
        + "font-family=\"system-ui, sans-serif\" font-size=\"11\">",
      "<style>.t{fill:#333}.g{stroke:#ddd}.b{fill:#fff}.l{stroke:#0072b2;fill:none}"
        + ".d{fill:#0072b2;opacity:.25}.v{fill:#d55e00}.r{stroke:#888}.p{opacity:.3}"
        + ".n{fill:#cc0000}@media(prefers-color-scheme:dark){.t{fill:#ddd}.g{stroke:#333}"
        + ".b{fill:#111}.l{stroke:#56b4e9}.d{fill:#56b4e9}.v{fill:#e69f00}}</style>",
      "<rect class=\"b\" width=\"\(width)\" height=\"\(height)\"/>"
        + "<text class=\"t\" x=\"56\" y=\"18\" font-size=\"13\" font-weight=\"600\">"
        + "\(title)</text>",
    ]
    let frame = LossPicture.frame
    let (left, right) = (Int(frame.x.lowerBound), Int(frame.x.upperBound))
    let (top, bottom) = (Int(frame.y.lowerBound), Int(frame.y.upperBound))
    lines.append(
      "<clipPath id=\"f\"><path d=\"M\(left) \(top)H\(right)V\(bottom)H\(left)Z\"/></clipPath>")
    for element in elements {
      switch element {
      case .title: break
      case .text(let text, let x, let y, let anchor):
        lines.append(
          "<text class=\"t\" x=\"\(one(x))\" y=\"\(one(y))\" text-anchor=\"\(anchor.rawValue)\">"
            + "\(Markup.escaped(text))</text>")
      case .level(let y):
        lines.append("<path class=\"g\" d=\"M\(left) \(one(y))H\(right)\"/>")
      case .curve(let columns, let isPale, let isClipped):
        let kind = isPale ? " p" : ""
        let clip = isClipped ? " clip-path=\"url(#f)\"" : ""
        if columns.contains(where: { abs($0.high - $0.low) > 0.5 }) {
          let edge =
            columns.map { "\($0.x) \(one($0.high))" }
            + columns.reversed().map { "\($0.x) \(one($0.low))" }
          lines.append(
            "<path class=\"d\(kind)\"\(clip) d=\"M\(edge.joined(separator: "L"))Z\"/>")
        }
        let line = columns.map { "\($0.x) \(one($0.middle))" }
        lines.append(
          "<path class=\"l\(kind)\"\(clip) stroke-width=\"1.4\" "
            + "d=\"M\(line.joined(separator: "L"))\"/>"
        )
      case .dot(let x, let y, let title):
        lines.append(
          "<circle class=\"v\" cx=\"\(one(x))\" cy=\"\(one(y))\" r=\"2.6\"><title>"
            + "\(Markup.escaped(title))</title></circle>")
      case .restart(let x):
        lines.append(
          "<path class=\"r\" stroke-dasharray=\"2 3\" d=\"M\(one(x)) \(top)V\(bottom)\"/>")
      case .mark(let x):
        lines.append("<path class=\"r\" d=\"M\(one(x)) \(top - 4)V\(bottom)\"/>")
      case .notFinite(let x, let title):
        lines.append(
          "<path class=\"n\" d=\"M\(one(x - 3)) \(top)h6l-3 6z\"><title>"
            + "\(Markup.escaped(title))</title></path>")
      }
    }
    return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
  }

  private var title: String {
    for case .title(let text) in elements { return Markup.escaped(text) }
    return ""
  }

  /// A coordinate with one decimal.
  private func one(_ value: Double) -> String { decimal(value, places: 1) }
}
