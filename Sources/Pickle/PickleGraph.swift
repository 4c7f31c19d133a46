import ByteIO

/// The position of a value in a ``PickleGraph``.
public struct NodeID: Hashable, Sendable {
  let index: Int32
}

/// A value of a pickle.
///
/// Nothing here is an object of the program that wrote the pickle: classes and functions are
/// names, and what they were called with is kept as it stands.
public enum PickleNode: Hashable, Sendable {
  /// Python's `None`.
  case none
  /// `True` or `False`, which are no integers here.
  case bool(Bool)
  /// An integer that fits into 64 bits, signed.
  case int(Int)
  /// An integer of more than 64 bits: little-endian two's complement bytes.
  case bigInt(Range<Int>)
  /// An integer that does not fit into 64 bits, as the decimal digits of a text.
  case bigDecimal(Range<Int>)
  /// An IEEE 754 binary64; it may be NaN or infinite.
  case float(Double)
  /// UTF-8, in which surrogates may occur (as Python writes them).
  case string(Range<Int>)
  /// Bytes, or a string of Python 2 that is not UTF-8; ``PickleGraph/bytes(_:)`` has them.
  case bytes(Range<Int>)
  /// A list; ``PickleGraph/items(_:)`` has its elements.
  case list(Int)
  /// A tuple; ``PickleGraph/tuple(_:)`` has its elements.
  case tuple(Int)
  /// A set; its elements are in the order of the pickle, and may be repeated.
  case set(Int)
  /// A set that cannot change, and so can be a key.
  case frozenSet(Int)
  /// A dictionary or an `OrderedDict`; ``PickleGraph/entries(_:)`` has its contents.
  case dict(Int)
  /// A class or function by name.
  case global(Int)
  /// Something that a class or function was to make.
  case object(Int)
  /// A reference to something outside the pickle, by an id that is itself a value.
  case persistent(NodeID)
}

/// A class or function that a pickle names. A dot in the name is a part of the name.
public struct GlobalName: Hashable, Sendable, CustomStringConvertible {
  /// The module as the pickle writes it; below protocol 3 that can be a name of Python 2.
  public let module: String
  /// The class or function within the module.
  public let name: String

  /// The name of what `name` is in `module`; whether there is such a thing is not asked.
  public init(_ module: String, _ name: String) {
    self.module = module
    self.name = name
  }

  public var description: String { "\(module).\(name)" }
}

/// What a pickle says about an object: how it was to be made and what was put into it.
public struct PickleObject: Hashable, Sendable {
  /// The class or function, usually a `.global`.
  public let callable: NodeID
  /// The arguments, as a tuple.
  public let arguments: NodeID
  /// The argument of BUILD.
  public internal(set) var state: NodeID?
  /// What APPEND and ADDITEMS added.
  public internal(set) var items: [NodeID] = []
  /// What SETITEM added.
  public internal(set) var entries: [PickleEntry] = []

  /// A call of `callable` with a tuple of arguments.
  public init(callable: NodeID, arguments: NodeID) {
    self.callable = callable
    self.arguments = arguments
  }
}

/// A key and its value.
public struct PickleEntry: Hashable, Sendable {
  /// As a rule a text; ``PickleGraph/label(_:)`` shows keys of any kind.
  public let key: NodeID
  /// In a dictionary, the last value that its key was given.
  public var value: NodeID

  /// An entry of two values of one graph.
  public init(key: NodeID, value: NodeID) {
    self.key = key
    self.value = value
  }
}

/// All values of a pickle: an arena, in which containers refer to their contents by index.
///
/// A container that is fetched from the memo before it is filled is therefore the same container,
/// and releasing a deeply nested pickle needs no recursion.
public struct PickleGraph: Sendable {
  struct Dictionary: Sendable {
    var entries: [PickleEntry] = []
    var table = PositionTable()
    /// The attributes that BUILD gave an `OrderedDict`; they are not items.
    var attributes: NodeID?
  }

