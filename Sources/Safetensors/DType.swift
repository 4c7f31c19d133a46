/// The element types of the safetensors format, in the order of its reference implementation
/// (`safetensors/src/tensor.rs`), by which tensors are laid out in a file, last ones first.
public enum DType: String, Hashable, Sendable, CaseIterable, Comparable {
  /// A boolean in a byte: 0 or 1.
  case bool = "BOOL"
  /// E2M1, a number of 4 bits (OCP microscaling formats): two in a byte.
  case f4 = "F4"
  /// A number of 6 bits, of them 2 of exponent (OCP microscaling formats).
  case f6E2M3 = "F6_E2M3"
  /// A number of 6 bits, of them 3 of exponent (OCP microscaling formats).
  case f6E3M2 = "F6_E3M2"
  /// An unsigned integer of 8 bits.
  case u8 = "U8"
  /// A signed integer of 8 bits, in two's complement.
  case i8 = "I8"
  /// A number of 8 bits, of them 5 of exponent, with infinities and NaN (OCP FP8).
  case f8E5M2 = "F8_E5M2"
  /// A number of 8 bits, of them 4 of exponent, with NaN but no infinities (OCP FP8).
  case f8E4M3 = "F8_E4M3"
  /// A power of two as its exponent of 8 bits: a scale of the OCP microscaling formats.
  case f8E8M0 = "F8_E8M0"
  /// A number of 8 bits, of them 4 of exponent, without infinities and negative zero.
  case f8E4M3FNUZ = "F8_E4M3FNUZ"
  /// A number of 8 bits, of them 5 of exponent, without infinities and negative zero.
  case f8E5M2FNUZ = "F8_E5M2FNUZ"
  /// A signed integer of 16 bits, in two's complement.
  case i16 = "I16"
  /// An unsigned integer of 16 bits.
  case u16 = "U16"
  /// IEEE 754 binary16.
  case f16 = "F16"
  /// bfloat16: the upper half of a binary32.
  case bf16 = "BF16"
  /// A signed integer of 32 bits, in two's complement.
  case i32 = "I32"
  /// An unsigned integer of 32 bits.
  case u32 = "U32"
  /// IEEE 754 binary32.
  case f32 = "F32"
  /// A complex number: two binary32, the real part first.
  case c64 = "C64"
  /// IEEE 754 binary64.
  case f64 = "F64"
  /// A signed integer of 64 bits, in two's complement.
  case i64 = "I64"
  /// An unsigned integer of 64 bits.
  case u64 = "U64"

  /// The size of an element in bits.
  public var bits: Int {
    switch self {
    case .f4: 4
    case .f6E2M3, .f6E3M2: 6
    case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    }
  }

  private var order: Int { DType.allCases.firstIndex(of: self) ?? 0 }

  public static func < (a: DType, b: DType) -> Bool { a.order < b.order }
}
