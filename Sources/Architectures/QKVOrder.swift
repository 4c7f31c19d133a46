/// The order of the rows of a fused query-key-value projection, from the outermost to the innermost
/// axis. `hn` is the size of a head.
public enum QKVOrder: String, Hashable, Sendable, CaseIterable {
  /// For each head its query, key and value rows.
  case heads3HN = "heads-3-hn"
  /// For each head and channel a query, a key and a value row.
  case headsHN3 = "heads-hn-3"
  /// All query rows, then all key rows, then all value rows.
  case thirds
}
