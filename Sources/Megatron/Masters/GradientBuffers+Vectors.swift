import ByteIO
import Diagnostics
import DistributedCheckpoint
import Pickle
import SystemPackage
import TorchArchive

/// Where the flat vectors are stored, and where parameters lie in them.
extension GradientBuffers {
  private static let alignment = 64

  static func buckets(
    _ source: DistributedCheckpoint, _ parts: inout CoreParts
  ) throws(Failure) -> [Int: [FlatVectorSource]] {
    var result: [Int: [(numbers: (Int, Int), vector: FlatVectorSource)]] = [:]
    for tensor in source.tensors {
      guard let (group, buffer, bucket) = CoreMasterForm.bucket(tensor.name) else { continue }
      guard tensor.dtype == .float32, tensor.shape.count == 1 else {
        throw Failure(
          .mastersMismatch, "it is \(tensor.dtype.rawValue) \(tensor.shape), not a flat vector",
          file: source.folder.string, tensor: tensor.name)
      }
      var vector: FlatVectorSource = []
      for chunk in tensor.chunks where chunk.elementCount > 0 {
        let box = try parts.box(of: chunk, in: tensor)
        guard GradientBuffers.isVector(box.tensor) else {
          throw Failure(
            .mastersMismatch, "a part that is no flat vector", file: source.folder.string,
            tensor: tensor.name)
        }
        vector.append((box.file, box.tensor))
      }
      result[group, default: []].append(((buffer, bucket), vector))
    }
    return result.mapValues { $0.sorted { $0.numbers < $1.numbers }.map(\.vector) }
  }

  /// A list of one dictionary: by the number of the buffer, by the types of parameter and gradient,
  /// `param` among others.
  static func coalesced(
    _ source: DistributedCheckpoint, _ parts: inout CoreParts
  ) throws(Failure) -> [Int: [FlatVectorSource]] {
    var result: [Int: [FlatVectorSource]] = [:]
    for object in source.objects {
      guard let group = CoreMasterForm.group(ofState: object.name) else { continue }
      let archive = try source.archive(of: object)
      let graph = archive.graph
      let state = graph.items(graph.root)?.first ?? graph.root
      var found: [FlatVectorSource] = []
      do {
        for tensor in try GradientBuffers.parameters(in: archive, state) {
          let moved = tensor.moved(by: object.bytes.lowerBound)
          found.append([(parts.note(object.file, moved), moved)])
        }
      } catch {
        throw Failure(reading: error, file: source.files[object.file].name, tensor: object.name)
      }
      result[group] = found
    }
    return result
  }

  /// Whether a tensor is a run of float32 numbers, so that it has no more elements than its file.
  private static func isVector(_ tensor: TorchTensor) -> Bool {
    tensor.dtype == .float32 && tensor.sizes.count == 1 && tensor.isPlain
      && tensor.elementCount <= tensor.storage.byteCount / 4
  }

  /// The vectors `param` in the state of a distributed optimizer, by the numbers of their buffers.
  static func parameters(in archive: TorchFile, _ state: NodeID) throws -> [TorchTensor] {
    let graph = archive.graph
    var result: [(buffer: Int, tensor: TorchTensor)] = []
    for entry in graph.entries(state) ?? [] {
      guard let buffer = graph.int(entry.key) else { continue }
      for types in graph.entries(entry.value) ?? [] {
        guard let value = graph.value("param", in: types.value),
          let tensor = try archive.tensor(value), isVector(tensor)
        else {
          throw Failure(
            .mastersMismatch, "a buffer without a flat float32 vector",
            hint: "--weights model takes the weights as trained")
        }
        result.append((buffer, tensor))
      }
    }
    return result.sorted { $0.buffer < $1.buffer }.map(\.tensor)
  }

  /// Where parameters lie in the buckets of a rank.
  ///
  /// - Parameters:
  ///   - counts: How many elements each has, in the order of the modules.
  ///   - buckets: The vectors.
  /// - Returns: The runs of each, the last parameter first; `nil` where they do not fill the
  ///   buckets.
  static func place(
    _ counts: [Int], in buckets: [[(file: Int, tensor: TorchTensor)]]
  ) -> [[RankPart.Run]]? {
    var rest = buckets.map { FlatVector($0) }[...]
    var runs: [[RankPart.Run]] = []
    var position = 0
    for count in counts.reversed() {
      let step = GradientBuffers.alignment
      let gap = (step - position % step) % step
      if var bucket = rest.first, bucket.rest >= gap + count {
        bucket.skip(gap)
        guard let found = bucket.take(count) else { return nil }
        runs.append(found)
        position += gap + count
        rest[rest.startIndex] = bucket
        continue
      }
      // What is left of a full bucket is padding.
      guard let full = rest.first, full.rest < step else { return nil }
      rest = rest.dropFirst()
      guard var bucket = rest.first, let found = bucket.take(count) else { return nil }
      runs.append(found)
      position = count
      rest[rest.startIndex] = bucket
    }
    guard rest.count <= 1, (rest.first?.rest ?? 0) < GradientBuffers.alignment else { return nil }
    return runs
  }
}
