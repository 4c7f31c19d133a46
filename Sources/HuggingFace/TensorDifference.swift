package import ByteIO
public import Safetensors
import Transfer

/// The values of a tensor that is compared, wherever they come from.
package struct TensorContent {
  /// The element type by the name that PyTorch has for it.
  package let dtype: String
  package let shape: [Int]
  /// The size of an element in bits.
  let bits: Int
  /// The format of floating-point numbers that are compared as such.
  package let format: FloatFormat?
  /// Reads bytes of the row-major little-endian values to the beginning of a buffer.
  let read: (_ range: Range<Int>, _ buffer: ByteBuffer) throws -> Void

  package init(
    dtype: String, shape: [Int], bits: Int, format: FloatFormat?,
    read: @escaping (_ range: Range<Int>, _ buffer: ByteBuffer) throws -> Void
  ) {
    self.dtype = dtype
    self.shape = shape
    self.bits = bits
    self.format = format
    self.read = read
  }

  /// The number of elements.
  package var count: Int { shape.reduce(1, *) }
}

/// How the values of two tensors of one shape differ.
package struct TensorDifference: Hashable, Sendable {
  /// Elements whose values differ.
  package private(set) var elements = 0
  /// The largest absolute difference; `nil` for types that are not floating-point.
  package private(set) var largest: Double?

  /// Whether there is no difference.
  package var isEqual: Bool { elements == 0 }

  /// How many elements are compared at a time.
  private static let part = 1 << 18

  /// Compares two tensors part by part. Floating-point tensors of different types are compared by
  /// their values, all others by their bytes.
  ///
  /// - Throws: What reading throws, or `Interrupted`.
  package init(_ a: TensorContent, _ b: TensorContent) throws {
    let most = min(TensorDifference.part, max(a.count, 1))
    if let one = a.format, let two = b.format {
      largest = 0
      let buffers = (ByteBuffer(count: most * one.size), ByteBuffer(count: most * two.size))
      for start in stride(from: 0, to: a.count, by: most) {
        try Interrupted.check()
        let size = min(most, a.count - start)
        try a.read(start * one.size..<(start + size) * one.size, buffers.0)
        try b.read(start * two.size..<(start + size) * two.size, buffers.1)
        let isSame =
          one == two
          && buffers.0.firstDifference(0..<size * one.size, from: buffers.1, at: 0) == nil
        if !isSame { compare(size, buffers, one, two) }
      }
      return
    }
    // Elements of less than a byte are compared byte by byte.
    let width = max(1, a.bits / 8)
    let total = a.bits < 8 ? (a.count * a.bits + 7) / 8 : a.count
    let buffers = (ByteBuffer(count: most * width), ByteBuffer(count: most * width))
    for start in stride(from: 0, to: total, by: most) {
      try Interrupted.check()
      let size = min(most, total - start) * width
      try a.read(start * width..<start * width + size, buffers.0)
      try b.read(start * width..<start * width + size, buffers.1)
      guard buffers.0.firstDifference(0..<size, from: buffers.1, at: 0) != nil else { continue }
      let (one, two) = (buffers.0.bytes(0..<size), buffers.1.bytes(0..<size))
      for element in stride(from: 0, to: size, by: width)
      where one[element..<element + width] != two[element..<element + width] {
        elements += 1
      }
    }
  }

  private mutating func compare(
    _ size: Int, _ buffers: (ByteBuffer, ByteBuffer), _ one: FloatFormat, _ two: FloatFormat
  ) {
    let widened = (ByteBuffer(count: size * 4), ByteBuffer(count: size * 4))
    _ = widened.0.convert(size, from: buffers.0, at: 0, as: one, to: .float32, at: 0)
    _ = widened.1.convert(size, from: buffers.1, at: 0, as: two, to: .float32, at: 0)
    let found = widened.0.difference(size, as: .float32, at: 0, from: widened.1, at: 0)
    elements += found.differing
    largest = max(largest ?? 0, Double(found.largest))
  }
}

extension TensorContent {
  /// A tensor of a safetensors file.
  package init(_ tensor: ModelDirectory.Tensor) {
    let declared = tensor.declared
    self.init(
      dtype: declared.dtype.torchName, shape: declared.shape, bits: declared.dtype.bits,
      format: FloatFormat(declared.dtype)
    ) { range, buffer in
      let file = tensor.file.file
      try file.read(
        at: tensor.start + range.lowerBound, into: buffer, 0..<range.count)
    }
  }

  /// A tensor that is held in memory once it is asked for.
  package init(
    dtype: String, shape: [Int], bits: Int, format: FloatFormat?,
    loading load: @escaping () throws -> ByteBuffer
  ) {
    var loaded: ByteBuffer?
    self.init(dtype: dtype, shape: shape, bits: bits, format: format) { range, buffer in
      let bytes = try loaded ?? load()
      loaded = bytes
      buffer.copy(range, of: bytes, to: 0)
    }
  }
}

extension DType {
  /// The name that PyTorch has for the type; that of safetensors where PyTorch has none.
  public var torchName: String {
    switch self {
    case .f16: "float16"
    case .bf16: "bfloat16"
    case .f32: "float32"
    case .f64: "float64"
    case .i64: "int64"
    case .i32: "int32"
    case .i16: "int16"
    case .i8: "int8"
    case .u8: "uint8"
    case .u16: "uint16"
    case .u32: "uint32"
    case .u64: "uint64"
    case .bool: "bool"
    case .f8E4M3: "float8_e4m3fn"
    case .f8E5M2: "float8_e5m2"
    case .c64: "complex64"
    default: rawValue
    }
  }
}
