import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

/// What `.metadata` says: the tensors with their chunks, and where the bytes of each chunk are
/// (PyTorch `torch/distributed/checkpoint/metadata.py`, `filesystem.py`).
struct DistributedMetadata {
  /// A tensor, with the position of each chunk's bytes.
  struct Tensor {
    let name: String
    let dtype: TorchDType
    let shape: [Int]
    let chunks: [(offsets: [Int], sizes: [Int], place: Place)]
  }

  /// Bytes of a file.
  struct Place {
    /// The name of a file in the same folder.
    let file: String
    let offset: Int
    let length: Int
    let transforms: [String]
  }

  private(set) var tensors: [Tensor] = []
  private(set) var objects: [(name: String, place: Place)] = []

  private let graph: PickleGraph
  private let path: FilePath

  /// Reads the pickle. Nothing that it names is run.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - limits: How much the pickle may make the reader do; what grows with the number of entries
  ///     is raised by the size of the file.
  /// - Throws: `Failure`.
  init(_ path: FilePath, limits: TorchLimits) throws(Failure) {
    self.path = path
    do {
      let file = try InputFile(opening: path)
      guard file.size <= limits.pickleBytes else {
        throw TorchFileError(
          .limitPickleSize,
          "a pickle of \(file.size) bytes; \(limits.pickleBytes) are allowed")
      }
      var bounds = limits.pickle
      // Genuine files have a node for 6 bytes, and a container for 12.
      bounds.nodes = max(bounds.nodes, file.size / 4)
      bounds.containers = max(bounds.containers, file.size / 8)
      do {
        graph = try Pickle.load(try file.read(at: 0, count: file.size), limits: bounds).graph
      } catch let error as PickleError {
        var failure = Failure(
          reading: TorchFileError(error, entry: ".metadata"), file: path.string)
        if error.code == .truncated {
          failure.hint = "the save was not finished, or the file was not copied whole"
        }
        throw failure
      }
    } catch {
      throw Failure(reading: error, file: path.string)
    }
    guard let name = graph.className(graph.root), ["Metadata", "MCoreMetadata"].contains(name.name)
    else {
      throw bad(
        graph.className(graph.root).map { "it holds \"\(shortened($0.description))\"" }
          ?? "it holds no object", "Metadata of torch.distributed.checkpoint")
    }
    let places = try places()
    guard let described = entries("state_dict_metadata") else {
      throw bad("it has no state_dict_metadata", "a dictionary of tensors")
    }
    for entry in described {
      guard let name = graph.text(entry.key) else { throw bad("a key that is no text", "a name") }
      // Copies that a trainer keeps of its own tensors.
      if name.hasPrefix("__shadow_") { continue }
      let found = places[name] ?? []
      switch graph.className(entry.value)?.name {
      case "TensorStorageMetadata":
        tensors.append(try tensor(name, entry.value, found))
      case "BytesStorageMetadata":
        guard found.count == 1, let place = found.first?.place else {
          throw bad("\(found.count) places for the value \"\(shortened(name))\"", "one")
        }
        objects.append((name, place))
      case let other:
        throw bad(
          "\"\(shortened(name))\" is a \"\(shortened(other ?? "value"))\"",
          "TensorStorageMetadata or BytesStorageMetadata")
      }
    }
  }

  /// Where the bytes of all entries are, by the names of the tensors.
  private func places() throws(Failure) -> [String: [(offset: [Int]?, place: Place)]] {
    guard let stored = entries("storage_data") else {
      throw bad("it has no storage_data", "a dictionary of places")
    }
    var places: [String: [(offset: [Int]?, place: Place)]] = [:]
    for entry in stored {
      guard let name = attribute("fqn", of: entry.key).flatMap({ graph.text($0) }) else {
        throw bad("an entry of storage_data without a name", "MetadataIndex")
      }
      let place = attribute("offset", of: entry.key)
      let offset: [Int]?
      if let place, graph[place] != .none {
        guard let sizes = graph.sizes(place) else {
          throw bad("an offset of \"\(shortened(name))\" that is none", "torch.Size")
        }
        offset = sizes
      } else {
        offset = nil
      }
      places[name, default: []].append((offset, try self.place(entry.value, name)))
    }
    return places
  }

