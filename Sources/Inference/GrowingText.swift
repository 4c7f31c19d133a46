/// A text of which more and more is known, as it is shown on a terminal.
///
/// Bytes are compared, not characters: an accent that comes later changes the character before it.
public struct GrowingText: Sendable {
  private var shown = 0

  /// Nothing is shown yet.
  public init() {}

  /// What is new of a text and can be shown; `nil` while its last character is not whole.
  public mutating func next(of text: String) -> String? {
    guard text.unicodeScalars.last != "\u{FFFD}", text.utf8.count > shown else { return nil }
    defer { shown = text.utf8.count }
    return rest(of: text)
  }

  /// What was not shown yet.
  public func rest(of text: String) -> String {
    String(decoding: text.utf8.dropFirst(shown), as: UTF8.self)
  }
}
