public import Pickle

/// The element types of PyTorch, by torch's names without the prefix `torch.`.
public enum TorchDType: String, Hashable, Sendable, CaseIterable {
  /// IEEE 754 binary64.
  case float64
  /// IEEE 754 binary32.
  case float32
  /// IEEE 754 binary16.
  case float16
  /// The upper half of a binary32.
  case bfloat16
  /// A signed integer of 64 bits, in two's complement.
  case int64
  /// A signed integer of 32 bits, in two's complement.
  case int32
  /// A signed integer of 16 bits, in two's complement.
  case int16
  /// A signed integer of 8 bits, in two's complement.
  case int8
  /// An unsigned integer of 64 bits.
  case uint64
  /// An unsigned integer of 32 bits.
  case uint32
  /// An unsigned integer of 16 bits.
  case uint16
  /// An unsigned integer of 8 bits; also the bytes of untyped storages.
  case uint8
  /// A boolean in a byte; readers take any byte but 0 as true.
  case bool
  /// A complex number: two binary64, the real part first.
  case complex128
  /// A complex number: two binary32, the real part first.
  case complex64
  /// A complex number: two binary16, the real part first.
  case complex32
  /// A number of 8 bits, of them 4 of exponent, with NaN but no infinities (OCP FP8).
  case float8_e4m3fn
  /// A number of 8 bits, of them 5 of exponent, with infinities and NaN (OCP FP8).
  case float8_e5m2
  /// A number of 8 bits, of them 4 of exponent, without infinities and negative zero.
  case float8_e4m3fnuz
  /// A number of 8 bits, of them 5 of exponent, without infinities and negative zero.
  case float8_e5m2fnuz
  /// A power of two as its exponent of 8 bits: a scale of the OCP microscaling formats.
  case float8_e8m0fnu
  /// Two numbers of 4 bits, of them 2 of exponent, in a byte (OCP microscaling formats).
  case float4_e2m1fn_x2
  /// 8 bits without a meaning.
  case bits8
  /// 16 bits without a meaning.
  case bits16
  /// 8 values of 1 bit in a byte, without a meaning.
  case bits1x8
  /// 4 values of 2 bits in a byte, without a meaning.
  case bits2x4
  /// 2 values of 4 bits in a byte, without a meaning.
  case bits4x2
  /// A signed code of 8 bits.
  case qint8
  /// An unsigned code of 8 bits.
  case quint8
  /// A signed code of 32 bits.
  case qint32
  /// 2 unsigned codes of 4 bits in a byte.
  case quint4x2
  /// 4 unsigned codes of 2 bits in a byte.
  case quint2x4

  /// The size of an element in bytes.
  public var size: Int {
    switch self {
    case .complex128: 16
    case .float64, .int64, .uint64, .complex64: 8
    case .float32, .int32, .uint32, .complex32, .qint32: 4
    case .float16, .bfloat16, .int16, .uint16, .bits16: 2
    case .int8, .uint8, .bool, .bits8, .bits1x8, .bits2x4, .bits4x2: 1
    case .float8_e4m3fn, .float8_e5m2, .float8_e4m3fnuz, .float8_e5m2fnuz, .float8_e8m0fnu: 1
    case .float4_e2m1fn_x2, .qint8, .quint8, .quint4x2, .quint2x4: 1
    }
  }

  /// The size of the words that byte order applies to: half an element for complex numbers.
  public var wordSize: Int { isComplex ? size / 2 : size }

  /// Whether an element is a pair of a real and an imaginary part.
  public var isComplex: Bool {
    self == .complex128 || self == .complex64 || self == .complex32
  }

  /// Whether the first bit of a word, in big-endian order, is its sign and nothing else.
  var hasSignBit: Bool {
    isComplex || [.float64, .float32, .float16, .bfloat16].contains(self)
  }

  /// Whether the elements are codes that mean nothing without a scale.
  public var isQuantized: Bool { rawValue.hasPrefix("q") }

  /// The type that a name such as `torch.float16` stands for.
  public init?(_ name: GlobalName) {
    guard name.module == "torch" else { return nil }
    self.init(rawValue: name.name)
  }

  /// The element type of a storage class such as `torch.HalfStorage` (`torch/storage.py`).
  ///
  /// Untyped storages are bytes; the tensors on them say what they are.
  static func ofStorage(_ name: GlobalName) -> TorchDType? {
    switch name.module {
    case "torch", "torch.cuda": storageClasses[name.name]
    case "torch.storage":
      ["UntypedStorage", "_UntypedStorage"].contains(name.name) ? .uint8 : nil
    default: nil
    }
  }

  // swift-format-ignore
  private static let storageClasses: [String: TorchDType] = [
    "DoubleStorage":        .float64,
    "FloatStorage":         .float32,
    "HalfStorage":          .float16,
    "BFloat16Storage":      .bfloat16,
    "LongStorage":          .int64,
    "IntStorage":           .int32,
    "ShortStorage":         .int16,
    "CharStorage":          .int8,
    "ByteStorage":          .uint8,
    "BoolStorage":          .bool,
    "ComplexDoubleStorage": .complex128,
    "ComplexFloatStorage":  .complex64,
    "QInt8Storage":         .qint8,
    "QUInt8Storage":        .quint8,
    "QInt32Storage":        .qint32,
    "QUInt4x2Storage":      .quint4x2,
    "QUInt2x4Storage":      .quint2x4,
    "UntypedStorage":       .uint8,
  ]
}
