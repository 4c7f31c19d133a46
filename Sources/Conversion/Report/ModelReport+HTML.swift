import Diagnostics

extension ModelReport {
  /// How a page begins, by which it is known.
  public static let mark = "<!doctype html><!-- meg2hf report -->"

  /// One page without a script or an outside address, for screens of any width, dark or light.
  public var html: String {
    let sections = Picture.allCases.compactMap { picture in
      section(picture).map { (picture, $0) }
    }
    let list = findings.map { finding in
      "<li class=\"\(finding.isFact ? "fact" : "look")\"><a href=\"#\(finding.picture.rawValue)\">"
        + "\(Markup.escaped(finding.text))</a></li>"
    }
    let found =
      list.isEmpty
      ? "<p>Nothing was found that stands out.</p>"
      : "<ul class=\"findings\">\n\(list.joined(separator: "\n"))\n</ul>"
    let links = sections.map { "<a href=\"#\($0.0.rawValue)\">\($0.0.title)</a>" }
    let parts = sections.map { picture, body in
      "<section id=\"\(picture.rawValue)\">\n<h2>\(picture.title)</h2>\n\(body)\n</section>"
    }
    return """
      \(ModelReport.mark)
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(Markup.escaped(title))</title>
      <style>
      \(ModelReport.style)
      </style>
      </head>
      <body>
      <header>
      <h1>\(Markup.escaped(title))</h1>
      <p>\(Markup.escaped(summary))</p>
      </header>
      <main>
      <section id="findings">
      <h2>Findings</h2>
      \(found)
      </section>
      <nav>\(links.joined(separator: " "))</nav>
      \(parts.joined(separator: "\n"))
      </main>
      </body>
      </html>

      """
  }

  /// What there is, in a line.
  public var summary: String {
    let elements = tensors.reduce(0) { $0 + $1.count }
    return "\(plural(tensors.count, "tensor")), \(thousands(elements)) elements"
      + (ranks.map { ", trained on \(plural($0, "tensor-parallel rank"))" } ?? "")
  }

  private static let style = """
    :root{color-scheme:light dark;--text:#222;--back:#fff;--soft:#666;--line:#ddd;--fact:#b00020}
    @media(prefers-color-scheme:dark){:root{--text:#ddd;--back:#111;--soft:#999;--line:#333;
    --fact:#ff6b81}}
    body{margin:0 auto;padding:16px;max-width:1080px;color:var(--text);background:var(--back);
    font:15px/1.5 system-ui,sans-serif}
    h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 6px}p{margin:4px 0 10px}
    header p,.note{color:var(--soft)}a{color:inherit}nav a{margin-right:14px;white-space:nowrap}
    .findings{padding-left:20px}.fact{color:var(--fact);font-weight:600}
    .grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:10px}
    svg{width:100%;height:auto;display:block}
    svg text{font:9px system-ui,sans-serif;fill:var(--soft)}
    svg .h{font-size:10px;fill:var(--text)}svg .g{stroke:var(--line)}
    .wide svg{max-width:760px}.scroll{overflow-x:auto}
    table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
    td,th{padding:2px 10px 2px 0;text-align:right;border-bottom:1px solid var(--line);
    white-space:nowrap}td:first-child,th:first-child{text-align:left}
    """

  private func section(_ picture: Picture) -> String? {
    switch picture {
    case .deviations: return byLayer { $0.shape.count > 1 }
    case .gains: return byLayer { $0.shape.count == 1 && $0.name.contains("ln_") }
    case .bias: return biases
    case .words: return rows("wte.weight", "token", Picture.words.note)
    case .positions: return rows("wpe.weight", "position", Picture.positions.note)
    case .shares: return shares
    case .run:
      guard let curves else { return nil }
      return "<p class=\"note\">\(Markup.escaped(LossPicture.description(curves)))</p>\n"
        + "<div class=\"wide\">\(LossPicture(curves).svg)</div>"
    case .numbers: return numbers
    }
  }

  /// A small plot for each kind of tensor: its deviation, or its mean, layer by layer.
  private func byLayer(_ isShown: (TensorSummary) -> Bool) -> String? {
    let plots = groups.compactMap { name -> String? in
      let group = group(name)
      guard let first = group.first, isShown(first) else { return nil }
      let isVector = first.shape.count == 1
      let line = SmallPlot.Line(
        name: name, values: group.map { isVector ? $0.mean : $0.deviation },
        band: isVector ? group.map { (Double($0.smallest), Double($0.largest)) } : [])
      return SmallPlot(
        title: name.split(separator: ".").drop { $0 == "h" || $0 == "*" }.joined(separator: "."),
        lines: [line], axis: "layer", last: group.count - 1
      ).svg
    }
    guard !plots.isEmpty else { return nil }
    let picture =
      isShown(tensors.first { $0.shape.count > 1 } ?? tensors[0]) ? Picture.deviations : .gains
    return
      "<p class=\"note\">\(picture.note)</p>\n<div class=\"grid\">"
      + plots.joined(separator: "\n") + "</div>"
  }

  /// The biases of query, key and value, and the deviations of their weights.
  private var biases: String? {
    let group = tensors.filter { $0.group.hasSuffix("c_attn.bias") && $0.values.count % 3 == 0 }
      .sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
    guard !group.isEmpty else { return nil }
    let lines = ["query", "key", "value"].enumerated().map { third, name in
      SmallPlot.Line(
        name: name,
        values: group.map { bias in
          let size = bias.values.count / 3
          let part = bias.values[third * size..<(third + 1) * size]
          return part.reduce(0) { $0 + Double(abs($1)) } / Double(size)
        })
    }
    let plot = SmallPlot(
      title: "mean of |c_attn.bias|", lines: lines, axis: "layer", last: group.count - 1,
      width: 760, height: 200)
    return "<p class=\"note\">\(Picture.bias.note)</p>\n<div class=\"wide\">\(plot.svg)</div>"
      + (headPlot.map { "\n<div class=\"wide\">\($0)</div>" } ?? "")
  }

