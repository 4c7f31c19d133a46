import ByteIO
public import Diagnostics
import JSON
public import Safetensors
public import SystemPackage

/// The tensors of a safetensors file, or of a folder of them, wherever they come from.
public struct ModelDirectory: Sendable {
  /// A tensor and the file that holds it.
  public struct Tensor: Sendable {
    public let declared: SafetensorsTensor
    public let file: SafetensorsFile
    /// The name of the file.
    public let fileName: String

    /// Where the bytes begin in the file.
    public var start: Int { file.dataStart + declared.dataOffsets.lowerBound }

    /// The SHA-256 of its bytes.
    ///
    /// - Throws: `Failure` when the file cannot be read, or `Interrupted`.
    public func sha256() throws -> String {
      let buffer = ByteBuffer(count: ByteBuffer.passSize)
      var hasher = SHA256Hasher()
      for place in stride(from: 0, to: declared.dataOffsets.count, by: buffer.count) {
        try Interrupted.check()
        let count = min(buffer.count, declared.dataOffsets.count - place)
        do {
          try file.file.read(at: start + place, into: buffer, 0..<count)
        } catch {
          throw Failure(reading: error, file: file.file.path, tensor: declared.name)
        }
        hasher.update(0..<count, of: buffer)
      }
      return hasher.hexDigest()
    }
  }

  public let path: FilePath
  /// Where tensors are, in the order of the files; one that is in two files is here once, as in the
  /// last.
  private var places: [(file: Int32, tensor: Int32)] = []
  /// By the bytes of the name: two spellings of one accented letter are two names.
  private var table = PositionTable()
  /// The safetensors files, by name.
  public private(set) var files: [(name: String, file: SafetensorsFile)] = []
  public private(set) var index: ShardIndex?
  /// What breaks a rule.
  public private(set) var faults: [Diagnostic] = []
  /// What deserves to be known.
  public private(set) var notes: [Diagnostic] = []
  /// Whether `path` is a folder.
  public let isFolder: Bool

