/// What is kept of event files, which may be as large as a training is long.
struct EventLimits {
  /// Where a run has more points than this, those of tags that nobody asked for are thinned.
  var points = 1_200_000

  /// More tags than this are passed over.
  static let tags = 10_000
  /// A tag with a longer name is passed over, in bytes.
  static let tagSize = 1024
  /// A longer text is cut, in bytes.
  static let textSize = 64 << 10
  /// All texts of a run, in bytes.
  static let textBytes = 16 << 20
  /// More files than this are refused.
  static let files = 10_000
  /// Folders are searched so deep.
  static let depth = 8
}
