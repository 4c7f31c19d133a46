import Crypto

/// A SHA-256 digest that is fed in pieces (FIPS 180-4, computed by swift-crypto).
public struct SHA256Hasher {
  private var hasher = SHA256()

  public init() {}

  /// Adds `range` of `buffer`.
  public mutating func update(_ range: Range<Int>, of buffer: ByteBuffer) {
    unsafe hasher.update(bufferPointer: UnsafeRawBufferPointer(buffer.slice(range)))
  }

  /// Adds `bytes`.
  public mutating func update(_ bytes: [UInt8]) {
    hasher.update(data: bytes)
  }

  /// The digest of all that was added, as 64 lower-case hexadecimal digits.
  public func hexDigest() -> String {
    hexadecimal(Array(hasher.finalize()))
  }
}

/// `bytes` as lower-case hexadecimal digits.
public func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(bytes.count * 2)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 15)])
  }
  return String(decoding: text, as: UTF8.self)
}
