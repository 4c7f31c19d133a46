import ByteIO

/// A JSON value that keeps the order of object members and the kind of numbers.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  /// A number without fraction and exponent.
  case int(Int)
  /// A number with a fraction or an exponent.
  case double(Double)
  /// An integer that does not fit into 64 bits, as written.
  case bigInt(String)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// The members of an object.
  public var object: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }

  /// The elements of an array.
  public var array: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  /// The text of a string.
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The value of an integer.
  public var int: Int? {
    if case .int(let value) = self { value } else { nil }
  }

  /// The value of any number.
  public var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The value of a boolean.
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByFloatLiteral, ExpressibleByNilLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { JSONObject.Member(key: $0.0, value: $0.1) }))
  }
}

/// The members of a JSON object in their order. Keys are compared by their UTF-8 bytes: Swift's own
/// comparison would take two spellings of one accented letter for the same key.
public struct JSONObject: Hashable, Sendable {
  /// A key and its value.
  public struct Member: Hashable, Sendable {
    public let key: String
    public var value: JSONValue

    public init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  public private(set) var members: [Member]
  /// Small objects, which most are, do without.
  private var table: PositionTable?
  private static let searchedUpTo = 8

  /// An object of `members`, of which the last one of a key is found by the subscript.
  public init(_ members: [Member] = []) {
    self.members = members
    if members.count > JSONObject.searchedUpTo { table = makeTable() }
  }

  private func makeTable() -> PositionTable {
    var table = PositionTable()
    for member in members { table.append(hash: JSONObject.hash(member.key)) }
    return table
  }

  private static func hash(_ key: String) -> Int { UTF8Key.hash(key.utf8) }

  /// The value of a key. Setting a new key appends it; setting `nil` does nothing.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      guard let newValue else { return }
      if let index = position(of: key) {
        members[index].value = newValue
      } else {
        members.append(Member(key: key, value: newValue))
        if table != nil {
          table?.append(hash: JSONObject.hash(key))
        } else if members.count > JSONObject.searchedUpTo {
          table = makeTable()
        }
      }
    }
  }

  /// The position of the last member of a key.
  func position(of key: String) -> Int? {
    guard let table else {
      return members.lastIndex { $0.key.utf8.elementsEqual(key.utf8) }
    }
    var last: Int?
    // Those of one hash come in their order; none is accepted, so that all are seen.
    _ = table.position(hash: JSONObject.hash(key)) { position in
      if members[position].key.utf8.elementsEqual(key.utf8) { last = max(last ?? 0, position) }
      return false
    }
    return last
  }

  /// Keys that occur more than once.
  public var repeatedKeys: [String] {
    members.enumerated().filter { position(of: $0.element.key) != $0.offset }.map(\.element.key)
  }

  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.members.elementsEqual(b.members) {
      $0.key.utf8.elementsEqual($1.key.utf8) && $0.value == $1.value
    }
  }

  public func hash(into hasher: inout Hasher) {
    for member in members {
      hasher.combine(JSONObject.hash(member.key))
      hasher.combine(member.value)
    }
  }
}
