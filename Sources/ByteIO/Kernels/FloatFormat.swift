/// The three floating-point formats in which weights are stored.
public enum FloatFormat: Hashable, Sendable, CaseIterable {
  /// IEEE 754 binary16.
  case float16
  /// The upper half of a binary32.
  case bfloat16
  /// IEEE 754 binary32.
  case float32

  /// The size of an element in bytes.
  public var size: Int { self == .float32 ? 4 : 2 }

  /// The name that PyTorch and `config.json` have for it.
  public var torchName: String {
    switch self {
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .float32: "float32"
    }
  }
}

/// How many elements of a run are not numbers, or stopped being finite.
public struct FloatCounts: Hashable, Sendable {
  /// Elements that are NaN.
  public var nan = 0
  /// Elements that are infinite, before any rounding.
  public var infinite = 0
  /// Finite elements that a narrower format turned into an infinity.
  public var overflowed = 0

  public init() {}

  public static func += (total: inout FloatCounts, part: FloatCounts) {
    total.nan += part.nan
    total.infinite += part.infinite
    total.overflowed += part.overflowed
  }
}

// Swift's Float16 compiles to a library call for every conversion on a baseline x86-64, which is
// an order of magnitude slower than this arithmetic on the bits.

/// Widens a half-precision number exactly.
@inline(__always)
func widen(half bits: UInt16) -> UInt32 {
  let sign = UInt32(bits & 0x8000) << 16
  let magnitude = UInt32(bits & 0x7FFF)
  if magnitude >= 0x7C00 { return sign | 0x7F80_0000 | (magnitude & 0x03FF) << 13 }
  if magnitude >= 0x0400 { return sign | (magnitude << 13) &+ 0x3800_0000 }
  // A subnormal half is a multiple of 2^-24, which binary32 holds exactly.
  return sign | (Float(magnitude) * 0x1p-24).bitPattern
}

/// Rounds to half precision, to nearest and ties to even, with subnormals and overflow to infinity.
@inline(__always)
func narrowToHalf(_ bits: UInt32) -> UInt16 {
  let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
  let magnitude = bits & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 {
    return sign | 0x7E00 | UInt16(truncatingIfNeeded: (magnitude >> 13) & 0x03FF)
  }
  if magnitude >= 0x4780_0000 { return sign | 0x7C00 }
  if magnitude >= 0x3880_0000 {
    let rounded = magnitude &- 0x3800_0000 &+ 0x0FFF &+ ((magnitude >> 13) & 1)
    return sign | UInt16(truncatingIfNeeded: rounded >> 13)
  }
  // Adding 0.5 moves the units of 2^-24 to the end of the significand, where the addition rounds.
  let shifted = (Float(bitPattern: magnitude) + 0.5).bitPattern &- Float(0.5).bitPattern
  return sign | UInt16(truncatingIfNeeded: shifted)
}

/// Rounds to bfloat16, to nearest and ties to even.
@inline(__always)
func narrowToBrain(_ bits: UInt32) -> UInt16 {
  if bits & 0x7FFF_FFFF > 0x7F80_0000 { return UInt16(truncatingIfNeeded: bits >> 16) | 0x0040 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
}
