/// A name compared byte by byte, as archives and pickles mean it.
///
/// Swift finds two strings equal when Unicode does, but `é` as one code point and as two are the names of
/// two entries.
public struct ExactName: Hashable, Comparable, Sendable {
  private let utf8: [UInt8]

  /// The name as a string.
  public var string: String { String(decoding: utf8, as: UTF8.self) }

  /// Orders names by their bytes.
  public static func < (a: ExactName, b: ExactName) -> Bool {
    a.utf8.lexicographicallyPrecedes(b.utf8)
  }

  public init(_ name: String) {
    utf8 = Array(name.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    // Sound: the hasher reads the bytes during the call. One by one they take several times as long.
    unsafe utf8.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
  }
}
