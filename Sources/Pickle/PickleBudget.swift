/// What a pickle has made the machine do so far, against what it may: a few instructions can ask
/// for much.
struct PickleBudget {
  /// One thing that is counted.
  struct Counter {
    private let limit: Int
    private let code: PickleError.Code
    private let message: String
    private var spent = 0

    init(_ limit: Int, _ code: PickleError.Code, _ message: (Int) -> String) {
      self.limit = limit
      self.code = code
      self.message = message(limit)
    }

    /// Counts.
    ///
    /// - Throws: ``PickleError`` when the limit is exceeded.
    mutating func spend(_ count: Int, at offset: Int) throws(PickleError) {
      spent += count
      guard spent <= limit else { throw PickleError(code, at: offset, message) }
    }
  }

  /// Values that are put into containers.
  var items: Counter
  /// Values that are copied from one container into another.
  var copies: Counter
  /// Bytes of keys.
  var keys: Counter
  /// Bytes of names of classes and functions.
  var names: Counter

  /// Texts may be used again and again: that much is harmless, whatever the size of the
  /// pickle.
  private static let harmlessTextBytes = 1 << 25

  init(_ limits: PickleLimits, sourceSize: Int) {
    let texts = max(PickleBudget.harmlessTextBytes, sourceSize)
    items = Counter(limits.items, .limitItems) { "more than \($0) values in containers" }
    copies = Counter(limits.nodes / 4, .limitNodes) {
      "more than \($0) values copied between containers"
    }
    keys = Counter(texts, .limitString) { "keys of more than \($0) bytes" }
    names = Counter(texts, .limitString) { "names of more than \($0) bytes" }
  }
}
