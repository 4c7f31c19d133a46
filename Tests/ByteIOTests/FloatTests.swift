import ByteIO
import TestSupport
import Testing

@Suite struct FloatTests {
  private func convert(_ bytes: [UInt8], _ from: FloatFormat, _ to: FloatFormat) -> (
    bytes: [UInt8], overflowed: Int
  ) {
    let count = bytes.count / from.size
    let target = ByteBuffer(count: count * to.size)
    let overflowed = target.convert(count, from: ByteBuffer(bytes), at: 0, as: from, to: to, at: 0)
    return (target.bytes(0..<count * to.size), overflowed)
  }

  private func floats(_ bytes: [UInt8]) -> [Float] {
    stride(from: 0, to: bytes.count, by: 4).map { start in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
    }
  }

  @Test func everyHalfIsWidenedExactlyAndComesBack() {
    let halves = (0..<65536).flatMap { little($0, 2) }
    let wide = convert(halves, .float16, .float32).bytes
    for (bits, value) in floats(wide).enumerated() {
      let reference = Float(Float16(bitPattern: UInt16(bits)))
      if reference.isNaN {
        #expect(value.isNaN)
      } else {
        #expect(value.bitPattern == reference.bitPattern, "half \(bits)")
      }
    }
    let back = convert(wide, .float32, .float16).bytes
    for bits in 0..<65536 where !Float16(bitPattern: UInt16(bits)).isNaN {
      #expect(Int(back[2 * bits]) | Int(back[2 * bits + 1]) << 8 == bits)
    }
  }

  @Test func roundingToHalfIsToNearestAndTiesToEven() {
    var random = SeededGenerator(1)
    var patterns: [UInt32] = [0, 0x8000_0000, 0x7F80_0000, 0x477F_EFFF, 0x477F_F000, 0x3300_0000]
    patterns += [0x3300_0001, 0x3380_0000, 0x387F_C000, 0x3880_0000, 1]
    for half in stride(from: 0, to: 0x7C00, by: 37) {
      // The middle between two neighbours, and what is next to it.
      let low = Float(Float16(bitPattern: UInt16(half)))
      let high = Float(Float16(bitPattern: UInt16(half + 1)))
      guard high.isFinite else { continue }
      let middle = ((low + high) / 2).bitPattern
      patterns += [middle, middle + 1, middle &- 1]
    }
    for _ in 0..<20000 { patterns.append(UInt32.random(in: 0...UInt32.max, using: &random)) }
    let result = convert(patterns.flatMap { little(Int($0), 4) }, .float32, .float16)
    var overflowed = 0
    for (index, bits) in patterns.enumerated() {
      let value = Float(bitPattern: bits)
      let expected = Float16(value)
      let found = Float16(
        bitPattern: UInt16(result.bytes[2 * index]) | UInt16(result.bytes[2 * index + 1]) << 8)
      if value.isNaN {
        #expect(found.isNaN)
      } else {
        #expect(found.bitPattern == expected.bitPattern, "binary32 \(bits)")
        if value.isFinite, expected.isInfinite { overflowed += 1 }
      }
    }
    #expect(result.overflowed == overflowed)
    #expect(overflowed > 0)
  }

