/// The one number, or the one text, in a `TensorProto` (TensorFlow
/// `core/framework/tensor.proto`): as raw content, or as values in the field of its type.
struct EventTensor {
  private var type: UInt64 = 0
  private var elementCount: Int? = 1
  private var content = 0..<0
  /// The bits of the first value, and which of the fields for values it is from.
  private var first: (field: UInt64, bits: UInt64)?
  /// Where the first text lies.
  private(set) var text: Range<Int>?

  /// Reads the message in `range`; `nil` for one that is malformed.
  init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
    var (isRight, tensor) = (true, EventTensor())
    isRight =
      WireField.forEach(of: bytes, in: range) { field in
        switch (field.number, field.kind) {
        case (1, .varint): tensor.type = field.bits
        case (2, .bytes): isRight = tensor.readShape(bytes, field.range) && isRight
        case (4, .bytes): tensor.content = field.range
        case (5, .four), (6, .eight), (7, .varint), (10, .varint), (13, .varint):
          tensor.first = tensor.first ?? (field.number, field.bits)
        case (5, .bytes), (6, .bytes), (7, .bytes), (10, .bytes), (13, .bytes):
          isRight = tensor.readPacked(bytes, field) && isRight
        case (8, .bytes): tensor.text = tensor.text ?? field.range
        default: break
        }
      } && isRight
    guard isRight else { return nil }
    self = tensor
  }

  private init() {}

  private mutating func readShape(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var (isRight, count) = (true, Int?.some(1))
    isRight =
      WireField.forEach(of: bytes, in: range) { dimension in
        guard dimension.number == 2, let part = dimension.bytes else { return }
        var size = 0
        isRight =
          WireField.forEach(of: bytes, in: part) { field in
            if field.number == 1, let value = field.int { size = value }
          } && isRight
        let product = count.map { $0.multipliedReportingOverflow(by: size) }
        count = product.flatMap { $0.overflow ? nil : $0.partialValue }
      } && isRight
    elementCount = count
    return isRight
  }

  private mutating func readPacked(_ bytes: Span<UInt8>, _ field: WireField) -> Bool {
    guard first == nil, !field.range.isEmpty else { return true }
    switch field.number {
    case 5, 6:
      let size = field.number == 5 ? 4 : 8
      guard field.range.count.isMultiple(of: size) else { return false }
      first = (field.number, WireField.littleEndian(bytes, field.range.lowerBound, size))
    default:
      var position = field.range.lowerBound
      guard let value = WireField.varint(bytes, &position, field.range.upperBound) else {
        return false
      }
      first = (field.number, value)
    }
    return true
  }

  /// The number, if there is exactly one: float, double, int32, int64, bfloat16 or half.
  func number(_ bytes: Span<UInt8>) -> Double? {
    guard elementCount == 1 else { return nil }
    let form: (field: UInt64, size: Int)
    switch type {
    case 1: form = (5, 4)
    case 2: form = (6, 8)
    case 3: form = (7, 4)
    case 9: form = (10, 8)
    case 14, 19: form = (13, 2)
    default: return nil
    }
    guard content.isEmpty || content.count == form.size else { return nil }
    // What is not written is 0.
    let bits =
      content.isEmpty
      ? first.map { $0.field == form.field ? $0.bits : 0 } ?? 0
      : WireField.littleEndian(bytes, content.lowerBound, form.size)
    switch type {
    case 1: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
    case 2: return Double(bitPattern: bits)
    case 3: return Double(Int32(truncatingIfNeeded: bits))
    case 9: return Double(Int64(truncatingIfNeeded: bits))
    case 14: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16))
    default: return EventTensor.half(UInt16(truncatingIfNeeded: bits))
    }
  }

  /// An IEEE 754 binary16, without a type that not every processor has.
  private static func half(_ bits: UInt16) -> Double {
    let (exponent, fraction) = (Int(bits >> 10 & 0x1F), Double(bits & 0x3FF))
    let sign: Double = bits >> 15 == 0 ? 1 : -1
    switch exponent {
    case 0: return sign * fraction / 16_777_216
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default:
      return sign * (1 + fraction / 1024)
        * Double(sign: .plus, exponent: exponent - 15, significand: 1)
    }
  }

  /// Whether it is a tensor of texts.
  var isText: Bool { type == 7 }
}