  /// The deviation of each head's queries, keys and values in the first layer and the last.
  private var headPlot: String? {
    guard let heads, heads > 0 else { return nil }
    let weights = tensors.filter {
      $0.group.hasSuffix("c_attn.weight") && $0.columnSums.count % (3 * heads) == 0
    }
    .sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
    guard let middle = weights.dropFirst(weights.count / 2).first, middle.rowNorms.count > 0 else {
      return nil
    }
    let size = middle.columnSums.count / (3 * heads)
    let lines = ["query", "key", "value"].enumerated().map { third, name in
      SmallPlot.Line(
        name: name,
        values: (0..<heads).map { head in
          let columns = (third * heads + head) * size..<(third * heads + head + 1) * size
          let count = Double(size * middle.rowNorms.count)
          let sum = middle.columnSums[columns].reduce(0, +) / count
          let square = middle.columnSquares[columns].reduce(0, +) / count
          return max(0, square - sum * sum).squareRoot()
        })
    }
    return SmallPlot(
      title: "deviation by head, \(middle.name)", lines: lines, axis: "head", last: heads - 1,
      width: 760, height: 200
    ).svg
  }

  private func rows(_ name: String, _ axis: String, _ note: String) -> String? {
    guard let table = tensors.first(where: { $0.name == name }), table.rowNorms.count > 1 else {
      return nil
    }
    let (middle, band) = SmallPlot.condensed(table.rowNorms)
    let plot = SmallPlot(
      title: "norms of the rows of \(name)",
      lines: [.init(name: name, values: middle, band: band)], axis: axis,
      last: table.rowNorms.count - 1, width: 760, height: 200)
    return "<p class=\"note\">\(note)</p>\n<div class=\"wide\">\(plot.svg)</div>"
  }

  /// The deviations of the shares of each rank, layer by layer.
  private var shares: String? {
    guard let ranks, (2...8).contains(ranks) else { return nil }
    let plots = ["mlp.c_fc.weight", "mlp.c_proj.weight", "attn.c_proj.weight"].compactMap {
      name -> String? in
      let group = group("h.*.\(name)")
      guard let first = group.first, first.shape.count == 2 else { return nil }
      let isByColumns = name == "mlp.c_fc.weight"
      let lines = (0..<ranks).compactMap { rank -> SmallPlot.Line? in
        let values = group.compactMap { tensor -> Double? in
          let squares = isByColumns ? tensor.columnSquares : tensor.rowNorms.map { Double($0 * $0) }
          guard squares.count.isMultiple(of: ranks), squares.count >= ranks else { return nil }
          let size = squares.count / ranks
          let sum = squares[rank * size..<(rank + 1) * size].reduce(0, +)
          return (sum / Double(tensor.count / ranks)).squareRoot()
        }
        return values.count == group.count ? .init(name: "rank \(rank)", values: values) : nil
      }
      guard lines.count == ranks else { return nil }
      return SmallPlot(
        title: name, lines: lines, axis: "layer", last: group.count - 1, width: 360, height: 150
      ).svg
    }
    guard !plots.isEmpty else { return nil }
    return "<p class=\"note\">\(Picture.shares.note)</p>\n<div class=\"grid\">"
      + plots.joined(separator: "\n") + "</div>"
  }

  private var numbers: String? {
    // Of hundreds of layers the pictures say more than a table.
    let shown = tensors.prefix(600)
    let rows = shown.map { tensor in
      let cells = [
        tensor.name, tensor.shape.map { "\($0)" }.joined(separator: " x "),
        significant(tensor.mean, digits: 3), significant(tensor.deviation, digits: 3),
        significant(Double(tensor.smallest), digits: 3),
        significant(Double(tensor.largest), digits: 3), "\(tensor.zeroCount)",
        "\(tensor.nonFiniteCount)",
      ]
      return "<tr>\(cells.map { "<td>\(Markup.escaped($0))</td>" }.joined())</tr>"
    }
    let heads = [
      "tensor", "shape", "mean", "deviation", "smallest", "largest", "zeros", "not finite",
    ]
    return "<div class=\"scroll\"><table>\n<tr>\(heads.map { "<th>\($0)</th>" }.joined())</tr>\n"
      + rows.joined(separator: "\n") + "\n</table></div>"
      + (shown.count < tensors.count ? "<p>... and \(tensors.count - shown.count) more</p>" : "")
  }
}

extension ModelReport.Picture {
  var title: String {
    switch self {
    case .deviations: "Deviation by layer"
    case .gains: "Layernorms"
    case .bias: "Query, key and value"
    case .words: "Tokens"
    case .positions: "Positions"
    case .shares: "Tensor-parallel shares"
    case .run: "The run"
    case .numbers: "Numbers"
    }
  }

  /// What to look for.
  var note: String {
    switch self {
    case .deviations:
      "Smooth in a model that was trained as one; a step or a saw-tooth may be a layer of another "
        + "run, twice, or in a wrong place."
    case .gains: "The mean over each, in a band from its smallest to its largest element."
    case .bias:
      "In runs in float32 the key's bias stays far below the others; where it does not, "
        + "the order of "
        + "query, key and value may be wrong."
    case .words:
      "In the order of the tokens: rows of padding stand apart at the end; seams "
        + "elsewhere would be "
        + "those of a wrongly merged vocabulary."
    case .positions: "In the order of the positions: those that were never trained stand apart."
    case .shares: "The ranks of one model lie on each other; a rank of another iteration does not."
    case .run, .numbers: ""
    }
  }
}
