import ByteIO
public import Safetensors
public import SystemPackage

/// A finding about an output.
public struct Finding: Hashable, Sendable {
  /// A name for the kind of finding, as `area/kind`.
  public let code: String
  public let message: String
  public var file: String?
  public var tensor: String?

  public init(_ code: String, _ message: String, file: String? = nil, tensor: String? = nil) {
    self.code = code
    self.message = message
    self.file = file
    self.tensor = tensor
  }

  /// The finding for machine-readable output.
  public var json: JSONValue {
    var object = JSONObject()
    object["code"] = .string(code)
    object["message"] = .string(message)
    if let file { object["file"] = .string(file) }
    if let tensor { object["tensor"] = .string(tensor) }
    return .object(object)
  }
}

/// The tensors of a safetensors file, or of a folder of them, wherever they come from.
public struct OutputDirectory: Sendable {
  /// A tensor and the file that holds it.
  public struct Tensor: Sendable {
    public let declared: SafetensorsTensor
    public let file: SafetensorsFile

    /// Where the bytes begin in the file.
    public var start: Int { file.dataStart + declared.dataOffsets.lowerBound }
  }

  public let path: FilePath
  /// By name.
  public private(set) var tensors: [String: Tensor] = [:]
  /// The safetensors files, by name.
  public private(set) var files: [(name: String, file: SafetensorsFile)] = []
  public private(set) var index: ShardIndex?
  /// What breaks a rule.
  public private(set) var faults: [Finding] = []
  /// What deserves to be known.
  public private(set) var notes: [Finding] = []
  /// Whether `path` is a folder.
  public let isFolder: Bool

  /// Reads the headers of all files.
  ///
  /// - Throws: ``ConversionError`` 66 when there are no safetensors. Broken files are faults.
  public init(reading path: FilePath) throws(ConversionError) {
    self.path = path
    let kind: FileSystem.Kind?
    do {
      kind = try FileSystem.kind(of: path)
    } catch {
      throw ConversionError(reading: error, file: path)
    }
    guard let kind else {
      throw ConversionError(
        .noInput, "io/not-found", "there is nothing of that name", file: path.string)
    }
    isFolder = kind == .folder
    guard isFolder else {
      open(path, as: path.lastComponent?.string ?? path.string)
      return
    }
    let names: [String]
    do {
      names = try FileSystem.list(path).map(\.string).filter { $0.hasSuffix(".safetensors") }
    } catch {
      throw ConversionError(reading: error, file: path)
    }
    let indexPath = path.appending(ShardIndex.fileName)
    let hasIndex = FileSystem.exists(indexPath)
    guard !names.isEmpty || hasIndex else {
      throw ConversionError(
        .noInput, "output/no-weights", "there is no *.safetensors in this folder",
        file: path.string)
    }
    for name in names { open(path.appending(name), as: name) }
    if hasIndex {
      do {
        let index = try ShardIndex(parsing: JSONFile.bytes(indexPath))
        self.index = index
        compare(with: index, present: Set(names))
      } catch {
        let error = ConversionError(reading: error, file: indexPath)
        faults.append(Finding(error.code, error.message, file: ShardIndex.fileName))
      }
    } else if names != ["model.safetensors"] {
      faults.append(
        Finding(
          "output/no-index",
          "\(names.count == 1 ? names[0] : "the shards") cannot be found by transformers without "
            + ShardIndex.fileName))
    }
  }

  private mutating func open(_ path: FilePath, as name: String) {
    do {
      let file = try SafetensorsFile(opening: path)
      files.append((name, file))
      for note in file.header.notes { notes.append(Finding("safetensors/lax", note, file: name)) }
      if file.header.metadata?["format"] != "pt" {
        notes.append(
          Finding(
            "safetensors/format",
            "the metadata do not say {\"format\":\"pt\"}: transformers up to 4.57 refuses the file",
            file: name))
      }
      for tensor in file.header.tensors {
        if tensors[tensor.name] != nil {
          faults.append(
            Finding(
              "output/duplicate-tensor", "it is in two files", file: name, tensor: tensor.name))
        }
        tensors[tensor.name] = Tensor(declared: tensor, file: file)
      }
    } catch {
      let error = ConversionError(reading: error, file: path)
      faults.append(Finding(error.code, error.message, file: name, tensor: error.tensor))
    }
  }

  /// The index and the files must tell the same story.
  private mutating func compare(with index: ShardIndex, present: Set<String>) {
    for file in Set(index.weightMap.values).subtracting(present).sorted() {
      faults.append(
        Finding("index/missing-file", "the index names it, but it is not there", file: file))
    }
    for file in present.subtracting(index.weightMap.values).sorted() {
      faults.append(
        Finding("index/stale-file", "the index does not name it: a leftover", file: file))
    }
    var placed: [String: String] = [:]
    for (name, file) in files {
      for tensor in file.header.tensors { placed[tensor.name] = name }
    }
    for (tensor, file) in index.weightMap.sorted(by: { $0.key < $1.key })
    where placed[tensor] != file && present.contains(file) {
      faults.append(
        Finding(
          "index/wrong-file",
          "the index says it is in \(file), but it is "
            + (placed[tensor].map { "in \($0)" } ?? "in none"), file: ShardIndex.fileName,
          tensor: tensor))
    }
    for tensor in placed.keys.sorted() where index.weightMap[tensor] == nil {
      faults.append(
        Finding(
          "index/unlisted-tensor", "the index does not name it", file: placed[tensor],
          tensor: tensor))
    }
    let bytes = files.reduce(0) { $0 + $1.file.header.dataSize }
    if let total = index.totalSize, total != bytes, faults.isEmpty {
      notes.append(
        Finding(
          "index/total-size", "total_size is \(total), but the tensors take \(bytes) bytes",
          file: ShardIndex.fileName))
    }
  }
}
