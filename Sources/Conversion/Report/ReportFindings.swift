import Architectures
import Diagnostics
import JSON

/// What stands out in the numbers of a model.
struct ReportFindings {
  private let tensors: [TensorSummary]
  private let heads: Int?
  private let ranks: Int?
  private var found: [ModelReport.Finding] = []

  init(_ tensors: [TensorSummary], heads: Int?, ranks: Int?) {
    self.tensors = tensors
    self.heads = heads
    self.ranks = ranks
  }

  private mutating func fact(_ text: String, _ picture: ModelReport.Picture) {
    found.append(.init(isFact: true, text: text, picture: picture))
  }

  private mutating func look(_ text: String, _ picture: ModelReport.Picture) {
    found.append(.init(isFact: false, text: text, picture: picture))
  }

  /// Facts first, and not more than so many.
  func sorted(most count: Int) -> [ModelReport.Finding] {
    let all = found.filter(\.isFact) + found.filter { !$0.isFact }
    guard all.count > count else { return all }
    let rest = all.dropFirst(count - 1)
    return all.prefix(count - 1) + [
      .init(
        isFact: rest.contains(where: \.isFact), text: "and \(rest.count) more of this kind",
        picture: .numbers)
    ]
  }

  /// Looks for everything.
  mutating func find(_ manifest: ConversionManifest?, _ curves: TrainingCurves?) {
    notFinite()
    constantTensors()
    equalTensors()
    equalRanks()
    divergedRanks(manifest)
    order()
    gains()
    steps()
    positions()
    for warning in curves?.warnings ?? [] { look(warning.message, .run) }
  }

  // MARK: - Facts

  private mutating func notFinite() {
    let odd = tensors.filter { $0.nonFiniteCount > 0 }
    guard odd.count < 4 else {
      let names = odd.prefix(3).map(\.name).joined(separator: ", ")
      let elements = odd.reduce(0) { $0 + $1.nonFiniteCount }
      return fact(
        "\(thousands(elements)) elements of \(odd.count) tensors are not finite: \(names), ...",
        .numbers)
    }
    for tensor in odd {
      fact(
        "\(plural(tensor.nonFiniteCount, "element")) of \(tensor.name) "
          + (tensor.nonFiniteCount == 1 ? "is" : "are") + " not finite", .numbers)
    }
  }

  /// Matrices whose elements are all one value were never trained, or were lost.
  private mutating func constantTensors() {
    let constant = tensors.filter { $0.shape.count > 1 && $0.isConstant && $0.nonFiniteCount == 0 }
    guard !constant.isEmpty else { return }
    let names = constant.prefix(4).map(\.name).joined(separator: ", ")
    let values = Set(constant.map(\.smallest))
    fact(
      "all elements of \(names)\(constant.count > 4 ? " and \(constant.count - 4) more" : "") "
        + (values.count == 1 ? "are \(significant(Double(values.first ?? 0)))" : "are one value"),
      .deviations)
  }

  /// What identifies the values of a tensor.
  private struct Values: Hashable {
    let shape: [Int]
    let crc: UInt32
    let mean, deviation: Double
  }

