import ByteIO

/// Multiplies activations with weights on some threads. Neither their number nor whether the
/// weights lie in memory changes a bit of the result.
struct Multiplier: Sendable {
  /// How many threads share the work.
  var threads: Int { team.count }
  private let team: WorkerTeam
  private let pool: BufferPool

  /// How much of a weight that is not in memory is read at a time: it stays in the cache until it
  /// was used.
  private static let tileSize = 2 << 20

  /// - Parameters:
  ///   - threads: How many threads share the work.
  ///   - rowSize: The size of the longest row of any weight.
  init(threads: Int, rowSize: Int) {
    team = WorkerTeam(count: threads)
    pool = BufferPool(bufferSize: max(Multiplier.tileSize, 8 * rowSize))
  }

  /// How many rows of a weight make a tile: a multiple of 8.
  private func tileRows(_ weight: Weight) -> Int {
    max(8, Multiplier.tileSize / weight.rowSize / 8 * 8)
  }

  /// Adds the product with a weight of [in, out].
  func addProduct(of x: FloatRows, inOut weight: Weight, to y: FloatRows) throws {
    let work = x.count * weight.rows
    if let matrix = weight.resident {
      return try share(weight.columns, of: work) { columns in
        y.addProduct(of: x, inOut: matrix, columns: columns)
      }
    }
    let count = tileRows(weight)
    let tiles = stride(from: 0, to: weight.rows, by: count).map {
      $0..<min($0 + count, weight.rows)
    }
    try pool.withBuffer { first in
      try pool.withBuffer { second in
        var (now, next) = (first, second)
        try readShared(weight, tiles[0], into: now)
        for (number, tile) in tiles.enumerated() {
          let following = number + 1 < tiles.count ? tiles[number + 1] : nil
          let (matrix, ahead) = (weight.matrix(tile, in: now), next)
          // Each thread reads its share of the tile that comes next, and computes its columns.
          let strips = strips(weight.columns, of: max(work, 1 << 20))
          try team.perform(strips.count) { _, part in
            if let following {
              let rows = Multiplier.share(part, of: strips.count, following)
              try weight.read(rows, of: following, into: ahead)
            }
            y.addProduct(of: x, from: tile.lowerBound, inOut: matrix, columns: strips[part])
          }
          swap(&now, &next)
        }
      }
    }
  }

  /// Adds the product with the transpose of a weight of [out, in], from a column of `y` on.
  func addProduct(
    of x: FloatRows, outIn weight: Weight, to y: FloatRows, at place: Int = 0
  ) throws {
    if let matrix = weight.resident {
      return try share(weight.rows, of: x.count * weight.columns) { rows in
        y.addProduct(of: x, outIn: matrix, columns: rows, at: place)
      }
    }
    let count = tileRows(weight) / 2
    let tiles = (weight.rows + count - 1) / count
    try team.perform(tiles) { _, number in
      let tile = number * count..<min((number + 1) * count, weight.rows)
      try pool.withBuffer { buffer in
        y.addProduct(of: x, outIn: try weight.tile(tile, in: buffer), at: place + tile.lowerBound)
      }
    }
  }

  /// Divides items, such as columns, among the threads, unless it is too little to do.
  ///
  /// - Parameters:
  ///   - items: How many there are.
  ///   - work: How many multiplications each takes.
  ///   - least: What the shares are multiples of: whole lines of a cache, so that no two threads
  ///     write to the same one.
  ///   - body: The work on some of them.
  /// - Throws: What the work throws.
  func share(
    _ items: Int, of work: Int, atLeast least: Int = 64,
    _ body: @Sendable (Range<Int>) throws -> Void
  ) throws {
    let strips = strips(items, of: work, atLeast: least)
    guard strips.count > 1 else { return try body(0..<items) }
    try team.perform(strips.count) { _, part in try body(strips[part]) }
  }

  private func strips(_ items: Int, of work: Int, atLeast least: Int = 64) -> [Range<Int>] {
    guard threads > 1, items * work > 1 << 18, items >= 2 * least else { return [0..<items] }
    let step = ((items + threads - 1) / threads + least - 1) / least * least
    return stride(from: 0, to: items, by: step).map { $0..<min($0 + step, items) }
  }

  /// Reads a tile with all threads.
  private func readShared(_ weight: Weight, _ tile: Range<Int>, into buffer: ByteBuffer) throws {
    try team.perform(threads) { _, part in
      try weight.read(Multiplier.share(part, of: threads, tile), of: tile, into: buffer)
    }
  }

  /// One of some shares of a range.
  private static func share(_ part: Int, of count: Int, _ range: Range<Int>) -> Range<Int> {
    let start = range.lowerBound
    return start + range.count * part / count..<start + range.count * (part + 1) / count
  }
}
