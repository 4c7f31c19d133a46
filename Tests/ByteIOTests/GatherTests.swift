import ByteIO
import TestSupport
import Testing

@Suite struct GatherTests {
  /// The obvious way: one element after the other.
  private func naive(_ box: ElementBox, _ source: [UInt8], _ offset: Int, _ size: Int) -> [UInt8] {
    var result: [UInt8] = []
    var index = [Int](repeating: 0, count: box.sizes.count)
    for _ in 0..<box.count {
      let element = zip(index, box.strides).reduce(0) { $0 + $1.0 * $1.1 }
      let start = offset + element * size
      result += source[start..<start + size]
      for axis in index.indices.reversed() {
        index[axis] += 1
        if index[axis] < box.sizes[axis] { break }
        index[axis] = 0
      }
    }
    return result
  }

  @Test(arguments: [1, 2, 4, 8, 16])
  func randomBoxesAreGatheredAsElementByElement(size: Int) {
    var random = SeededGenerator(UInt64(size))
    for _ in 0..<120 {
      let rank = Int.random(in: 0...4, using: &random)
      let sizes = (0..<rank).map { _ in Int.random(in: 1...7, using: &random) }
      let strides = (0..<rank).map { _ in Int.random(in: 0...9, using: &random) }
      check(ElementBox(sizes: sizes, strides: strides), size, &random)
    }
  }

  @Test(arguments: [2, 4, 8])
  func transpositionsOfEveryEdgeOfABlockAreRight(size: Int) {
    var random = SeededGenerator(7)
    for rows in [1, 2, 31, 32, 33, 64, 70] {
      for columns in [1, 3, 31, 32, 33, 65] {
        // A matrix that is read by columns, and one inside of a larger one.
        check(ElementBox(sizes: [rows, columns], strides: [1, rows]), size, &random)
        check(ElementBox(sizes: [rows, columns], strides: [1, rows + 3]), size, &random)
        check(ElementBox(sizes: [rows, 2, columns], strides: [1, 5, rows + 10]), size, &random)
      }
    }
  }

  private func check(_ box: ElementBox, _ size: Int, _ random: inout SeededGenerator) {
    let offset = Int.random(in: 0...5, using: &random)
    let bytes = (0..<offset + box.extent * size).map { _ in
      UInt8.random(in: 0...255, using: &random)
    }
    let target = ByteBuffer(count: box.count * size + 3)
    target.gather(box, from: ByteBuffer(bytes), at: offset, elementSize: size, to: 3)
    #expect(
      target.bytes(3..<3 + box.count * size) == naive(box, bytes, offset, size),
      "sizes \(box.sizes), strides \(box.strides), element size \(size)")
  }

  /// Elements that are laid down with gaps, as the parts of a row are.
  @Test(arguments: [1, 2, 4, 8])
  func whatIsLaidDownWithStridesIsEveryElementAtItsPlace(size: Int) {
    var random = SeededGenerator(UInt64(100 + size))
    for _ in 0..<150 {
      let rows = Int.random(in: 1...70, using: &random)
      let columns = Int.random(in: 1...70, using: &random)
      let pitch = columns + Int.random(in: 0...40, using: &random)
      let source = Bool.random(using: &random) ? [columns + 3, 1] : [1, rows + 2]
      let box = ElementBox(sizes: [rows, columns], strides: source)
      let bytes = (0..<box.extent * size).map { _ in UInt8.random(in: 0...255, using: &random) }
      let target = ByteBuffer(count: rows * pitch * size + 5)
      target.fill(0..<target.count, with: 0xEE)
      target.gather(
        box, from: ByteBuffer(bytes), at: 0, elementSize: size, to: 5, strides: [pitch, 1])
      let expected = naive(box, bytes, 0, size)
      for row in 0..<rows {
        let start = 5 + row * pitch * size
        let end = start + columns * size
        #expect(
          target.bytes(start..<end)
            == Array(expected[row * columns * size..<(row + 1) * columns * size]))
        // Nothing is written into the gaps.
        let gap = end..<min(target.count, end + (pitch - columns) * size)
        #expect(target.bytes(gap).allSatisfy { $0 == 0xEE })
      }
    }
  }

  /// Whole lines take another way than the others, wherever the first one begins.
  @Test(arguments: [2, 4])
  func whatIsStoredPastTheCachesIsEveryElementAtItsPlace(size: Int) {
    var random = SeededGenerator(UInt64(200 + size))
    for turn in 0..<600 {
      let rows = Int.random(in: 1...100, using: &random)
      let columns = [16, 32, 48, 64, 96, Int.random(in: 1...99, using: &random)][turn % 6]
      // Rows that begin at a line, some lines apart; and others.
      let pitch = turn % 4 == 0 ? columns + 3 : (columns * size + 63) / 64 * 64 / size + 64 / size
      let box = ElementBox(sizes: [columns, rows], strides: [rows + turn % 3, 1])
      let bytes = (0..<box.extent * size).map { _ in UInt8.random(in: 0...255, using: &random) }
      let target = ByteBuffer(count: rows * pitch * size + 192)
      target.fill(0..<target.count, with: 0xEE)
      let start = [64, turn % 64 * size, turn][turn % 5 % 3] % 128
      target.gather(
        box, from: ByteBuffer(bytes), at: 0, elementSize: size, to: start, strides: [1, pitch],
        streaming: true)
      let expected = naive(
        ElementBox(sizes: [rows, columns], strides: [1, rows + turn % 3]), bytes, 0, size)
      var whole = [UInt8](repeating: 0xEE, count: target.count)
      for row in 0..<rows {
        let place = start + row * pitch * size
        whole.replaceSubrange(
          place..<place + columns * size,
          with: expected[row * columns * size..<(row + 1) * columns * size])
      }
      #expect(target.bytes(0..<target.count) == whole, "\(rows) \(columns) \(pitch) \(start)")
    }
  }

  @Test func collapsingKeepsTheElements() {
    let box = ElementBox(sizes: [2, 1, 3, 4], strides: [12, 99, 4, 1])
    #expect(box.collapsed == ElementBox(sizes: [24], strides: [1]))
    #expect(ElementBox(sizes: [0, 3], strides: [3, 1]).extent == 0)
    #expect(ElementBox(sizes: [], strides: []).extent == 1)
  }

  @Test func aRangeOutsideOfABufferTraps() async {
    await #expect(processExitsWith: .failure) {
      _ = ByteBuffer(count: 4).bytes(2..<5)
    }
  }
}
