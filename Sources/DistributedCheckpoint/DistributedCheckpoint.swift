public import ByteIO
public import Diagnostics
import JSON
import Pickle
public import SystemPackage
public import TorchArchive

/// A checkpoint that many processes wrote together, each its part of every tensor: that of
/// `torch.distributed.checkpoint`, in its own files, in safetensors or by its writer for Hugging
/// Face, and Megatron-core's in zarr.
///
/// Opening reads what describes the tensors, and looks at every file that is named; no tensor is
/// read, and nothing that a file names is run.
///
/// ```swift
/// let checkpoint = try DistributedCheckpoint(opening: "run/iter_0000010")
/// for tensor in checkpoint.tensors { print(tensor.name, tensor.shape, tensor.chunks.count) }
/// ```
public struct DistributedCheckpoint: Sendable {
  /// What the tensors lie in.
  public enum Form: String, Hashable, Sendable, CaseIterable {
    /// `.metadata` and `.distcp`, each of them many files of `torch.save` one after the other.
    case torch
    /// `.metadata` and `.distcp`, each of them a file of safetensors.
    case safetensors
    /// A folder for each tensor (zarr version 2).
    case zarr
    /// Files of safetensors that say which part of a tensor they hold (`HuggingFaceStorageWriter`).
    case huggingFace = "hugging-face"
  }

  /// A file of the checkpoint.
  public struct File: Hashable, Sendable {
    /// The name within the folder.
    public let name: String
    /// What the file was when it was looked at.
    public let identity: InputFile.Identity
  }

  /// Where it is.
  public let folder: FilePath
  /// What the tensors lie in.
  public let form: Form
  /// The files that hold tensors or values.
  public private(set) var files: [File] = []
  /// In the order in which the checkpoint names them.
  public private(set) var tensors: [DistributedTensor] = []
  /// Values that are no tensors.
  public private(set) var objects: [DistributedObject] = []
  private let limits: TorchLimits
  private var positions: [String: Int] = [:]

  /// Opens a folder.
  ///
  /// - Parameters:
  ///   - folder: The folder that holds `.metadata`, `metadata.json` or the files of safetensors.
  ///   - limits: How much a file may make the reader do.
  /// - Throws: `Failure` 66 or 75 for one that is not whole, 65 for one that contradicts itself, 69
  ///   for a form that is not read.
  public init(
    opening folder: FilePath, limits: TorchLimits = TorchLimits()
  ) throws(Failure) {
    self.folder = folder
    self.limits = limits
    let names = try DistributedFolder(folder)
    switch try names.form() {
    case .zarr:
      form = .zarr
      try readZarr(names.names)
    case .huggingFace:
      form = .huggingFace
      try readShards(names.names)
    case .torch, .safetensors:
      let metadata = try DistributedMetadata(folder.appending(".metadata"), limits: limits)
      try names.checkPresence(of: metadata)
      form = try DistributedCheckpoint.form(of: metadata, in: folder)
      if form == .torch { try readArchives(metadata) } else { try readSafetensors(metadata) }
    }
  }

  /// Whether the `metadata.json` of a folder is Megatron-core's.
  ///
  /// - Throws: `Failure` for one that is not JSON, or of a backend that is not known.
  package static func isNamed(byMetadataIn folder: FilePath) throws(Failure) -> Bool {
    try DistributedFolder(folder).backend() != nil
  }

  /// The tensor of a name.
  public func tensor(_ name: String) -> DistributedTensor? { tensors.first { $0.name == name } }

  /// The value of a name.
  public func object(_ name: String) -> DistributedObject? { objects.first { $0.name == name } }

  // MARK: - Reading

  /// Whether a file is one of safetensors, by its first bytes.
  private static func form(
    of metadata: DistributedMetadata, in folder: FilePath
  ) throws(Failure) -> Form {
    guard let name = metadata.tensors.first?.chunks.first?.place.file else { return .torch }
    let path = folder.appending(name)
    do {
      let file = try InputFile(opening: path)
      let start = try file.read(at: 0, count: min(9, file.size))
      return start.count == 9 && start[8] == UInt8(ascii: "{") ? .safetensors : .torch
    } catch {
      throw Failure(reading: error, file: path.string)
    }
  }

