import Transfer

/// One of several parts of a conversion, which make files of the output on their own: "2/4".
public struct WorkShare: Hashable, Sendable, CustomStringConvertible {
  /// From 1 to ``count``.
  public let number: Int
  /// The number of all parts, at most a million.
  public let count: Int

  /// Reads "K/N".
  ///
  /// - Returns: `nil` unless 1 <= K <= N.
  public init?(_ text: String) {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false)
    guard numbers.count == 2, let number = Int(numbers[0]), let count = Int(numbers[1]),
      number >= 1, number <= count, count <= 1_000_000
    else { return nil }
    self.number = number
    self.count = count
  }

  public var description: String { "\(number)/\(count)" }
}

extension ConversionPlan {
  /// The files that each of `count` parts makes, by their positions: the largest file left goes to
  /// the part that has the least, so that the parts are as even as whole files allow. The same for
  /// every process that asks.
  public func parts(_ count: Int) -> [[Int]] {
    var loads = [Int](repeating: 0, count: count)
    var parts = [[Int]](repeating: [], count: count)
    let sizes = transfer.shards.map(\.size)
    for shard in sizes.indices.sorted(by: { (sizes[$0], $1) > (sizes[$1], $0) }) {
      guard let least = loads.indices.min(by: { (loads[$0], $0) < (loads[$1], $1) }) else { break }
      loads[least] += sizes[shard]
      parts[least].append(shard)
    }
    return parts.map { $0.sorted() }
  }
}
