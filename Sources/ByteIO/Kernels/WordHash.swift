import CKernels

/// A hash of the words of a matrix, of which parts can be hashed anywhere, in any order and in any
/// direction, and are then added up.
///
/// Each word is multiplied by a factor of its row and one of its column, and the products are added
/// up modulo 2^32, twice with different factors. All factors are odd, so that a single word that
/// changes always changes both sums. Other changes go unseen with a probability of about 2^-64, and
/// more often where only the upper bits of words change: of 2^-44 for the exponents of halves, of
/// 2^-32 for signs. That two words or two rows change places goes unseen with one of 2^-30. Not for
/// those who want to be deceived: the factors are public.
public struct WordHash: Hashable, Sendable {
  /// How consecutive words in memory lie in the matrix.
  public enum Direction: Hashable, Sendable {
    case alongRow
    case alongColumn
  }

  private var sums = SIMD2<UInt32>()

  /// The hash of no words.
  public init() {}

  /// The hash that has these ``bits``.
  public init(bits: UInt64) {
    sums = [UInt32(truncatingIfNeeded: bits), UInt32(truncatingIfNeeded: bits >> 32)]
  }

  /// The hash as a number. Hashes are added up, numbers are not.
  public var bits: UInt64 { UInt64(sums[1]) << 32 | UInt64(sums[0]) }

  /// Adds the hash of other words.
  public static func += (hash: inout WordHash, other: WordHash) { hash.sums &+= other.sums }

  // MARK: - Factors

  /// The factors of rows or of columns: those of 1024 neighbours are in a table, and are multiplied
  /// by another one for each further 1024.
  private struct Factors {
    static let count = 1024
    static let rows = Factors(seed: 0)
    static let columns = Factors(seed: 1 << 63)

    private let seed: UInt64
    /// Those of the first sum, then those of the second one.
    let table: [Int16]

    private init(seed: UInt64) {
      self.seed = seed
      table = (0..<2 * UInt64(Factors.count)).map { Int16(truncatingIfNeeded: mix(seed | $0) | 1) }
    }

    /// What is common to the table that `index` falls into.
    func common(to index: Int) -> SIMD2<UInt32> {
      WordHash(bits: mix(seed | 1 << 62 | UInt64(index / Factors.count)) | 0x1_0000_0001).sums
    }

    /// The factors of `index`.
    subscript(index: Int) -> SIMD2<UInt32> {
      let place = index % Factors.count
      let own = SIMD2(table[place], table[place + Factors.count])
      return common(to: index) &* SIMD2(truncatingIfNeeded: SIMD2<Int32>(truncatingIfNeeded: own))
    }
  }

  /// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
  /// Generators").
  private static func mix(_ number: UInt64) -> UInt64 {
    var word = (number &+ 1) &* 0x9E37_79B9_7F4A_7C15
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }

  // MARK: - Sums

  /// The hash of consecutive `words`, from a row and a column on.
  fileprivate init<Word: FixedWidthInteger & BitwiseCopyable>(
    _ words: UnsafeMutableRawBufferPointer, as: Word.Type, row: Int, column: Int,
    _ direction: Direction
  ) {
    let (factors, first, other) =
      switch direction {
      case .alongRow: (Factors.columns, column, Factors.rows[row])
      case .alongColumn: (Factors.rows, row, Factors.columns[column])
      }
    let count = words.count / MemoryLayout<Word>.size
    unsafe factors.table.withUnsafeBufferPointer { table in
      guard let words = words.baseAddress, let table = table.baseAddress else { return }
      var done = 0
      while done < count {
        let place = (first + done) % Factors.count
        let part = min(count - done, Factors.count - place)
        // Sound: `part` words lie from word `done` on, and so many factors from the two places on.
        let found = unsafe WordHash.products(
          part, words + done * MemoryLayout<Word>.size, as: Word.self, table + place,
          table + place + Factors.count)
        sums &+= found &* factors.common(to: first + done)
        done += part
      }
    }
    sums &*= other
  }

  /// The sums of the products of `count` words with factors of each kind.
  ///
  /// Sound: the caller checked that so many of each lie there.
  @inline(__always)
  private static func products<Word: FixedWidthInteger & BitwiseCopyable>(
    _ count: Int, _ words: UnsafeRawPointer, as: Word.Type, _ factors: UnsafePointer<Int16>,
    _ others: UnsafePointer<Int16>
  ) -> SIMD2<UInt32> {
    let size = MemoryLayout<Word>.size
    var sums = SIMD2<UInt32>()
    var done = 0
    if size == 2 {
      done = count & ~15
      let bits = unsafe ckernels_products(Processor.features, words, factors, others, done)
      sums = WordHash(bits: bits).sums
    }
    for index in done..<count {
      var word = UInt32(
        truncatingIfNeeded: unsafe words.loadUnaligned(
          fromByteOffset: index &* size, as: Word.self))
      // Of a product modulo 2^32 the highest bit of a word decides the highest bit alone, whatever
      // the factor, so that two signs that change would cancel each other. This moves the upper
      // half into the lower one, too.
      if size == 4 { word ^= word >> 16 }
      sums[0] &+= word &* UInt32(truncatingIfNeeded: unsafe factors[index])
      sums[1] &+= word &* UInt32(truncatingIfNeeded: unsafe others[index])
    }
    return sums
  }
}

extension ByteBuffer {
  /// The hash of `count` consecutive words from byte `start` on.
  ///
  /// - Parameters:
  ///   - count: How many words.
  ///   - wordSize: 2 or 4 bytes.
  ///   - start: The offset of the first word in bytes.
  ///   - row: The row of the first word, from 0 on.
  ///   - column: Its column, from 0 on.
  ///   - direction: Where the others are.
  /// - Returns: The hash, which adds up with those of the other words.
  public func hash(
    _ count: Int, wordSize: Int, at start: Int, row: Int, column: Int,
    _ direction: WordHash.Direction
  ) -> WordHash {
    precondition(wordSize == 2 || wordSize == 4, "words have 2 or 4 bytes")
    precondition(row >= 0 && column >= 0, "outside of the matrix")
    let words = unsafe slice(start..<start + count * wordSize)
    return wordSize == 2
      ? unsafe WordHash(words, as: Int16.self, row: row, column: column, direction)
      : unsafe WordHash(words, as: Int32.self, row: row, column: column, direction)
  }
}
