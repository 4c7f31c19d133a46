import ByteIO
public import Diagnostics
import JSON
public import SystemPackage

/// Token ids in a file: JSON, numbers one after the other, or Megatron's indexed data set
/// (`.bin` with `.idx`; Megatron `data/indexed_dataset.py`, `MMapIndexedDataset`).
public struct TokenFile: Sendable {
  /// How the ids are written down.
  public enum Form: String, CaseIterable, Sendable {
    /// A JSON array of ids, of arrays, or an object with `tokens`.
    case json
    case uint16, int32
  }

  /// The ids of each text.
  public let texts: [[Int]]

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - form: How the ids are written down; `nil` for JSON, or for what the `.idx` says that lies
  ///     next to it.
  /// - Throws: `Failure` 66 for a file that cannot be read, 65 for one that is of another form.
  public init(_ path: FilePath, _ form: Form? = nil) throws(Failure) {
    var index = path
    index.extension = "idx"
    if form != .json, path.extension == "bin", FileSystem.exists(index) {
      texts = try TokenFile.indexed(path, index, form)
      return
    }
    guard form != nil || path.extension != "bin" else {
      throw Failure(
        .tokensForm, "its .idx, which says how ids are written down, is not next to it",
        file: path.string, hint: "--token-type uint16 or --token-type int32 says it instead")
    }
    let bytes = try JSONFile.bytes(path)
    switch form ?? .json {
    case .json: texts = try TokenFile.json(try JSONFile.parse(bytes, path), path)
    case .uint16: texts = [try TokenFile.numbers(bytes[...], size: 2, isSigned: false, path)]
    case .int32: texts = [try TokenFile.numbers(bytes[...], size: 4, isSigned: true, path)]
    }
  }

  private static func bad(_ message: String, _ path: FilePath) -> Failure {
    Failure(.tokensForm, message, file: path.string)
  }

  private static func json(_ value: JSONValue, _ path: FilePath) throws(Failure) -> [[Int]] {
    let value = value.object?["tokens"] ?? value
    guard let items = value.array else { throw bad("an array of ids was expected", path) }
    let isNested = items.first?.array != nil
    var texts: [[Int]] = []
    for item in isNested ? items : [value] {
      let ids = item.array?.compactMap(\.int)
      guard let ids, ids.count == item.array?.count, ids.allSatisfy({ $0 >= 0 }) else {
        throw bad("an array holds something that is not an id", path)
      }
      texts.append(ids)
    }
    return texts
  }

  /// Little-endian numbers one after the other.
  private static func numbers(
    _ bytes: ArraySlice<UInt8>, size: Int, isSigned: Bool, _ path: FilePath
  ) throws(Failure) -> [Int] {
    guard bytes.count.isMultiple(of: size) else {
      throw bad("\(bytes.count) bytes are not a whole number of ids of \(size) bytes", path)
    }
    var ids: [Int] = []
    ids.reserveCapacity(bytes.count / size)
    for start in stride(from: bytes.startIndex, to: bytes.endIndex, by: size) {
      var value = bytes[start..<start + size].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if isSigned, size < 8, value >> UInt64(8 * size - 1) == 1 {
        value |= UInt64.max << UInt64(8 * size)
      }
      let id = Int(truncatingIfNeeded: value)
      guard id >= 0 else { throw bad("the id \(id) is negative", path) }
      ids.append(id)
    }
    return ids
  }

  /// The documents of an indexed data set, in the order of the file.
  private static func indexed(
    _ path: FilePath, _ index: FilePath, _ form: Form?
  ) throws(Failure) -> [[Int]] {
    let head = try JSONFile.bytes(index)
    func number(_ offset: Int, _ size: Int) throws(Failure) -> Int {
      guard offset >= 0, offset + size <= head.count else {
        throw bad("it ends before the byte \(offset + size)", index)
      }
      return Int(
        truncatingIfNeeded: head[offset..<offset + size].reversed().reduce(UInt64(0)) {
          $0 << 8 | UInt64($1)
        })
    }
    guard head.starts(with: Array("MMIDIDX\0\0".utf8)) else {
      throw bad("it does not begin with MMIDIDX", index)
    }
    guard try number(9, 8) == 1 else { throw bad("its version is not 1", index) }
    let code = try number(17, 1)
    let types: [Int: (size: Int, isSigned: Bool)] = [
      1: (1, false), 2: (1, true), 3: (2, true), 4: (4, true), 5: (8, true), 8: (2, false),
    ]
    guard let type = types[code] else {
      throw bad("its type \(code) is not one of integers", index)
    }
    guard form == nil || (form == .uint16 ? code == 8 : code == 4) else {
      throw bad("its type \(code) is not the \(form?.rawValue ?? "") of --token-type", index)
    }
    let (sequences, documents) = (try number(18, 8), try number(26, 8))
    guard sequences >= 0, documents >= 0, sequences < 1 << 40, documents < 1 << 40,
      34 + sequences * 12 + documents * 8 == head.count
    else {
      throw bad(
        "\(sequences) sequences and \(documents) documents do not fit its \(head.count) bytes",
        index)
    }
    let bytes = try JSONFile.bytes(path)
    var texts: [[Int]] = []
    var left = bytes.count / type.size
    for sequence in 0..<sequences {
      let length = try number(34 + 4 * sequence, 4)
      let start = try number(34 + 4 * sequences + 8 * sequence, 8)
      guard length < 1 << 31, start >= 0, start <= bytes.count,
        length * type.size <= bytes.count - start
      else {
        throw bad("sequence \(sequence) of \(length) ids at \(start) lies outside", path)
      }
      // Sequences that overlap could ask for any amount of memory.
      guard length <= left else {
        throw bad("its sequences have more ids than \(path.string)", index)
      }
      left -= length
      texts.append(
        try numbers(
          bytes[start..<start + length * type.size], size: type.size, isSigned: type.isSigned,
          path))
    }
    return texts
  }
}
