/// A dictionary key, equal to another one exactly if Python finds them equal.
indirect enum PickleKey: Hashable, Sendable {
  case none
  /// Integers, booleans, and floats without a fraction: `True == 1 == 1.0`.
  case int(Int)
  /// Two's complement bytes, or decimal digits.
  case bigInt([UInt8])
  case float(UInt64)
  case string([UInt8])
  case bytes([UInt8])
  case tuple([PickleKey])
  case frozenSet(Set<PickleKey>)
  /// Classes, functions, and values outside the pickle, by name or id.
  case global(GlobalName)
  /// Objects are equal to themselves.
  case identity(NodeID)
}

extension PickleGraph {
  /// How many parts a key may have, tuples in tuples counted: keys of genuine files have a few.
  private static let maximumParts = 256

  /// The key that a value makes; `nil` for containers that can change, which Python refuses, and
  /// for tuples of more parts than anyone writes.
  func key(_ id: NodeID) -> PickleKey? {
    var parts = PickleGraph.maximumParts
    return key(id, depth: 16, parts: &parts)
  }

  /// Two's complement bytes without those that repeat the sign.
  private func minimal(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var rest = bytes
    while let last = rest.last, let next = rest.dropLast().last,
      last == (next & 0x80 == 0 ? 0 : 0xFF)
    {
      rest.removeLast()
    }
    return Array(rest)
  }

  private func key(_ id: NodeID, depth: Int, parts: inout Int) -> PickleKey? {
    parts -= 1
    guard parts >= 0 else { return nil }
    switch self[id] {
    case .none: return PickleKey.none
    case .bool(let value): return .int(value ? 1 : 0)
    case .int(let value): return .int(value)
    case .bigInt(let range): return .bigInt(minimal(bytes(range)))
    case .bigDecimal(let range): return .bigInt(Array(bytes(range)))
    // NaN is not equal to itself, but Python looks at identity first.
    case .float(let value) where value.isNaN: return .identity(id)
    case .float(let value): return Int(exactly: value).map { .int($0) } ?? .float(value.bitPattern)
    case .string(let range): return .string(Array(bytes(range)))
    case .bytes(let range): return .bytes(Array(bytes(range)))
    case .global(let index): return .global(globals[index])
    case .object, .persistent: return .identity(id)
    case .tuple(let index):
      guard depth > 0 else { return nil }
      var items: [PickleKey] = []
      for item in sequences[index] {
        guard let part = key(item, depth: depth - 1, parts: &parts) else { return nil }
        items.append(part)
      }
      return .tuple(items)
    case .frozenSet(let index):
      guard depth > 0 else { return nil }
      var items: Set<PickleKey> = []
      for item in sequences[index] {
        guard let part = key(item, depth: depth - 1, parts: &parts) else { return nil }
        items.insert(part)
      }
      return .frozenSet(items)
    case .list, .set, .dict: return nil
    }
  }
}
