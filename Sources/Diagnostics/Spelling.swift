/// Words that are nearly those that were meant.
public enum Spelling {
  /// The word that was probably meant; `nil` where none is near enough.
  public static func nearest(to word: String, in words: some Sequence<String>) -> String? {
    // In words of one or two letters any letter could be meant.
    guard word.count > 2 else { return nil }
    let limit = max(1, word.count / 3)
    let near = words.map { ($0, distance(word, $0, limit: limit)) }.filter { $0.1 <= limit }
    return near.min { ($0.1, $0.0) < ($1.1, $1.0) }?.0
  }

  /// The number of letters that are added, left out, exchanged or swapped with their neighbour.
  private static func distance(_ a: String, _ b: String, limit: Int) -> Int {
    let (a, b) = (Array(a.lowercased().utf8.prefix(64)), Array(b.lowercased().utf8.prefix(64)))
    guard abs(a.count - b.count) <= limit else { return limit + 1 }
    var rows = [Array(0...b.count)]
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var best = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          best = min(best, rows[i - 1][j - 1] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
