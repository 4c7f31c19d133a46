internal import CNettle

/// A SHA-256 digest that is fed in pieces (FIPS 180-4, computed by nettle, which uses the
/// instructions that the processor has for it).
public struct SHA256Hasher {
  private var context = sha256_ctx()

  public init() {
    unsafe nettle_sha256_init(&context)
  }

  /// Adds `range` of `buffer`.
  public mutating func update(_ range: Range<Int>, of buffer: ByteBuffer) {
    unsafe update(UnsafeRawBufferPointer(buffer.slice(range)))
  }

  /// Adds `bytes`.
  public mutating func update(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  private mutating func update(_ bytes: UnsafeRawBufferPointer) {
    unsafe nettle_sha256_update(
      &context, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
  }

  /// The digest of all that was added, as 64 lower-case hexadecimal digits.
  public func hexDigest() -> String {
    // nettle resets its state after a digest, so we give it a copy: callers may add more.
    var last = context
    var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_SIZE))
    unsafe cnettle_sha256_digest(&last, &digest)
    return hexadecimal(digest)
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
