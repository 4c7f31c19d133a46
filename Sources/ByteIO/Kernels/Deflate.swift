import CZlib

/// Compression in the form of zlib (RFC 1950), as PNG has it.
public enum Deflate {
  /// The compressed bytes: the same for the same input and version of zlib.
  public static func zlib(_ bytes: [UInt8]) -> [UInt8] {
    var count = compressBound(UInt(bytes.count))
    // Sound: zlib writes at most the bound, which it was given, and reads the bytes.
    return unsafe [UInt8](unsafeUninitializedCapacity: Int(count)) { target, size in
      let result = unsafe bytes.withUnsafeBufferPointer { source in
        unsafe compress2(target.baseAddress, &count, source.baseAddress, UInt(source.count), 9)
      }
      precondition(result == Z_OK, "zlib could not compress: \(result)")
      size = Int(count)
    }
  }
}
