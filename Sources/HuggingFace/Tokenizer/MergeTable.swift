import HeapModule

/// The merges of a byte-level BPE: which two neighbours become one token, and which of them first.
struct MergeTable {
  private struct Merge {
    let rank: Int
    let id: Int
  }

  private struct Pair: Hashable {
    let left: Int
    let right: Int
  }

  private var merges: [Pair: Merge] = [:]
  private var count = 0

  /// Longer pieces are merged with a heap: a run of letters without an end must not take the square
  /// of its length.
  private static let shortest = 64

  /// Adds the merge of the next rank. Of a pair that comes again, the last rank counts.
  mutating func add(_ left: Int, _ right: Int, makes id: Int) {
    merges[Pair(left: left, right: right)] = Merge(rank: count, id: id)
    count += 1
  }

  /// Merges neighbours until none are left that have a rank: each time the pair of the lowest rank,
  /// the leftmost of several.
  func apply(to tokens: [Int]) -> [Int] {
    tokens.count > MergeTable.shortest ? applyByHeap(to: tokens) : applyByScan(to: tokens)
  }

  private func merge(_ left: Int, _ right: Int) -> Merge? { merges[Pair(left: left, right: right)] }

  func applyByScan(to tokens: [Int]) -> [Int] {
    var tokens = tokens
    var found = zip(tokens, tokens.dropFirst()).map(merge)
    while true {
      var best: (position: Int, merge: Merge)?
      for (position, candidate) in found.enumerated() {
        guard let candidate else { continue }
        if best.map({ candidate.rank < $0.merge.rank }) ?? true { best = (position, candidate) }
      }
      guard let (position, merge) = best else { return tokens }
      tokens[position] = merge.id
      tokens.remove(at: position + 1)
      found.remove(at: position)
      if position > 0 { found[position - 1] = self.merge(tokens[position - 1], tokens[position]) }
      if position < found.count {
        found[position] = self.merge(tokens[position], tokens[position + 1])
      }
    }
  }

  /// A pair of neighbours that can be merged.
  private struct Candidate: Comparable {
    let rank: Int
    let position: Int
    let pair: Pair
    let id: Int

    static func < (a: Candidate, b: Candidate) -> Bool {
      (a.rank, a.position) < (b.rank, b.position)
    }
  }

  func applyByHeap(to tokens: [Int]) -> [Int] {
    var tokens: [Int?] = tokens
    var next = tokens.indices.map { $0 + 1 }
    var previous = tokens.indices.map { $0 - 1 }
    var heap = Heap<Candidate>()
    func look(at position: Int) {
      guard position >= 0, next[position] < tokens.count, let left = tokens[position],
        let right = tokens[next[position]], let merge = merge(left, right)
      else { return }
      heap.insert(
        Candidate(
          rank: merge.rank, position: position, pair: Pair(left: left, right: right),
          id: merge.id))
    }
    for position in tokens.indices { look(at: position) }
    while let best = heap.popMin() {
      let position = best.position
      // Neighbours that were merged meanwhile are others by now.
      guard tokens[position] == best.pair.left, next[position] < tokens.count,
        tokens[next[position]] == best.pair.right
      else { continue }
      tokens[position] = best.id
      tokens[next[position]] = nil
      next[position] = next[next[position]]
      if next[position] < tokens.count { previous[next[position]] = position }
      look(at: previous[position])
      look(at: position)
    }
    return tokens.compactMap { $0 }
  }
}
