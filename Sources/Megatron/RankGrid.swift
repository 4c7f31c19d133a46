/// What a checkpoint has for each pair of ranks, such as pipeline stage and tensor-parallel rank.
/// Each pair occurs once, and none may be missing.
struct RankGrid<Value> {
  private var values: [Int: [Int: Value]] = [:]

  /// The numbers of the rows that have a value, ascending.
  var rows: [Int] { values.keys.sorted() }

  var isEmpty: Bool { values.isEmpty }

  /// One more than the highest number of a row; 0 for an empty grid.
  var rowCount: Int { (values.keys.max() ?? -1) + 1 }

  /// One more than the highest number of a column in any row; 0 for an empty grid.
  var columnCount: Int { (values.values.flatMap(\.keys).max() ?? -1) + 1 }

  /// Notes a value.
  ///
  /// - Returns: The value of the same pair, if there is one already, which is kept.
  mutating func insert(_ value: Value, _ row: Int, _ column: Int) -> Value? {
    if let other = values[row]?[column] { return other }
    values[row, default: [:]][column] = value
    return nil
  }

  /// The value of a pair.
  subscript(row: Int, column: Int) -> Value? { values[row]?[column] }

  /// The values of a row by their columns, ascending.
  func row(_ row: Int) -> [Value] {
    (values[row] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
  }

  /// The first pair without a value.
  ///
  /// - Parameters:
  ///   - rows: The rows that are looked at.
  ///   - columns: How many columns each row must have; `nil` for as many as its highest number asks
  ///     for, but at least one.
  /// - Returns: `nil` when none is missing.
  func firstGap(
    rows: some Sequence<Int>, columns: Int? = nil
  ) -> (row: Int, column: Int)? {
    for row in rows {
      let own = values[row] ?? [:]
      let count = columns ?? max((own.keys.max() ?? 0) + 1, 1)
      if let column = (0..<count).first(where: { own[$0] == nil }) { return (row, column) }
    }
    return nil
  }
}
