public import ByteIO
public import Pickle
public import SystemPackage

/// A file that `torch.save` wrote: a pickle and the storages that it refers to.
///
/// Opening reads the directory and the pickle, never a tensor. Nothing that the file names is
/// imported, called or run (format: `torch/serialization.py`,
/// `caffe2/serialize/inline_container.cc`).
public struct TorchFile: Sendable {
  /// What holds pickle and storages together.
  public enum Container: String, Hashable, Sendable {
    /// A zip archive: PyTorch 1.6 and later, and 1.4 on request.
    case zip
    /// Pickles and storages one after the other: PyTorch before 1.6, and later on request.
    case legacy
  }

  /// The file, which stays open for reading tensors.
  public let file: InputFile
  /// As the first bytes of the file tell it, whatever its name.
  public let container: Container
  /// The objects of the file.
  public let graph: PickleGraph
  /// Whether the file was written on a big-endian host.
  public let isBigEndian: Bool
  /// The CRC of the pickle was recorded, and checked.
  public let isPickleVerified: Bool
  /// What it was opened with; the search for tensors and their readers keep to them, too.
  public let limits: TorchLimits
  /// The runs of bytes that hold storages, by the key of the storage.
  let storageEntries: [UTF8Key: StoredBytes]
  /// Storages that the pickle refers to as of two types.
  let conflictingStorages: Set<UTF8Key>
  /// All entries, for the digest of the directory.
  public let entries: [StoredBytes]

  /// Opens `path`.
  ///
  /// - Throws: ``TorchFileError`` for anything that is not a PyTorch file, `FileError` for anything
  ///   that is not a readable file.
  public init(opening path: FilePath, limits: TorchLimits = TorchLimits()) throws {
    try self.init(reading: InputFile(opening: path), limits: limits)
  }

