import ByteIO
import Pickle

/// The container of PyTorch before 1.6 (`torch/serialization.py`, `_legacy_save`): five pickles (a
/// magic number, a version, facts of the system, the object, the keys of the storages), then each
/// storage as a count of elements and its bytes.
struct LegacyStream {
  /// The object of the file.
  let graph: PickleGraph
  /// Where the bytes of each storage are.
  let storages: [UTF8Key: StoredBytes]

  /// The integer 0x1950A86A20F9469CFC6C, as LONG1 has it.
  private static let magic: [UInt8] = [
    0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
  ]
  /// The same, as protocol 0 has it.
  private static let magicDigits = "119547037146038801333356"
  private static let version = 1001

  /// Whether a file begins with the pickle of the magic number, of whatever protocol.
  static func isLegacy(_ start: [UInt8]) -> Bool {
    guard let graph = try? PickleMachine.load(start) else { return false }
    switch graph[graph.root] {
    case .bigInt(let range):
      // The number may be padded.
      let bytes = graph.bytes(range)
      return bytes.starts(with: magic) && bytes.dropFirst(magic.count).allSatisfy { $0 == 0 }
    case .bigDecimal(let range): return graph.bytes(range).elementsEqual(magicDigits.utf8)
    default: return false
    }
  }

  init(reading file: InputFile, limits: TorchLimits) throws {
    // How long the pickles are is only known once they were read.
    var count = min(file.size, 1 << 20)
    while true {
      let bytes = try file.read(at: 0, count: count)
      do {
        (graph, storages) = try LegacyStream.parse(bytes, file, limits)
        return
      } catch let error as PickleError where error.code == .truncated && count < file.size {
        guard count < limits.pickleBytes else {
          throw TorchFileError(
            .limitPickleSize, "pickles of more than \(limits.pickleBytes) bytes")
        }
        count = min(file.size, count * 4, limits.pickleBytes)
      } catch let error as PickleError {
        throw TorchFileError(error, entry: "pickles")
      }
    }
  }

  private static func parse(
    _ bytes: [UInt8], _ file: InputFile, _ limits: TorchLimits
  ) throws -> (PickleGraph, [UTF8Key: StoredBytes]) {
    func load(_ start: Int) throws(PickleError) -> PickleGraph {
      try PickleMachine.load(bytes, from: start, limits: limits.pickle)
    }
    let first = try load(0)
    let version = try load(first.end)
    guard version.int(version.root) == LegacyStream.version else {
      throw TorchFileError(
        .legacyHeader, "version \(LegacyStream.version) of the format was expected",
        offset: first.end)
    }
    let system = try load(version.end)
    guard system.entries(system.root) != nil else {
      throw TorchFileError(
        .legacyHeader, "facts about the system were expected", offset: version.end)
    }
    let object = try load(system.end)
    let keys = try load(object.end)
    guard let items = keys.items(keys.root) else {
      throw TorchFileError(
        .legacyKeys, "a list of storage keys was expected", offset: object.end)
    }
    return (object, try place(items.map { keys.text($0) }, keys.end, object, file))
  }

  /// Walks over the storages, whose sizes only the pickle tells.
  private static func place(
    _ keys: [String?], _ start: Int, _ graph: PickleGraph, _ file: InputFile
  ) throws -> [UTF8Key: StoredBytes] {
    let declared = declarations(graph)
    var storages: [UTF8Key: StoredBytes] = [:]
    var offset = start
    for key in keys {
      guard let key, storages[UTF8Key(key)] == nil else {
        throw TorchFileError(
          .legacyKeys, "storage keys must be distinct strings", offset: offset)
      }
      guard let (dtype, count) = declared[UTF8Key(key)] else {
        throw TorchFileError(
          .legacyUnknownKey,
          "no tensor is on storage \(shortened(key)), so its size is unknown, and so is the place "
            + "of all after it", offset: offset)
      }
      guard offset + 8 <= file.size else { throw truncated(key, file) }
      var reader = ByteReader(try file.read(at: offset, count: 8))
      guard let found = reader.uint64(), found == UInt64(clamping: count) else {
        throw TorchFileError(
          .legacySize, "storage \(shortened(key)) is said to have \(count) elements",
          offset: offset)
      }
      let (size, overflow) = count.multipliedReportingOverflow(by: dtype.size)
      guard !overflow, size <= file.size - offset - 8 else { throw truncated(key, file) }
      storages[UTF8Key(key)] = StoredBytes(
        name: key, storedSize: size, size: size, dataOffset: offset + 8)
      offset += 8 + size
    }
    return storages
  }

  /// Type and size of each storage by the first reference to it, which is what the count means.
  private static func declarations(_ graph: PickleGraph) -> [UTF8Key: (TorchDType, Int)] {
    var declared: [UTF8Key: (TorchDType, Int)] = [:]
    for reference in graph.persistentReferences {
      guard let fields = graph.tuple(reference), fields.count >= 5,
        graph.text(fields[0]) == "storage", let type = graph.global(fields[1]),
        let dtype = TorchDType.ofStorage(type), let key = graph.text(fields[2]).map(UTF8Key.init),
        let count = graph.int(fields[4]), count >= 0, declared[key] == nil
      else { continue }
      declared[key] = (dtype, count)
    }
    return declared
  }

  private static func truncated(_ key: String, _ file: InputFile) -> TorchFileError {
    TorchFileError(
      .legacyTruncated, "the file ends before the end of storage \(shortened(key))",
      offset: file.size)
  }
}
