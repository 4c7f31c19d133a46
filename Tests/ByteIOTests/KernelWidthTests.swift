import CKernels
import TestSupport
import Testing

/// The kernels that are chosen by what the processor can do give the same bits either way. Other
/// tests meet the wide ones alone, where there are any.
@Suite struct KernelWidthTests {
  /// With carry-less multiplication alone, without registers of 64 bytes, and with all that there
  /// is.
  private let narrow = ckernels_features() & ckernels_can_multiply.rawValue
  private let wide = ckernels_features() & ~ckernels_can_multiply_widest.rawValue
  private let widest = ckernels_features()

  private typealias Conversion = (
    UInt32, UnsafeRawPointer?, UnsafeMutableRawPointer?, Int
  ) -> Int32

  /// What a conversion of `words` gives, and whether it could do all of them.
  private func convert<Word: BitwiseCopyable, Result: FixedWidthInteger>(
    _ words: [Word], _ features: UInt32, to: Result.Type, _ conversion: Conversion
  ) -> (isDone: Bool, results: [Result]) {
    var results = [Result](repeating: 0, count: words.count)
    let isDone = words.withUnsafeBytes {
      conversion(features, $0.baseAddress, &results, words.count)
    }
    return (isDone != 0, results)
  }

  @Test func allHalvesAreWidenedAlike() {
    // 8 neighbours, and 48 from all over, whose vectors differ.
    var runs: [[UInt16]] = []
    for start in stride(from: UInt16(0), through: .max - 7, by: 8) {
      runs.append(Array(start...start + 7))
      // All finite, and with one that may not be.
      var words = (0..<48).map { (start &+ $0 &* 1031) & 0xBFFF }
      runs.append(words)
      words[Int(start) / 8 % 48] |= 0x4000
      runs.append(words)
    }
    for words in runs {
      for conversion in [ckernels_widen_halves, ckernels_widen_brains] {
        let (a, b) = (
          convert(words, narrow, to: UInt32.self, conversion),
          convert(words, wide, to: UInt32.self, conversion)
        )
        #expect(a.isDone == b.isDone)
        if a.isDone { #expect(a.results == b.results) }
      }
    }
  }

  @Test func floatsAreNarrowedAlike() {
    var random = SeededGenerator(3)
    for turn in 0..<200_000 {
      let words = (0..<8).map { _ -> UInt32 in
        let bits = UInt32.random(in: 0...UInt32.max, using: &random)
        // Any, or around the smallest halves, the largest ones, and the ties between them.
        switch turn % 4 {
        case 0: return bits
        case 1: return bits & 0x807F_FFFF | (0x60 + bits >> 8 & 0x1F) << 23
        case 2: return bits & 0x8000_FFFF | 0x477F_0000
        default: return bits & 0x87FF_F000 | 0x3000_0000
        }
      }
      for conversion in [ckernels_narrow_to_halves, ckernels_narrow_to_brains] {
        let (a, b) = (
          convert(words, narrow, to: UInt16.self, conversion),
          convert(words, wide, to: UInt16.self, conversion)
        )
        guard a.isDone == b.isDone, !a.isDone || a.results == b.results else {
          Issue.record("\(words): \(a) and \(b)")
          return
        }
      }
    }
  }

  @Test func oneNumberThatIsNotFiniteIsFoundAnywhere() {
    for features in [0, narrow, wide] {
      for (special, unit): (UInt16, UInt16) in [(0x7C00, 0x0400), (0xFC01, 0x0400), (0x7F80, 0x80)]
      {
        var words = [UInt16](repeating: special - unit, count: 48)
        #expect(ckernels_any_special_16(features, words, 48, unit) == 0)
        for place in words.indices {
          words[place] = special
          #expect(ckernels_any_special_16(features, words, 48, unit) != 0)
          words[place] = 0x8000
        }
      }
      var words = [UInt32](repeating: 0xFF7F_FFFF, count: 48)
      #expect(ckernels_any_special_32(features, words, 48) == 0)
      for place in words.indices {
        words[place] = 0x7F80_0000
        #expect(ckernels_any_special_32(features, words, 48) != 0)
        words[place] = 0
      }
    }
  }

  @Test func productsAndFoldedBytesAreAlike() {
    var random = SeededGenerator(4)
    for count in stride(from: 256, through: 2048, by: 16) {
      let words = (0..<count).map { _ in Int16.random(in: .min ... .max, using: &random) }
      let factors = (0..<2 * count).map { _ in Int16.random(in: .min ... .max, using: &random) | 1 }
      var sums: (UInt32, UInt32) = (0, 0)
      for (index, word) in words.enumerated() {
        sums.0 &+= UInt32(truncatingIfNeeded: Int(word) * Int(factors[index]))
        sums.1 &+= UInt32(truncatingIfNeeded: Int(word) * Int(factors[count + index]))
      }
      for features in [0, narrow, wide] {
        let others = Array(factors[count...])
        #expect(
          ckernels_products(features, words, factors, others, count)
            == UInt64(sums.1) << 32 | UInt64(sums.0))
      }
      guard narrow != 0 else { continue }
      let bytes = words.map { UInt8(truncatingIfNeeded: $0) }
      for features in [narrow, wide, widest] {
        var folded = [UInt8](repeating: 0, count: 16)
        ckernels_fold_crc(features, bytes, count, count, 1, 0x1234_5678, &folded)
        // The 16 bytes depend on the width; the checksum that they lead to does not.
        #expect(remainder(folded) == remainder(bytes, from: 0x1234_5678))
        // Three rows with room between them.
        guard count >= 1024 else { continue }
        let (size, pitch) = ((count / 3 - 16) & ~15, count / 3)
        let rows = (0..<3).flatMap { bytes[$0 * pitch..<$0 * pitch + size] }
        ckernels_fold_crc(features, bytes, size, pitch, 3, 0x1234_5678, &folded)
        #expect(remainder(folded) == remainder(rows, from: 0x1234_5678))
      }
    }
  }

  /// The CRC register that bytes lead to, bit by bit.
  private func remainder(_ bytes: [UInt8], from register: UInt32 = 0) -> UInt32 {
    bytes.reduce(register) { register, byte in
      (0..<8).reduce(register ^ UInt32(byte)) { register, _ in
        register & 1 == 0 ? register >> 1 : register >> 1 ^ 0xEDB8_8320
      }
    }
  }
}