  /// Reads an open file.
  public init(reading file: InputFile, limits: TorchLimits = TorchLimits()) throws {
    let start = try file.read(at: 0, count: min(512, file.size))
    if start.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
      try self.init(zip: file, limits)
    } else if LegacyStream.isLegacy(start) {
      try self.init(legacy: LegacyStream(reading: file, limits: limits), file, limits)
    } else {
      throw TorchFile.unknown(start, size: file.size)
    }
  }

  private init(legacy stream: LegacyStream, _ file: InputFile, _ limits: TorchLimits) {
    self.file = file
    self.limits = limits
    container = .legacy
    graph = stream.graph
    // The writer converts storages to little-endian on every host.
    isBigEndian = false
    isPickleVerified = false
    storageEntries = stream.storages
    conflictingStorages = TorchFile.conflicts(stream.graph)
    entries = stream.storages.values.sorted { $0.dataOffset < $1.dataOffset }
  }

  private init(zip file: InputFile, _ limits: TorchLimits) throws {
    let archive = try ZipArchive(reading: file, limits: limits)
    let root = try TorchFile.root(of: archive)
    if archive["\(root)/constants.pkl"] != nil {
      throw TorchFileError(
        .torchScript, "this is a TorchScript program, not a checkpoint",
        entry: "\(root)/constants.pkl")
    }
    guard let pickle = archive["\(root)/data.pkl"] else {
      throw TorchFileError(.missingEntry, "the archive has no data.pkl")
    }
    self.file = file
    self.limits = limits
    container = .zip
    entries = archive.entries
    var storages: [UTF8Key: StoredBytes] = [:]
    for folder in ["\(root)/tensors/", "\(root)/data/"] {
      for entry in archive.entries where entry.name.utf8.starts(with: folder.utf8) {
        storages[UTF8Key(String(entry.name.utf8.dropFirst(folder.utf8.count)) ?? "")] = entry
      }
    }
    storageEntries = storages
    try TorchFile.checkVersion(archive, root, file)
    isBigEndian = try TorchFile.byteOrder(archive, root, file)
    try TorchFile.checkSize(pickle, limits)
    isPickleVerified = pickle.crc != nil
    let bytes = try StoredBytesReader(pickle, in: file).readAll()
    do {
      graph = try PickleMachine.load(bytes, limits: limits.pickle)
    } catch {
      throw TorchFileError(error, entry: pickle.name)
    }
    conflictingStorages = TorchFile.conflicts(graph)
  }

  /// The keys of storages with more than one class. PyTorch takes whichever came first.
  private static func conflicts(_ graph: PickleGraph) -> Set<UTF8Key> {
    var types: [UTF8Key: GlobalName] = [:]
    var result: Set<UTF8Key> = []
    for reference in graph.persistentReferences {
      guard let fields = graph.tuple(reference), fields.count >= 5,
        graph.text(fields[0]) == "storage", let type = graph.global(fields[1]),
        let key = graph.text(fields[2]).map(UTF8Key.init),
        // Nothing can be misread in an empty storage, and PyTorch writes empty views of other
        // types.
        graph.int(fields[4]) != 0
      else { continue }
      if let other = types.updateValue(type, forKey: key), other != type { result.insert(key) }
    }
    return result
  }

  // MARK: - Recognising the file

  /// Names a foreign file by its first bytes.
  private static func unknown(_ start: [UInt8], size: Int) -> TorchFileError {
    if start.dropFirst(257).prefix(5).elementsEqual("ustar".utf8) {
      // Those of PyTorch 0.1 hold three files of these names.
      let first = String(decoding: start.prefix { $0 != 0 }, as: UTF8.self)
      let isOurs = ["sys_info", "pickle", "storages", "tensors", "."].contains {
        first == $0 || first == "./\($0)"
      }
      return TorchFileError(
        .tar,
        isOurs
          ? "a tar archive, as PyTorch wrote before 2017"
          : "a tar archive that begins with \"\(shortened(first, to: 60))\"",
        hint: isOurs ? "load and save it with PyTorch 1.x" : "unpack it first: tar -xf FILE")
    }
    if start.count > 9, start[8] == UInt8(ascii: "{"), start[7] == 0, start[6] == 0 {
      return TorchFileError(
        .safetensors, "this is a safetensors file, not a PyTorch file",
        hint: "it is in Hugging Face's form already")
    }
    if let foreign = ForeignFormat(start, size: size) {
      return TorchFileError(.unknownFormat, foreign.what, offset: 0, hint: foreign.hint)
    }
    return TorchFileError(
      .unknownFormat,
      "not a PyTorch file: it begins with \(hexadecimal(Array(start.prefix(8))))", offset: 0)
  }

  /// The folder that holds `data.pkl`. Its name need not be the file's.
  private static func root(of archive: ZipArchive) throws(TorchFileError) -> String {
    let suffix = "/data.pkl"
    let roots = archive.entries.map(\.name)
      .filter { $0.hasSuffix(suffix) && $0.split(separator: "/").count == 2 }
      .map { String($0.dropLast(suffix.count)) }
    if let first = roots.first {
      guard roots.count == 1 else {
        throw TorchFileError(.mixedRoot, "several folders hold a data.pkl: \(roots.prefix(3))")
      }
      return first
    }
    let endings = [".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".distcp", ".tar", ".gz"]
    let inner = archive.entries.first { entry in endings.contains { entry.name.hasSuffix($0) } }
    if let inner {
      throw TorchFileError(
        .nestedArchive,
        "a zip archive that holds other files of weights; unpack it first: unzip FILE -d FOLDER",
        entry: inner.name, hint: "unzip FILE -d FOLDER, then give the folder")
    }
    let names = archive.entries.prefix(3).map { "\"\(shortened($0.name, to: 60))\"" }
    throw TorchFileError(
      .missingEntry,
      "a zip archive without data.pkl, not a PyTorch file; it holds "
        + (names.isEmpty ? "nothing" : names.joined(separator: ", ")))
  }

  private static func checkSize(_ entry: StoredBytes, _ limits: TorchLimits) throws(TorchFileError)
  {
    guard entry.size <= limits.pickleBytes else {
      throw TorchFileError(
        .limitPickleSize,
        "a pickle of \(entry.size) bytes; \(limits.pickleBytes) are allowed", entry: entry.name)
    }
    guard entry.size <= 16 << 20 || entry.size / limits.inflationRatio <= entry.storedSize else {
      throw TorchFileError(
        .limitInflation,
        "\(entry.storedSize) bytes are said to inflate to \(entry.size)", entry: entry.name)
    }
  }

  /// The contents of a record of a few bytes of text.
  private static func marker(
    _ name: String, _ archive: ZipArchive, _ file: InputFile
  ) throws -> String? {
    guard let entry = archive[name] else { return nil }
    guard entry.size <= 64 else {
      throw TorchFileError(.badMarker, "\(entry.size) bytes where a few were expected", entry: name)
    }
    return String(decoding: try StoredBytesReader(entry, in: file).readAll(), as: UTF8.self)
  }

  private static func checkVersion(
    _ archive: ZipArchive, _ root: String, _ file: InputFile
  ) throws {
    let names = ["\(root)/version", "\(root)/.data/version"]
    guard let name = names.first(where: { archive[$0] != nil }),
      let text = try marker(name, archive, file)
    else { return }
    guard let version = Int(text.filter { !$0.isWhitespace }), (1...10).contains(version) else {
      throw TorchFileError(
        .version, "format version \"\(shortened(text))\"; 1 to 10 are known", entry: name)
    }
  }

  /// Files of PyTorch before 2.1 do not say; they are taken as little-endian.
  private static func byteOrder(
    _ archive: ZipArchive, _ root: String, _ file: InputFile
  ) throws -> Bool {
    let name = "\(root)/byteorder"
    switch try marker(name, archive, file) {
    case nil, "little": return false
    case "big": return true
    case let other?:
      throw TorchFileError(
        .badMarker, "byte order \"\(shortened(other))\"; little or big was expected", entry: name)
    }
  }
}

extension TorchFile {
  /// A SHA-256 over the directory of the archive, which tells one file from another without reading
  /// the tensors: names, sizes, offsets and CRCs of all entries, as hexadecimal digits.
  public var directoryDigest: String {
    var hasher = SHA256Hasher()
    for entry in entries {
      let crc = entry.crc.map { "\($0)" } ?? "-"
      hasher.update(
        Array(
          "\(entry.name)\u{0}\(entry.dataOffset) \(entry.storedSize) \(entry.size) \(crc)\n".utf8))
    }
    return hasher.hexDigest()
  }
}