  private mutating func equalTensors() {
    var byValues: [Values: [TensorSummary]] = [:]
    for tensor in tensors where !tensor.isConstant {
      let key = Values(
        shape: tensor.shape, crc: tensor.crc, mean: tensor.mean, deviation: tensor.deviation)
      byValues[key, default: []].append(tensor)
    }
    // Layers that are equal in all tensors that are not constant are said once.
    let layers = Set(tensors.compactMap(\.layer)).sorted()
    var own: [Int: Set<String>] = [:]
    var shared: [[Int]: Set<String>] = [:]
    for tensor in tensors where !tensor.isConstant {
      if let layer = tensor.layer { own[layer, default: []].insert(tensor.group) }
    }
    for group in byValues.values where group.count > 1 {
      for (index, a) in group.enumerated() {
        for b in group[(index + 1)...] {
          guard let first = a.layer, let second = b.layer, a.group == b.group else { continue }
          shared[[min(first, second), max(first, second)], default: []].insert(a.group)
        }
      }
    }
    var equal: Set<[Int]> = []
    for (index, a) in layers.enumerated() {
      for b in layers[(index + 1)...] where own[a]?.isEmpty == false {
        let common = shared[[a, b]]?.count ?? 0
        guard common > 2 else { continue }
        equal.insert([a, b])
        let all = Set(own[a] ?? []).union(own[b] ?? []).count
        fact(
          "layers \(a) and \(b) are equal in "
            + (common == all ? "all tensors" : "\(common) of \(all) tensors"), .deviations)
      }
    }
    let rest = byValues.values.filter { $0.count > 1 }.sorted { $0[0].name < $1[0].name }
    for group in rest {
      let pairs = group.enumerated().flatMap { index, a in
        group[(index + 1)...].compactMap { b in
          a.layer.flatMap { first in b.layer.map { [min(first, $0), max(first, $0)] } }
        }
      }
      if !pairs.isEmpty, pairs.allSatisfy(equal.contains), Set(group.map(\.group)).count == 1 {
        continue
      }
      let names = group.map(\.name)
      // A head that is stored beside the embedding that it is.
      if Set(names).isSubset(of: ["lm_head.weight", "wte.weight"]) { continue }
      fact("\(names.prefix(4).joined(separator: " and ")) are equal", .numbers)
    }
  }

