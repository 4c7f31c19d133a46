import Glibc

/// A name compared byte by byte, as archives and pickles mean it.
///
/// Swift finds two strings equal when Unicode does, but `é` as one code point and as two are the
/// names of two entries.
public struct UTF8Key: Hashable, Comparable, Sendable {
  private let utf8: [UInt8]

  /// The name as a string.
  public var string: String { String(decoding: utf8, as: UTF8.self) }

  /// Orders names by their bytes.
  public static func < (a: UTF8Key, b: UTF8Key) -> Bool {
    a.utf8.lexicographicallyPrecedes(b.utf8)
  }

  public init(_ name: String) {
    utf8 = Array(name.utf8)
  }

  public static func == (a: UTF8Key, b: UTF8Key) -> Bool {
    guard a.utf8.count == b.utf8.count else { return false }
    // Sound: both arrays are read during the calls, and `memcmp` is given their common length.
    return unsafe a.utf8.withUnsafeBytes { a in
      unsafe b.utf8.withUnsafeBytes { b in
        guard let first = a.baseAddress, let second = b.baseAddress else { return true }
        return unsafe memcmp(first, second, a.count) == 0
      }
    }
  }

  public func hash(into hasher: inout Hasher) {
    // Sound: the hasher reads the bytes during the call. One by one they take several times as
    // long.
    unsafe utf8.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
  }

  /// A hash of the bytes of a text.
  package static func hash(_ text: String.UTF8View) -> Int {
    var hasher = Hasher()
    // Sound: as above.
    let isDone: Void? = unsafe text.withContiguousStorageIfAvailable {
      unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0))
    }
    if isDone == nil { return hash(String(decoding: Array(text), as: UTF8.self).utf8) }
    return hasher.finalize()
  }
}
