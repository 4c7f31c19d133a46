extension FloatFormat {
  /// Little-endian elements of this format as numbers, widened exactly.
  package func floats(_ bytes: [UInt8]) -> [Float] {
    let count = bytes.count / size
    let wide = ByteBuffer(count: count * 4)
    if self == .float32 {
      wide.store(Array(bytes.prefix(count * 4)), at: 0)
    } else {
      _ = wide.convert(count, from: ByteBuffer(bytes), at: 0, as: self, to: .float32, at: 0)
    }
    var reader = ByteReader(wide.bytes(0..<count * 4))
    return (0..<count).map { _ in Float(bitPattern: reader.uint32() ?? 0) }
  }
}
