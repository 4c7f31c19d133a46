import ByteIO
import Diagnostics
import JSON
import SystemPackage

/// The names in the folder of a distributed checkpoint, and what they say about it.
struct DistributedFolder {
  private let folder: FilePath
  let names: [String]

  /// Lists a folder.
  ///
  /// - Throws: `Failure` when it cannot be read.
  init(_ folder: FilePath) throws(Failure) {
    self.folder = folder
    do {
      names = try FileSystem.list(folder).map(\.string)
    } catch {
      throw Failure(reading: error, file: folder.string)
    }
  }

  /// What the tensors lie in.
  ///
  /// - Throws: `Failure` 66 or 75 for a folder that is not whole, 69 for a form that is not read.
  func form() throws(Failure) -> DistributedCheckpoint.Form {
    if try backend() == "zarr" { return .zarr }
    if names.contains(".metadata") { return .torch }
    if names.contains(where: DistributedFolder.isShard) { return .huggingFace }
    if let array = names.first(where: {
      FileSystem.exists(folder.appending($0).appending(".zarray"))
    }) {
      throw Failure(
        .distributedIncomplete,
        "there is no metadata.json beside folders of tensors in zarr form, such as \"\(array)\"",
        file: folder.string, hint: "the save was not finished, or the file was not copied")
    }
    let parts = names.filter { $0.hasSuffix(".distcp") }
    if names.contains(where: { $0.hasPrefix("__") && $0.hasSuffix(".metadata") }) {
      throw Failure(
        .distributedRanks,
        "each rank wrote a description of its own (__0.metadata, ...), without one of the whole",
        file: folder.string, hint: "save it with rank coordination, which is the default")
    }
    if names.contains(".metadata.tmp") {
      throw Failure(
        .distributedUnfinished,
        "the save is not finished: .metadata is still called .metadata.tmp", file: folder.string,
        hint: "wait for the trainer, or take the step before: --iteration N")
    }
    throw Failure(
      .distributedIncomplete,
      parts.isEmpty
        ? "there is no .metadata, and no tensor either"
        : "there is no .metadata beside \(PathAdvice.listed(parts)): nothing says what they hold",
      file: folder.string,
      hint: "the save was not finished, or a copy left the hidden file out, as cp DIR/* does: copy "
        + "the folder itself")
  }

  /// Whether a name is that of a file that `HuggingFaceStorageWriter` wrote.
  static func isShard(_ name: String) -> Bool {
    name.wholeMatch(of: /shard-[0-9]+-model-[0-9]+-of-[0-9]+\.safetensors/) != nil
  }

  /// `sharded_backend` of `metadata.json`, Megatron-core's own mark.
  func backend() throws(Failure) -> String? {
    guard names.contains("metadata.json") else { return nil }
    let path = folder.appending("metadata.json")
    guard case .object(let object) = try JSONFile.read(path),
      case .string(let backend)? = object["sharded_backend"]
    else { return nil }
    guard ["torch_dist", "zarr"].contains(backend) else {
      throw Failure(
        .distributedBackend, "its sharded_backend is \"\(backend.prefix(60))\"", file: path.string,
        hint: "torch_dist and zarr are read")
    }
    // Up to Megatron-core 0.18 all that is no tensor is in a file of its own.
    if object["common_backend"] == "torch", !names.contains("common.pt") {
      throw Failure(
        .distributedIncomplete,
        "metadata.json says that there is a common.pt, which has the arguments, and it is missing",
        file: folder.string, hint: "the save was not finished, or the file was not copied")
    }
    return backend
  }

  /// All files that are named must be there.
  ///
  /// - Throws: `Failure` 66 that lists those that are not.
  func checkPresence(of metadata: DistributedMetadata) throws(Failure) {
    let places = metadata.tensors.flatMap { $0.chunks.map(\.place) } + metadata.objects.map(\.place)
    let missing = Set(places.map(\.file)).subtracting(names).sorted()
    guard !missing.isEmpty else { return }
    throw Failure(
      .distributedIncomplete,
      "\(missing.count) of \(Set(places.map(\.file)).count) files that .metadata names are missing"
        + ": " + PathAdvice.listed(missing), file: folder.string,
      hint: "the save was not finished, or they were not copied")
  }
}