  private func place(_ id: NodeID, _ name: String) throws(Failure) -> Place {
    guard let file = attribute("relative_path", of: id).flatMap({ graph.text($0) }),
      let offset = attribute("offset", of: id).flatMap({ graph.int($0) }),
      let length = attribute("length", of: id).flatMap({ graph.int($0) })
    else { throw bad("\"\(shortened(name))\" has no place", "_StorageInfo") }
    guard let component = FilePath.Component(file), component.kind == .regular,
      component.string == file
    else {
      throw Failure(
        .distributedPath, "it names the file \"\(shortened(file))\"", file: path.string,
        tensor: name, hint: "expected: the name of a file in the same folder")
    }
    guard offset >= 0, length >= 0, !offset.addingReportingOverflow(length).overflow else {
      throw Failure(
        .distributedRange, "\(length) bytes at \(offset) of \"\(file)\"", file: path.string,
        tensor: name)
    }
    let transforms = attribute("transform_descriptors", of: id).flatMap { graph.items($0) } ?? []
    return Place(
      file: file, offset: offset, length: length,
      transforms: transforms.map { graph.text($0) ?? graph.label($0) })
  }

  private func tensor(
    _ name: String, _ id: NodeID, _ found: [(offset: [Int]?, place: Place)]
  ) throws(Failure) -> Tensor {
    guard let properties = attribute("properties", of: id),
      let type = graph.object(properties)?.state.flatMap({ state in
        graph.tuple(state)?.first ?? graph.value("dtype", in: state)
      }), let dtype = graph.global(type).flatMap({ TorchDType($0) })
    else { throw bad("\"\(shortened(name))\" has no element type", "TensorProperties") }
    guard let shape = attribute("size", of: id).flatMap({ graph.sizes($0) }),
      let chunks = attribute("chunks", of: id).flatMap({ graph.items($0) })
    else { throw bad("\"\(shortened(name))\" has no shape", "a size and a list of chunks") }
    var places: [[Int]: Place] = [:]
    for (offset, place) in found {
      guard let offset else { throw bad("a place of \"\(shortened(name))\" without offset", "one") }
      guard places.updateValue(place, forKey: offset) == nil else {
        throw fault("two places are given for its chunk at \(offset)", name)
      }
    }
    var result: [(offsets: [Int], sizes: [Int], place: Place)] = []
    for chunk in chunks {
      guard let offsets = attribute("offsets", of: chunk).flatMap({ graph.sizes($0) }),
        let sizes = attribute("sizes", of: chunk).flatMap({ graph.sizes($0) })
      else { throw bad("a chunk of \"\(shortened(name))\" without sizes", "ChunkStorageMetadata") }
      guard let place = places.removeValue(forKey: offsets) else {
        throw fault("no place is given for its chunk at \(offsets)", name)
      }
      result.append((offsets, sizes, place))
    }
    if let other = places.keys.first {
      throw fault("a place is given for a chunk at \(other), which it does not have", name)
    }
    guard DistributedMetadata.isShape(shape) else {
      throw fault("its shape is said to be \(shape)", name)
    }
    if let fault = ChunkTiling(shape, result.map { ($0.offsets, $0.sizes) }).fault {
      throw self.fault(fault, name)
    }
    return Tensor(name: name, dtype: dtype, shape: shape, chunks: result)
  }

  /// Whether the number of elements can be counted.
  static func isShape(_ shape: [Int]) -> Bool {
    var count = 1
    for size in shape {
      guard size >= 0 else { return false }
      let (product, overflow) = count.multipliedReportingOverflow(by: max(1, size))
      guard !overflow, product < 1 << 56 else { return false }
      count = product
    }
    return true
  }

  // MARK: - The graph

  private func entries(_ name: String) -> [PickleEntry]? {
    attribute(name, of: graph.root).flatMap { graph.entries($0) }
  }

  /// An attribute of an object, as BUILD set it: a dictionary, or a pair of which the second one
  /// has the slots.
  private func attribute(_ name: String, of id: NodeID) -> NodeID? {
    guard let state = graph.object(id)?.state else { return nil }
    for part in graph.tuple(state) ?? [state] {
      if let found = graph.value(name, in: part) { return found }
    }
    return nil
  }

  private func bad(_ found: String, _ expected: String) -> Failure {
    Failure(
      .distributedMetadata, "\(found); expected: \(expected)", file: path.string,
      hint: "the file is not one of torch.distributed.checkpoint, or it is damaged")
  }

  private func fault(_ message: String, _ name: String) -> Failure {
    Failure(.distributedChunks, message, file: path.string, tensor: name)
  }
}