  private mutating func readArchives(_ metadata: DistributedMetadata) throws(Failure) {
    var taken: [Int: [(bytes: Range<Int>, name: String)]] = [:]
    func place(
      _ place: DistributedMetadata.Place, _ name: String,
      of checkpoint: inout DistributedCheckpoint
    ) throws(Failure) -> DistributedTensor.Place {
      if let transform = place.transforms.first {
        throw Failure(
          .distributedTransform,
          "its bytes were passed through \"\(shortened(transform))\"", file: place.file,
          tensor: name, hint: "save it without compression: stream transforms are not read")
      }
      let file = try checkpoint.add(place.file)
      let size = checkpoint.files[file].identity.size
      guard place.length <= size, place.offset <= size - place.length else {
        throw Failure(
          .distributedRange,
          "\(place.length) bytes at \(place.offset) are named, but the file has \(size)",
          file: place.file, tensor: name, offset: place.offset,
          hint: "the file was not copied whole: copy it again")
      }
      let bytes = place.offset..<place.offset + place.length
      taken[file, default: []].append((bytes, name))
      return DistributedTensor.Place(.archive, file: file, bytes: bytes)
    }
    for tensor in metadata.tensors {
      var chunks: [DistributedTensor.Chunk] = []
      for chunk in tensor.chunks {
        chunks.append(
          DistributedTensor.Chunk(
            offsets: chunk.offsets, sizes: chunk.sizes,
            place: try place(chunk.place, tensor.name, of: &self)))
      }
      tensors.append(
        DistributedTensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, chunks: chunks))
    }
    for object in metadata.objects {
      let place = try place(object.place, object.name, of: &self)
      objects.append(DistributedObject(name: object.name, file: place.file, bytes: place.bytes))
    }
    for (file, ranges) in taken {
      let sorted = ranges.filter { !$0.bytes.isEmpty }
        .sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
      for (one, next) in zip(sorted, sorted.dropFirst())
      where one.bytes.upperBound > next.bytes.lowerBound {
        throw Failure(
          .distributedRange,
          "its bytes \(next.bytes) overlap \(one.bytes), which are those of "
            + "\"\(shortened(one.name))\"", file: files[file].name, tensor: next.name,
          offset: next.bytes.lowerBound)
      }
    }
  }

  /// Notes a file.
  ///
  /// - Returns: Its position.
  /// - Throws: `Failure` when it is not there.
  mutating func add(_ name: String) throws(Failure) -> Int {
    if let known = positions[name] { return known }
    let path = folder.appending(FilePath(name).components)
    do {
      files.append(File(name: name, identity: try InputFile(opening: path).identity))
    } catch {
      throw Failure(reading: error, file: path.string)
    }
    positions[name] = files.count - 1
    return files.count - 1
  }

  mutating func add(_ tensor: DistributedTensor) { tensors.append(tensor) }
  mutating func add(_ object: DistributedObject) { objects.append(object) }

  // MARK: - Chunks

  /// The elements of a chunk as a view of a file of the folder.
  ///
  /// - Parameters:
  ///   - chunk: A chunk of `tensor`.
  ///   - tensor: The tensor.
  ///   - open: The file that holds it, if it is open already.
  /// - Returns: A tensor of the chunk's sizes, whose bytes are counted from the beginning of the
  ///   file.
  /// - Throws: `Failure` 65 for bytes that are no tensor, or not the one that was described.
  package func view(
    of chunk: DistributedTensor.Chunk, in tensor: DistributedTensor, from open: InputFile? = nil
  ) throws(Failure) -> TorchTensor {
    let name = files[chunk.place.file].name
    func mismatch(_ what: String) -> Failure {
      Failure(
        .distributedMismatch, what, file: name, tensor: tensor.name,
        offset: chunk.place.bytes.lowerBound)
    }
    do {
      switch chunk.place.form {
      case .elements:
        let entry = StoredBytes(
          name: tensor.name, storedSize: chunk.place.bytes.count, size: chunk.place.bytes.count,
          dataOffset: chunk.place.bytes.lowerBound)
        let stored = try TorchTensor(filling: entry, tensor.dtype, chunk.storedSizes)
        return stored.narrowed(to: chunk.sizes)
      case .archive:
        let file = try open ?? self.open(chunk.place.file)
        let archive = try TorchFile(reading: file.slice(chunk.place.bytes), limits: limits)
        guard let view = try archive.tensor(archive.graph.root) else {
          throw mismatch("what is stored at \(chunk.offsets) is no tensor")
        }
        guard view.sizes == chunk.sizes, view.dtype == tensor.dtype else {
          throw mismatch(
            "what is stored at \(chunk.offsets) is \(view.dtype.rawValue) \(view.sizes), but "
              + ".metadata says \(tensor.dtype.rawValue) \(chunk.sizes)")
        }
        return view.moved(by: chunk.place.bytes.lowerBound)
      }
    } catch {
      throw Failure(reading: error, file: name, tensor: tensor.name)
    }
  }

  /// The pickle of a value.
  ///
  /// - Throws: `Failure` for bytes that are no file of `torch.save`.
  public func archive(of object: DistributedObject) throws(Failure) -> TorchFile {
    do {
      return try TorchFile(reading: open(object.file).slice(object.bytes), limits: limits)
    } catch {
      throw Failure(reading: error, file: files[object.file].name, tensor: object.name)
    }
  }

  /// Opens a file of the checkpoint, by its position.
  ///
  /// - Throws: `Failure` for one that is gone, or was changed since it was looked at.
  package func open(_ position: Int) throws(Failure) -> InputFile {
    let path = path(of: position)
    do {
      return try InputFile(opening: path, asItWas: files[position].identity)
    } catch {
      throw Failure(reading: error, file: path.string)
    }
  }

  /// The path of a file, by its position.
  public func path(of position: Int) -> FilePath {
    folder.appending(FilePath(files[position].name).components)
  }

  /// The SHA-256 of files that the trainer recorded in `integrity.json` (Megatron-core 0.20,
  /// `--verify-integrity`), by their names; empty where it did not.
  ///
  /// - Throws: `Failure` for a file that is not of that form.
  public func recordedDigests() throws(Failure) -> [(name: String, digest: String)] {
    let path = folder.appending("integrity.json")
    guard FileSystem.exists(path) else { return [] }
    guard case .object(let object) = try JSONFile.read(path),
      case .object(let files)? = object["files"]
    else {
      throw Failure(.distributedIntegrity, "it has no files", file: path.string)
    }
    guard object["algorithm"] == nil || object["algorithm"] == "sha256" else { return [] }
    var digests: [(name: String, digest: String)] = []
    for member in files.members {
      guard case .string(let digest) = member.value,
        let component = FilePath.Component(member.key), component.kind == .regular,
        component.string == member.key
      else {
        throw Failure(
          .distributedIntegrity, "it has no digest of \"\(shortened(member.key))\"",
          file: path.string)
      }
      digests.append((member.key, digest.lowercased()))
    }
    return digests
  }
}