  /// The parts of a tensor that ranks hold are different after training.
  private mutating func equalRanks() {
    let counts = ranks.map { [$0] } ?? [2, 4, 8]
    for count in counts where count > 1 {
      var pairs: [[Int]: Int] = [:]
      var total = 0
      for tensor in tensors {
        guard let parts = parts(of: tensor, count) else { continue }
        total += 1
        for a in 0..<count {
          for b in (a + 1)..<count where parts[a] == parts[b] { pairs[[a, b], default: 0] += 1 }
        }
      }
      for (pair, number) in pairs.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) })
      where number > 0 {
        fact(
          "of \(count) tensor-parallel ranks, \(pair[0]) and \(pair[1]) hold the same values in "
            + "\(number) of \(plural(total, "tensor"))", .shares)
      }
      if !pairs.isEmpty { return }
    }
  }

  /// What identifies the share of each rank of a tensor that is divided among ranks.
  private func parts(of tensor: TensorSummary, _ count: Int) -> [[Double]]? {
    guard tensor.shape.count == 2, !tensor.isConstant else { return nil }
    func divided(_ values: [Double], _ groups: Int) -> [[Double]]? {
      let each = values.count / groups
      guard values.count == each * groups, each.isMultiple(of: count), each >= count else {
        return nil
      }
      let share = each / count
      return (0..<count).map { rank -> [Double] in
        var own: [Double] = []
        for group in 0..<groups {
          let start = group * each + rank * share
          own += values[start..<start + share]
        }
        return own
      }
    }
    switch tensor.group.split(separator: ".").suffix(2).joined(separator: ".") {
    case "c_attn.weight": return divided(tensor.columnSums, 3)
    case "wte.weight": return divided(tensor.rowNorms.map { Double($0) }, 1)
    case "c_fc.weight": return divided(tensor.columnSums, 1)
    case "c_proj.weight": return divided(tensor.rowNorms.map { Double($0) }, 1)
    default: return nil
    }
  }

  private mutating func divergedRanks(_ manifest: ConversionManifest?) {
    let entries = manifest?.json.object?["tensors"]?.array?.compactMap(\.object) ?? []
    let differing = entries.filter { ($0["replicas_differing"]?.int ?? 0) > 0 }
    guard !differing.isEmpty else { return }
    let largest = differing.compactMap { $0["replicas_largest_difference"]?.number }.max() ?? 0
    let choice = manifest?.json.object?["options"]?.object?["replicas"]?.string ?? "mean"
    fact(
      "\(plural(differing.count, "tensor")) that all ranks should hold alike differ from rank to "
        + "rank, by \(significant(largest, digits: 2)) at most; the output has "
        + (choice == "mean" ? "their mean" : "those of rank 0"), .gains)
  }

  // MARK: - Worth a look

  /// A bias on the keys shifts all scores of a query alike, so its gradient is zero, and in runs in
  /// float32 it stays far below those of queries and values. Where that holds in another order of
  /// the rows, the order may be wrong.
  private mutating func order() {
    guard let heads, heads > 0 else { return }
    let biases = tensors.filter {
      $0.group.hasSuffix("c_attn.bias") && $0.values.count % (3 * heads) == 0
    }
    guard biases.count > 1, biases.contains(where: { !$0.isConstant }) else { return }
    func magnitudes(_ part: (Int, Int) -> Int?) -> [Double]? {
      var (sums, counts) = ([0.0, 0, 0], [0.0, 0, 0])
      for bias in biases {
        for (column, value) in bias.values.enumerated() {
          guard let place = part(column, bias.values.count / 3) else { return nil }
          sums[place] += Double(abs(value))
          counts[place] += 1
        }
      }
      guard counts.allSatisfy({ $0 > 0 }) else { return nil }
      return zip(sums, counts).map { $0 / $1 }
    }
    func ratio(_ parts: [Double]) -> Double { min(parts[0], parts[2]) / max(parts[1], 1e-30) }
    func times(_ parts: [Double]) -> String { significant(min(ratio(parts), 1e6), digits: 2) }
    guard let own = magnitudes({ column, hidden in column / hidden }) else { return }
    if let swapped = swappedThird(biases) {
      look(swapped, .bias)
      return
    }
    if ratio(own) > 20 {
      return
    }
    for count in ranks.map({ [$0] }) ?? [1, 2, 4, 8] where heads % count == 0 {
      for used in QKVOrder.allCases {
        for truth in QKVOrder.allCases where truth != used {
          let parts = magnitudes { column, hidden in
            ReportFindings.part(
              column, hidden: hidden, heads: heads, ranks: count, used: used, stored: truth)
          }
          guard let parts, ratio(parts) > 20 else { continue }
          look(
            "the key's bias is not smaller than the others, but would be "
              + "\(times(parts)) times smaller if the rows were "
              + "stored as \(truth.rawValue) where \(used.rawValue) was taken: the order of query, "
              + "key and value may be wrong", .bias)
          return
        }
      }
    }
  }

  /// Layers in which the smallest third of the bias is not the key's, by as much as the key's is
  /// elsewhere, or would be in any order.
  private func swappedThird(_ biases: [TensorSummary]) -> String? {
    let names = ["query", "key", "value"]
    var small: [Int: [Int]] = [:]
    for bias in biases {
      let size = bias.values.count / 3
      let means = (0..<3).map { third in
        bias.values[third * size..<(third + 1) * size].reduce(0) { $0 + Double(abs($1)) }
      }
      let order = (0..<3).sorted { means[$0] < means[$1] }
      guard means[order[1]] > 20 * means[order[0]], means[order[1]] > 0 else { continue }
      small[order[0], default: []].append(bias.layer ?? 0)
    }
    for third in [0, 2] {
      guard let layers = small[third], layers.count * 4 >= biases.count || small[1] != nil else {
        continue
      }
      let list = layers.prefix(6).map { "\($0)" }.joined(separator: ", ")
      return "the \(names[third])'s bias is far smaller than the others in "
        + (layers.count == biases.count
          ? "all layers" : "layers \(list)\(layers.count > 6 ? ", ..." : "")")
        + ", as the key's is after training in float32: key and \(names[third]) may have changed "
        + "places"
    }
    return nil
  }

  /// Whether a column of the output, which was made by one order of the rows, is of query, key or
  /// value by another one.
  static func part(
    _ column: Int, hidden: Int, heads: Int, ranks: Int, used: QKVOrder, stored: QKVOrder
  ) -> Int? {
    let (share, size) = (hidden / ranks, hidden / heads)
    guard share > 0, size > 0, share % size == 0 else { return nil }
    let (part, channel) = (column / hidden, column % hidden % share)
    // Where the column stood among the rows of its rank, by the order that was used.
    let row: Int
    switch used {
    case .thirds: row = part * share + channel
    case .heads3HN: row = (channel / size * 3 + part) * size + channel % size
    case .headsHN3: row = (channel / size * size + channel % size) * 3 + part
    }
    switch stored {
    case .thirds: return row / share
    case .heads3HN: return row / size % 3
    case .headsHN3: return row % 3
    }
  }

  private mutating func gains() {
    let norms = tensors.filter {
      $0.values.count > 1 && $0.name.contains("ln_") && $0.name.hasSuffix("weight")
    }
    let high = norms.filter { $0.mean > 1.8 && $0.mean < 2.2 }
    if !norms.isEmpty, high.count * 2 > norms.count {
      look(
        "the gains of \(high.count) of \(norms.count) layernorms are near 2, as if 1 was added to "
          + "those that had it already", .gains)
    }
    let low = norms.filter { abs($0.mean) < 0.2 }
    guard !norms.isEmpty, low.count * 2 > norms.count else { return }
    look(
      "the gains of \(low.count) of \(norms.count) layernorms are near 0, as those are that are "
        + "stored as their distance from 1", .gains)
  }

  /// A layer whose deviation is not that of its neighbours.
  private mutating func steps() {
    // The worst of each layer.
    var worst: [Int: (name: String, ratio: Double)] = [:]
    for name in Set(tensors.compactMap { $0.layer == nil ? nil : $0.group }) {
      let group = tensors.filter {
        $0.group == name && $0.shape.count > 1 && !$0.isConstant && $0.deviation.isFinite
      }.sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
      guard group.count > 2 else { continue }
      for index in group.indices {
        let near = [index - 2, index - 1, index + 1, index + 2].filter(group.indices.contains)
          .map { group[$0].deviation }.sorted()
        let middle = near[near.count / 2]
        guard middle > 0, group[index].deviation > 0, let layer = group[index].layer else {
          continue
        }
        let quotient = group[index].deviation / middle
        let ratio = max(quotient, 1 / quotient)
        // The first and the last layers are their own kind.
        let isEnd = index == 0 || index == group.count - 1
        if ratio > (isEnd ? 4 : 2), ratio > worst[layer]?.ratio ?? 0 {
          worst[layer] = (group[index].name, ratio)
        }
      }
    }
    let found = worst.values.sorted { ($1.ratio, $0.name) < ($0.ratio, $1.name) }
    for item in found.prefix(3) {
      look(
        "the deviation of \(item.name) is \(significant(item.ratio, digits: 2)) times off "
          + "that of its neighbours", .deviations)
    }
  }

  /// Neighbouring rows of a trained table of positions are alike; those of one that was never
  /// trained are as far apart as any two.
  private mutating func positions() {
    guard let table = tensors.first(where: { $0.name == "wpe.weight" }), table.rowNorms.count > 15
    else { return }
    let steps = zip(table.rowSteps, table.rowNorms.dropFirst()).map { step, norm in
      norm > 0 ? Double(step / norm) : 0
    }
    func median(_ values: ArraySlice<Double>) -> Double { values.sorted()[values.count / 2] }
    // Random rows are the root of 2 apart.
    guard median(steps[...]) < 1.2 else {
      look(
        "the rows of the table of positions are as far apart as random ones: it looks untrained",
        .positions)
      return
    }
    // From the end on, by blocks: single rows may be near one another by chance.
    var end = steps.count
    while end >= 8, median(steps[(end - 8)..<end]) >= 1.2 { end -= 8 }
    if steps.count - end >= max(8, steps.count / 50) {
      look(
        "positions from about \(end + 1) on look untrained: their rows are as far apart as random "
          + "ones",
        .positions)
    }
  }
}
