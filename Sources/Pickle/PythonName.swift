/// The few names of Python's own library whose meaning is plain data.
///
/// Everything else stays a name. Nothing is looked up, imported or called for any of them.
enum PythonName: Hashable, Sendable {
  case orderedDict, set, frozenSet, list, tuple, dict, bytes, encode, reconstructor

  init?(_ name: GlobalName) {
    guard let known = PythonName.table[name] else { return nil }
    self = known
  }

  // Protocols below 3 write the module names of Python 2.
  // swift-format-ignore
  private static let table: [GlobalName: PythonName] = [
    GlobalName("collections", "OrderedDict"):     .orderedDict,
    GlobalName("builtins",    "set"):             .set,
    GlobalName("__builtin__", "set"):             .set,
    GlobalName("builtins",    "frozenset"):       .frozenSet,
    GlobalName("__builtin__", "frozenset"):       .frozenSet,
    GlobalName("builtins",    "list"):            .list,
    GlobalName("__builtin__", "list"):            .list,
    GlobalName("builtins",    "tuple"):           .tuple,
    GlobalName("__builtin__", "tuple"):           .tuple,
    GlobalName("builtins",    "dict"):            .dict,
    GlobalName("__builtin__", "dict"):            .dict,
    GlobalName("builtins",    "bytes"):           .bytes,
    GlobalName("__builtin__", "bytes"):           .bytes,
    GlobalName("builtins",    "bytearray"):       .bytes,
    GlobalName("__builtin__", "bytearray"):       .bytes,
    GlobalName("_codecs",     "encode"):          .encode,
    GlobalName("copyreg",     "_reconstructor"):  .reconstructor,
    GlobalName("copy_reg",    "_reconstructor"):  .reconstructor,
  ]
}

extension PickleMachine {
  /// What calling one of the known names gives; `nil` when it stays a record.
  mutating func builtin(_ name: PythonName, _ arguments: [NodeID]) throws(PickleError) -> NodeID? {
    switch name {
    case .orderedDict, .dict:
      guard arguments.count <= 1 else { return nil }
      var pairs: [PickleEntry] = []
      if let source = arguments.first {
        if let entries = graph.entries(source) {
          pairs = entries
        } else {
          // Python 2 writes an OrderedDict as a list of lists of a key and a value.
          guard let items = graph.items(source) else { return nil }
          for item in items {
            guard let pair = graph.items(item), pair.count == 2 else { return nil }
            pairs.append(PickleEntry(key: pair[0], value: pair[1]))
          }
        }
      }
      try budget.copies.spend(pairs.count, at: offset)
      let made = try makeDictionary()
      for pair in pairs { try setItem(made, pair.key, pair.value) }
      return made
    case .set, .frozenSet, .list, .tuple:
      guard arguments.count <= 1 else { return nil }
      var contents: [NodeID] = []
      if let source = arguments.first {
        guard let items = graph.items(source) else { return nil }
        contents = items
      }
      try budget.copies.spend(contents.count, at: offset)
      return switch name {
      case .set: try makeSequence(contents) { .set($0) }
      case .frozenSet: try makeSequence(contents) { .frozenSet($0) }
      case .list: try makeSequence(contents) { .list($0) }
      default: try makeSequence(contents) { .tuple($0) }
      }
    case .bytes:
      if arguments.isEmpty { return try add(.bytes(0..<0)) }
      if case .bytes(let range) = graph[arguments[0]], arguments.count == 1 {
        return try add(.bytes(range))
      }
      return nil
    case .encode:
      // Protocol 2 writes bytes as a text of the code points 0 to 255.
      guard arguments.count == 2, case .string(let range) = graph[arguments[0]],
        graph.text(arguments[1]) == "latin1"
      else { return nil }
      var latin: [UInt8] = []
      for scalar in String(decoding: graph.bytes(range), as: UTF8.self).unicodeScalars {
        guard scalar.value < 256 else { return nil }
        latin.append(UInt8(scalar.value))
      }
      return try add(.bytes(try keep(latin)))
    case .reconstructor:
      return nil
    }
  }
}
