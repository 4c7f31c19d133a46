import ByteIO
import TestSupport
import Testing

@Suite
struct WordHashTests {
  /// A matrix of random words, and its transpose.
  private struct Matrix {
    let (rows, columns, wordSize): (Int, Int, Int)
    var words: [[UInt8]]

    init(rows: Int, columns: Int, wordSize: Int) {
      var random = SeededGenerator(UInt64(rows))
      (self.rows, self.columns, self.wordSize) = (rows, columns, wordSize)
      words = (0..<rows * columns).map { _ in
        (0..<wordSize).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
    }

    /// The hash, row by row, each in portions.
    func hash(row: Int = 0, column: Int = 0, portion: Int = .max) -> WordHash {
      let buffer = ByteBuffer(words.flatMap { $0 })
      var sum = WordHash()
      for line in 0..<rows {
        for start in stride(from: 0, to: columns, by: min(portion, columns)) {
          sum += buffer.hash(
            min(portion, columns - start), wordSize: wordSize,
            at: (line * columns + start) * wordSize, row: row + line, column: column + start,
            .alongRow)
        }
      }
      return sum
    }

    /// The hash, column by column, of words that lie in memory that way.
    func hashOfColumns(row: Int = 0, column: Int = 0) -> WordHash {
      let buffer = ByteBuffer(
        (0..<columns).flatMap { column in (0..<rows).flatMap { words[$0 * columns + column] } })
      var sum = WordHash()
      for line in 0..<columns {
        sum += buffer.hash(
          rows, wordSize: wordSize, at: line * rows * wordSize, row: row, column: column + line,
          .alongColumn)
      }
      return sum
    }
  }

  @Test(arguments: [2, 4], [0, 1000, 1 << 33 + 1020])
  func partsInAnyDirectionSumUpToTheWhole(wordSize: Int, first: Int) {
    let matrix = Matrix(rows: 37, columns: 61, wordSize: wordSize)
    let whole = matrix.hash(row: first, column: first / 2)
    for portion in [1, 7, 60] {
      #expect(matrix.hash(row: first, column: first / 2, portion: portion) == whole)
    }
    #expect(matrix.hashOfColumns(row: first, column: first / 2) == whole)
    #expect(matrix.hash(row: first + 1, column: first / 2) != whole)
    #expect(WordHash(bits: whole.bits) == whole)
  }

  @Test(arguments: [2, 4])
  func wordsThatChangeOrTradePlacesAreNoticed(wordSize: Int) {
    let matrix = Matrix(rows: 13, columns: 11, wordSize: wordSize)
    let whole = matrix.hash()
    var square = Matrix(rows: 11, columns: 11, wordSize: wordSize)
    let (upright, turned) = (square.hash(), square.hashOfColumns())
    #expect(upright == turned)
    for row in 0..<11 {
      for column in 0..<row { square.words.swapAt(row * 11 + column, column * 11 + row) }
    }
    #expect(square.hash() != upright, "a matrix and its transpose have one hash")
    for place in matrix.words.indices {
      for bit in 0..<8 * wordSize {
        var changed = matrix
        changed.words[place][bit / 8] ^= 1 << (bit % 8)
        #expect(changed.hash() != whole)
      }
      for other in matrix.words.indices where matrix.words[place] != matrix.words[other] {
        var swapped = matrix
        swapped.words.swapAt(place, other)
        #expect(swapped.hash() != whole)
      }
    }
  }

  /// Once, two signs that changed in words of 4 bytes cancelled each other, and so did exponents.
  @Test(arguments: [2, 4])
  func signsAndExponentsThatChangeTogetherAreNoticed(wordSize: Int) {
    let matrix = Matrix(rows: 13, columns: 16, wordSize: wordSize)
    let whole = matrix.hash()
    let top = wordSize - 1
    /// The matrix with some of its words changed.
    func changed(_ places: some Sequence<Int>, _ change: (inout [UInt8]) -> Void) -> Matrix {
      var result = matrix
      for place in places { change(&result.words[place]) }
      return result
    }
    for count in [2, 4, 16, 128, matrix.words.count] {
      #expect(changed(0..<count) { $0[top] ^= 0x80 }.hash() != whole)
      #expect(changed(0..<count) { $0[top] = $0[top] &+ 0x40 }.hash() != whole)
      #expect(changed(0..<count) { $0[top] ^= 0xC0 }.hash() != whole)
    }
    for place in matrix.words.indices.dropFirst() {
      #expect(changed([0, place]) { $0[top] ^= 0x80 }.hash() != whole)
      // Two words of one magnitude and different signs change places.
      var pair = matrix
      pair.words[place] = pair.words[0]
      pair.words[place][top] ^= 0x80
      let before = pair.hash()
      pair.words.swapAt(0, place)
      #expect(pair.hash() != before)
    }
  }
}
