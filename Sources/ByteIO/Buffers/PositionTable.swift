/// Finds things that are kept elsewhere, in the order in which they came, by their hashes.
///
/// A dictionary holds its keys a second time; for a million keys that is most of the memory. This
/// table holds 12 to 20 bytes for each, and leaves it to the caller to compare keys.
package struct PositionTable: Sendable {
  /// By position.
  private var hashes: [UInt32] = []
  /// Positions by the low bits of their hashes, with linear probing; -1 marks a free slot.
  private var slots: [Int32] = []

  package init() {}

  /// The first position with this hash that `isEqual` accepts.
  package func position(hash: Int, where isEqual: (Int) -> Bool) -> Int? {
    guard !slots.isEmpty else { return nil }
    let hash = UInt32(truncatingIfNeeded: hash)
    var slot = Int(hash) & (slots.count - 1)
    // At least every fourth slot is free.
    while slots[slot] >= 0 {
      let position = Int(slots[slot])
      if hashes[position] == hash, isEqual(position) { return position }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// Adds the next position under a hash.
  package mutating func append(hash: Int) {
    hashes.append(UInt32(truncatingIfNeeded: hash))
    if hashes.count > slots.count / 4 * 3 {
      slots = [Int32](repeating: -1, count: max(8, slots.count * 2))
      for position in hashes.indices { place(position) }
    } else {
      place(hashes.count - 1)
    }
  }

  private mutating func place(_ position: Int) {
    var slot = Int(hashes[position]) & (slots.count - 1)
    while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
    slots[slot] = Int32(position)
  }
}