  /// The names of all tensors, sorted by their bytes.
  public var names: [String] {
    places.map { declared($0).name }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// How many tensors there are.
  public var count: Int { places.count }

  /// The tensor of a name.
  public subscript(name: String) -> Tensor? {
    position(of: name).map { position in
      let place = places[position]
      let (fileName, file) = files[Int(place.file)]
      return Tensor(declared: declared(place), file: file, fileName: fileName)
    }
  }

  private func declared(_ place: (file: Int32, tensor: Int32)) -> SafetensorsTensor {
    files[Int(place.file)].file.header.tensors[Int(place.tensor)]
  }

  private func position(of name: String) -> Int? {
    table.position(hash: UTF8Key.hash(name.utf8)) {
      declared(places[$0]).name.utf8.elementsEqual(name.utf8)
    }
  }

  /// Files of weights that stand next to a model and are not a part of it.
  private static let companions: Set<String> = ["adapter_model.safetensors"]

  /// Reads the headers of all files.
  ///
  /// - Throws: `Failure` 66 when there are no safetensors. Broken files are faults.
  public init(reading path: FilePath) throws(Failure) {
    self.path = path
    let kind: FileSystem.Kind?
    do {
      kind = try FileSystem.kind(of: path)
    } catch {
      throw Failure(reading: error, file: path)
    }
    guard let kind else { throw PathAdvice.missing(path) }
    isFolder = kind == .folder
    guard isFolder else {
      open(path, as: path.lastComponent?.string ?? path.string)
      return
    }
    var names: [String]
    do {
      names = try FileSystem.list(path).map(\.string).filter { $0.hasSuffix(".safetensors") }
    } catch {
      throw Failure(reading: error, file: path)
    }
    let indexPath = path.appending(ShardIndex.fileName)
    let hasIndex = FileSystem.exists(indexPath)
    guard !names.isEmpty || hasIndex else {
      throw Failure(
        .outputNoWeights, "there is no *.safetensors in this folder",
        file: path.string, hint: ModelDirectory.advice(withoutWeights: path))
    }
    // Loaders take the model alone: what they do not look for is not a part of it.
    if names.contains("model.safetensors"), !hasIndex {
      for name in names where name != "model.safetensors" {
        notes.append(
          Diagnostic(
            .outputOtherWeights, "it lies next to model.safetensors, which loaders take alone",
            file: name))
      }
      names = ["model.safetensors"]
    }
    for name in names where ModelDirectory.companions.contains(name) {
      notes.append(
        Diagnostic(.outputOtherWeights, "an adapter, which is not a part of the model", file: name))
    }
    names.removeAll { ModelDirectory.companions.contains($0) }
    for name in names { open(path.appending(name), as: name) }
    if hasIndex {
      do {
        let index = try ShardIndex(parsing: JSONFile.bytes(indexPath))
        self.index = index
        compare(with: index, present: Set(names.map { UTF8Key($0) }))
      } catch {
        let error = Failure(reading: error, file: indexPath)
        faults.append(Diagnostic(error.code, error.message, file: ShardIndex.fileName))
      }
    } else if names != ["model.safetensors"] {
      faults.append(
        Diagnostic(
          .outputNoIndex,
          "\(names.count == 1 ? names[0] : "the shards") cannot be found by transformers without "
            + ShardIndex.fileName))
    }
  }

  private mutating func open(_ path: FilePath, as name: String) {
    do {
      let file = try SafetensorsFile(opening: path)
      files.append((name, file))
      for note in file.header.notes { notes.append(Diagnostic(.safetensorsLax, note, file: name)) }
      if file.header.metadata?["format"] != "pt" {
        notes.append(
          Diagnostic(
            .safetensorsFormat,
            "the metadata do not say {\"format\":\"pt\"}: transformers up to 4.57 refuses the file",
            file: name))
      }
      for (number, tensor) in file.header.tensors.enumerated() {
        let place = (file: Int32(files.count - 1), tensor: Int32(number))
        if let known = position(of: tensor.name) {
          let other = files[Int(places[known].file)].name
          faults.append(
            Diagnostic(
              .outputDuplicateTensor, "it is in two files, \(other) and \(name)",
              file: name, tensor: tensor.name))
          places[known] = place
        } else {
          table.append(hash: UTF8Key.hash(tensor.name.utf8))
          places.append(place)
        }
      }
    } catch {
      let error = Failure(reading: error, file: path)
      faults.append(Diagnostic(error.code, error.message, file: name, tensor: error.tensor))
    }
  }

  /// The index and the files must tell the same story.
  private mutating func compare(with index: ShardIndex, present: Set<UTF8Key>) {
    let named = Set(index.weightMap.values.map { UTF8Key($0) })
    for file in named.subtracting(present).sorted() {
      faults.append(
        Diagnostic(.indexMissingFile, "the index names it, but it is not there", file: file.string))
    }
    for file in present.subtracting(named).sorted() {
      faults.append(
        Diagnostic(.indexStaleFile, "the index does not name it: a leftover", file: file.string))
    }
    let listed = index.weightMap
    for (tensor, file) in listed.sorted(by: { $0.key < $1.key })
    where self[tensor.string]?.fileName != file && present.contains(UTF8Key(file)) {
      faults.append(
        Diagnostic(
          .indexWrongFile,
          "the index says it is in \(file), but it is "
            + (self[tensor.string].map { "in \($0.fileName)" } ?? "in none"),
          file: ShardIndex.fileName, tensor: tensor.string))
    }
    for name in names where listed[UTF8Key(name)] == nil {
      faults.append(
        Diagnostic(
          .indexUnlistedTensor, "the index does not name it", file: self[name]?.fileName,
          tensor: name))
    }
    let bytes = files.reduce(0) { $0 + $1.file.header.dataSize }
    if let total = index.totalSize, total != bytes, faults.isEmpty {
      notes.append(
        Diagnostic(
          .indexTotalSize, "total_size is \(total), but the tensors take \(bytes) bytes",
          file: ShardIndex.fileName))
    }
  }
}

extension ModelDirectory {
  /// What to do with a folder in which no safetensors are.
  private static func advice(withoutWeights path: FilePath) -> String {
    let names = (try? FileSystem.list(path))?.map(\.string) ?? []
    if names.contains(where: { $0.hasPrefix("pytorch_model") && $0.hasSuffix(".bin") }) {
      return "it holds pytorch_model.bin, which transformers saves as safetensors: "
        + "model.save_pretrained(FOLDER)"
    }
    if names.contains(where: isOfCheckpoint) {
      return "it is a checkpoint: inspect shows it, convert converts it"
    }
    for name in names {
      let below = path.appending(name)
      let inner = (try? FileSystem.list(below))?.map(\.string) ?? []
      if inner.contains(where: { $0.hasSuffix(".safetensors") }) {
        return "there are some in \(below.string)"
      }
    }
    return "it holds \(PathAdvice.listed(names))"
  }

  /// Whether a name is one that trainers give to what is in the folder of a run or of a step.
  private static func isOfCheckpoint(_ name: String) -> Bool {
    ["latest", "latest_checkpointed_iteration.txt", "model_optim_rng.pt"].contains(name)
      || name.hasSuffix("model_states.pt")
      || ["global_step", "iter_", "mp_rank_"].contains { name.hasPrefix($0) }
  }
}
