import CKernels

/// The CRC-32C (Castagnoli's polynomial) that TensorBoard's event files carry: by the processor's
/// own instruction where it has one, and by a table elsewhere.
public enum CRC32C {
  private static let hasInstruction = Processor.features & ckernels_can_checksum.rawValue != 0

  /// The checksum of `bytes`; some 8 GB/s with the instruction, 0.4 GB/s without.
  public static func checksum(_ bytes: Span<UInt8>) -> UInt32 {
    guard hasInstruction else { return tableChecksum(bytes) }
    return unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return 0 }
      return unsafe ~ckernels_crc32c(start, buffer.count, ~0)
    }
  }

  /// The same by a table, for processors without the instruction.
  package static func tableChecksum(_ bytes: Span<UInt8>) -> UInt32 {
    var state = ~UInt32(0)
    for index in bytes.indices {
      state = table[Int(UInt8(truncatingIfNeeded: state) ^ bytes[index])] ^ state >> 8
    }
    return ~state
  }

  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { state, _ in
      state & 1 == 0 ? state >> 1 : state >> 1 ^ 0x82F6_3B78
    }
  }
}