  /// The pickle itself, to which the ranges of strings and bytes refer.
  let source: [UInt8]
  /// Texts that had to be decoded; their ranges begin after `source`.
  var decoded: [UInt8] = []
  var nodes: [PickleNode] = [.none, .bool(false), .bool(true)]
  var sequences: [[NodeID]] = []
  var dictionaries: [Dictionary] = []
  var globals: [GlobalName] = []
  var objects: [PickleObject] = []
  /// The value that STOP found.
  public internal(set) var root = NodeID(index: 0)
  /// The offset after STOP.
  public internal(set) var end = 0

  init(source: [UInt8]) {
    self.source = source
  }

  /// The number of values.
  public var nodeCount: Int { nodes.count }

  /// The value at `id`.
  public subscript(id: NodeID) -> PickleNode { nodes[Int(id.index)] }

  /// The bytes of a string, of bytes, or of a big integer.
  public func bytes(_ range: Range<Int>) -> ArraySlice<UInt8> {
    if range.lowerBound >= source.count {
      let base = source.count
      return decoded[range.lowerBound - base..<range.upperBound - base]
    }
    return source[range]
  }

  /// The contents of a list, tuple or set.
  public func items(_ id: NodeID) -> [NodeID]? {
    switch self[id] {
    case .list(let index), .tuple(let index), .set(let index), .frozenSet(let index):
      sequences[index]
    default: nil
    }
  }

  /// The contents of a tuple.
  public func tuple(_ id: NodeID) -> [NodeID]? {
    guard case .tuple(let index) = self[id] else { return nil }
    return sequences[index]
  }

  /// The contents of a dictionary, in the order in which the keys came first.
  public func entries(_ id: NodeID) -> [PickleEntry]? {
    guard case .dict(let index) = self[id] else { return nil }
    return dictionaries[index].entries
  }

  /// The attributes that an `OrderedDict` was given besides its items.
  public func attributes(_ id: NodeID) -> NodeID? {
    guard case .dict(let index) = self[id] else { return nil }
    return dictionaries[index].attributes
  }

  /// The value under a text key of a dictionary.
  public func value(_ key: String, in id: NodeID) -> NodeID? {
    guard case .dict(let index) = self[id] else { return nil }
    return position(of: .string(Array(key.utf8)), in: dictionaries[index])
      .map { dictionaries[index].entries[$0].value }
  }

  /// The position of the entry with a key.
  func position(of key: PickleKey, in dictionary: Dictionary) -> Int? {
    dictionary.table.position(hash: key.hashValue) { self.key(dictionary.entries[$0].key) == key }
  }

  /// The name of a class or function.
  public func global(_ id: NodeID) -> GlobalName? {
    guard case .global(let index) = self[id] else { return nil }
    return globals[index]
  }

  /// The record of an object.
  public func object(_ id: NodeID) -> PickleObject? {
    guard case .object(let index) = self[id] else { return nil }
    return objects[index]
  }

  /// The class of an object: its callable, or the class that `copyreg._reconstructor` was given.
  public func className(_ id: NodeID) -> GlobalName? {
    guard let object = object(id), let callable = global(object.callable) else { return nil }
    if PythonName(callable) == .reconstructor, let first = items(object.arguments)?.first {
      return global(first)
    }
    return callable
  }

  /// The ids of all references to something outside the pickle, in the order of the pickle.
  public var persistentReferences: [NodeID] {
    nodes.compactMap { node in
      if case .persistent(let id) = node { id } else { nil }
    }
  }

  /// All references to something outside the pickle, in the order of the pickle.
  public var persistentNodes: [NodeID] {
    nodes.indices.compactMap { index in
      if case .persistent = nodes[index] { NodeID(index: Int32(index)) } else { nil }
    }
  }

  /// The position of a value among all values, from 0 on and below ``nodeCount``.
  public func position(_ id: NodeID) -> Int { Int(id.index) }

  /// The text of a string; parts that are not Unicode are shown as U+FFFD.
  public func text(_ id: NodeID) -> String? {
    guard case .string(let range) = self[id] else { return nil }
    return String(decoding: bytes(range), as: UTF8.self)
  }

  /// An integer that fits into 64 bits. Booleans do not count.
  public func int(_ id: NodeID) -> Int? {
    guard case .int(let value) = self[id] else { return nil }
    return value
  }

  /// A boolean.
  public func bool(_ id: NodeID) -> Bool? {
    guard case .bool(let value) = self[id] else { return nil }
    return value
  }
}