  @Test func roundingToBfloat16IsToNearestAndTiesToEven() {
    let cases: [(UInt32, UInt16)] = [
      (0x3F80_8000, 0x3F80), (0x3F81_8000, 0x3F82), (0x3F80_8001, 0x3F81), (0x3F80_7FFF, 0x3F80),
      (0x7F7F_FFFF, 0x7F80), (0xFF80_0000, 0xFF80), (0x7F80_0001, 0x7FC0), (0x0000_8000, 0x0000),
    ]
    let result = convert(cases.flatMap { little(Int($0.0), 4) }, .float32, .bfloat16)
    for (index, expected) in cases.enumerated() {
      #expect(
        UInt16(result.bytes[2 * index]) | UInt16(result.bytes[2 * index + 1]) << 8 == expected.1)
    }
    #expect(result.overflowed == 1)
  }

  @Test func theMeanIsTakenInBinary32() {
    // 1 and 1 + 2^-7 in bfloat16: the mean lies between two neighbours.
    let a = ByteBuffer(little(0x3F80, 2) + little(0x4000, 2))
    let b = ByteBuffer(little(0x3F81, 2) + little(0x4000, 2))
    let target = ByteBuffer(count: 8)
    target.mean(of: [a, b], count: 2, as: .bfloat16, to: 0)
    #expect(floats(target.bytes(0..<8)) == [1.00390625, 2])
  }

  @Test(arguments: FloatFormat.allCases)
  func whatIsNotFiniteIsCounted(format: FloatFormat) {
    let values: [Float] = [0, 1, .infinity, -.infinity, .nan, -2]
    let bytes = convert(values.flatMap { little(Int($0.bitPattern), 4) }, .float32, format).bytes
    let counts = ByteBuffer(bytes).countNonFinite(values.count, as: format, at: 0)
    #expect(counts.nan == 1)
    #expect(counts.infinite == 2)
    #expect(ByteBuffer(bytes).countNonFinite(2, as: format, at: 0) == FloatCounts())
  }

  /// What is left over behind the last vector counts, too.
  @Test(arguments: FloatFormat.allCases)
  func oneThatIsNotFiniteIsCountedAnywhere(format: FloatFormat) {
    let size = format.size
    func bytes(_ value: Float) -> [UInt8] {
      convert(little(Int(value.bitPattern), 4), .float32, format).bytes
    }
    let (one, infinite) = (bytes(-1), bytes(-.infinity))
    var single = FloatCounts()
    single.infinite = 1
    for count in [1, 7, 8, 15, 16, 17, 31, 33, 40] {
      let buffer = ByteBuffer([0xFF] + (0..<count).flatMap { _ in one } + infinite)
      #expect(buffer.countNonFinite(count, as: format, at: 1) == FloatCounts())
      for place in 0..<count {
        buffer.store(infinite, at: 1 + place * size)
        #expect(
          buffer.countNonFinite(count, as: format, at: 1) == single, "\(place) of \(count)")
        buffer.store(one, at: 1 + place * size)
      }
    }
  }

  @Test func differencesAreCountedAndMeasured() {
    let a = ByteBuffer([Float(1), 2, 3].flatMap { little(Int($0.bitPattern), 4) })
    let b = ByteBuffer([Float(1), 2.5, 7].flatMap { little(Int($0.bitPattern), 4) })
    let (differing, largest) = a.difference(3, as: .float32, at: 0, from: b, at: 0)
    #expect(differing == 2)
    #expect(largest == 4)
  }

  @Test func bytesAreSwappedAndSignsFlippedWordByWord() {
    let buffer = ByteBuffer([1, 2, 3, 4])
    buffer.swapBytes(2, wordSize: 2, at: 0)
    #expect(buffer.bytes(0..<4) == [2, 1, 4, 3])
    buffer.negate(1, wordSize: 2, step: 4, at: 2)
    #expect(buffer.bytes(0..<4) == [2, 1, 4, 0x83])
  }

  /// Eight elements at a time and one at a time are two ways, which must give the same bits.
  @Test(arguments: [
    (FloatFormat.float16, FloatFormat.float32), (.bfloat16, .float32), (.float32, .float16),
    (.float32, .bfloat16),
  ])
  func conversionsOfManyGiveTheBitsOfConversionsOfOne(from: FloatFormat, to: FloatFormat) {
    var random = SeededGenerator(12)
    for turn in 0..<400 {
      // Some runs hold what has to be counted, the others nothing of the kind.
      let count = Int.random(in: 1...70, using: &random)
      let bytes = (0..<count).flatMap { _ -> [UInt8] in
        let bits = UInt32.random(in: 0...UInt32.max, using: &random)
        if from.size == 2 {
          let half = UInt16(truncatingIfNeeded: bits)
          return little(Int(turn % 2 == 0 ? half & 0xBFFF : half), 2)
        }
        // Exponents around the smallest halves, or any.
        let near = bits & 0x807F_FFFF | (0x60 + bits >> 8 & 0x1F) << 23
        return little(Int(turn % 2 == 0 ? near : bits), 4)
      }
      let whole = convert(bytes, from, to)
      var single: (bytes: [UInt8], overflowed: Int) = ([], 0)
      for start in stride(from: 0, to: bytes.count, by: from.size) {
        let one = convert(Array(bytes[start..<start + from.size]), from, to)
        single.bytes += one.bytes
        single.overflowed += one.overflowed
      }
      #expect(whole.bytes == single.bytes)
      #expect(whole.overflowed == single.overflowed)
    }
  }
}
