import Architectures
import ByteIO
import Diagnostics
import Megatron
import SystemPackage
import TorchArchive

/// Tensor-parallel ranks that hold the same partition. Partitions are drawn and trained apart, so
/// that two never agree bit for bit: where they do, one rank's file stands in the place of
/// another's, as `deepspeed_to_megatron.py` wrote them before deepspeedai/Megatron-DeepSpeed#224,
/// and as copies and links do. Constant tensors, such as biases of zeros, aside.
enum DuplicatedShards {
  /// Two partitions that agree.
  struct Pair: Hashable, Sendable {
    let tensor: String
    /// The positions of the files in the index.
    let files: [Int]
    let ranks: [Int]
  }

  /// Looks for partitions that agree, by the checksums that the archives record, or by their first
  /// bytes where these do not tell; where two do, their values are read to make sure.
  ///
  /// - Parameters:
  ///   - model: The model as it was recognised.
  ///   - accepted: Whether they are taken all the same.
  /// - Returns: A warning where they are.
  /// - Throws: `Failure` 65.
  static func check(
    _ model: Recognition, accepted: Bool
  ) throws(Failure) -> Diagnostic? {
    let index = model.checkpoint
    if let warning = try checkMerged(model, accepted: accepted) { return warning }
    let found = try pairs(model)
    guard let first = found.first else { return nil }
    let names = first.files.map { index.files[$0].name }
    let what =
      "tensor-parallel ranks \(first.ranks[0]) and \(first.ranks[1]) hold the same partition of "
      + "\(found.count == 1 ? "a tensor" : "\(found.count) tensors") in \(names[0]) and "
      + "\(names[1]), which "
      + "two ranks never do after training: the file of one stands in the place of the other's"
    if accepted {
      return Diagnostic(.checkpointDuplicatedShards, what, tensor: first.tensor)
    }
    throw error(what, file: index.folder.path.appending(names[1]), tensor: first.tensor)
  }

  /// Looks for the same in tensors that were put together already: their halves, thirds and so on
  /// along the rows, as many as there were ranks.
  private static func checkMerged(
    _ model: Recognition, accepted: Bool
  ) throws(Failure) -> Diagnostic? {
    let index = model.checkpoint
    guard index.mergedRanks > 1 else { return nil }
    let partitioned = Set(model.rules.filter { $0.rule.partition.isByRows }.map(\.source))
    for tensor in index.tensors where partitioned.contains(tensor.name) {
      guard let shard = tensor.shards.first, shard.isContiguous,
        let run = shard.firstRun(in: index), let rows = shard.sizes.first, rows > 0,
        rows.isMultiple(of: index.mergedRanks), run.bytes.isMultiple(of: index.mergedRanks)
      else { continue }
      let bytes = run.bytes / index.mergedRanks
      let parts = (0..<index.mergedRanks).map { rank in
        Run(
          path: run.path, entry: run.entry, start: run.start + rank * bytes, bytes: bytes,
          size: run.size)
      }
      guard try firstPair(parts, marks: try fingerprints(parts), whole: true) != nil else {
        continue
      }
      let what =
        "it was put together from \(index.mergedRanks) tensor-parallel ranks, two of which held "
        + "the same "
        + "partition, which two ranks never do after training"
      if accepted {
        return Diagnostic(.checkpointDuplicatedShards, what, tensor: tensor.name)
      }
      throw error(what, file: run.path, tensor: tensor.name)
    }
    return nil
  }

  /// All pairs that agree: the first of each tensor.
  static func pairs(_ model: Recognition) throws(Failure) -> [Pair] {
    let index = model.checkpoint
    guard index.tensorParallel > 1 else { return [] }
    let partitioned = Set(model.rules.filter(\.rule.partition.isDivided).map(\.source))
    var result: [Pair] = []
    for tensor in index.tensors where partitioned.contains(tensor.name) {
      let shards = tensor.shards
      let runs = shards.map { $0.firstRun(in: index) }
      // Checksums are those of storages: the same partition in a larger one has another, and old
      // files have none.
      let pair =
        shards.allSatisfy(\.isToldByChecksum)
        ? try firstPair(runs, marks: shards.map { Mark($0) }, whole: false)
        : try firstPair(runs, marks: try fingerprints(runs), whole: true)
      if let (one, two) = pair.map({ (shards[$0.0], shards[$0.1]) }) {
        result.append(
          Pair(tensor: tensor.name, files: [one.file, two.file], ranks: [one.rank, two.rank]))
      }
    }
    return result
  }

  /// The first two runs with one mark that agree in their values, by their positions.
  private static func firstPair<M: Hashable>(
    _ runs: [Run?], marks: [M?], whole: Bool
  ) throws(Failure) -> (Int, Int)? {
    var seen: [M: [Int]] = [:]
    for (position, mark) in marks.enumerated() {
      guard let mark, let run = runs[position] else { continue }
      for other in seen[mark, default: []] {
        if let first = runs[other], try areTheSame(first, run, whole: whole) {
          return (other, position)
        }
      }
      seen[mark, default: []].append(position)
    }
    return nil
  }

  /// The first bytes of each run.
  private static func fingerprints(_ runs: [Run?]) throws(Failure) -> [[UInt8]?] {
    let buffer = ByteBuffer(count: 256)
    var result: [[UInt8]?] = []
    for run in runs {
      guard let run else {
        result.append(nil)
        continue
      }
      do {
        let count = min(run.bytes, buffer.count)
        let reader = StoredBytesReader(
          run.entry, in: try InputFile(opening: run.path), checksums: false)
        try reader.read(at: run.start, into: buffer, 0..<count)
        result.append(buffer.bytes(0..<count))
      } catch {
        throw Failure(reading: error, file: run.path)
      }
    }
    return result
  }

  /// What two shards share if they hold the same bytes, as far as that is recorded.
  private struct Mark: Hashable {
    let crc: UInt32
    let sizes: [Int]
    let strides: [Int]

    init?(_ shard: RankPart) {
      guard case .whole(_, let tensor) = shard.content, tensor.elementCount > 1,
        let crc = tensor.storage.entry.crc
      else { return nil }
      self.crc = crc
      sizes = tensor.sizes
      strides = tensor.strides
    }
  }

  /// Bytes of one rank that may be those of another one, too.
  struct Run {
    let path: FilePath
    let entry: StoredBytes
    /// The first byte in the entry.
    let start: Int
    let bytes: Int
    /// The size of an element.
    let size: Int
  }

  /// Whether two runs hold the same bytes, which are not all one element repeated. Runs that begin
  /// with a constant are read on until they are one no more.
  ///
  /// - Parameters:
  ///   - a: One run.
  ///   - b: The other one.
  ///   - whole: Whether all bytes are compared, as where no checksum says that they agree.
  /// - Returns: Whether they agree.
  /// - Throws: `Failure` when a file cannot be read.
  static func areTheSame(
    _ a: Run, _ b: Run, whole: Bool = false
  ) throws(Failure) -> Bool {
    guard a.bytes == b.bytes, a.bytes > a.size else { return false }
    let buffers = (ByteBuffer(count: 1 << 16), ByteBuffer(count: 1 << 16))
    do {
      let readers = (
        StoredBytesReader(a.entry, in: try InputFile(opening: a.path)),
        StoredBytesReader(b.entry, in: try InputFile(opening: b.path))
      )
      var first: [UInt8] = []
      var isConstant = true
      for start in stride(from: 0, to: a.bytes, by: buffers.0.count) {
        let count = min(buffers.0.count, a.bytes - start)
        try readers.0.read(at: a.start + start, into: buffers.0, 0..<count)
        try readers.1.read(at: b.start + start, into: buffers.1, 0..<count)
        guard buffers.0.firstDifference(0..<count, from: buffers.1, at: 0) == nil else {
          return false
        }
        guard isConstant else { continue }
        let bytes = buffers.0.bytes(0..<count)
        if first.isEmpty { first = Array(bytes.prefix(a.size)) }
        isConstant = stride(from: 0, through: count - a.size, by: a.size).allSatisfy {
          bytes[$0..<$0 + a.size] == first[...]
        }
        if !isConstant, !whole { return true }
      }
      return !isConstant
    } catch {
      throw Failure(reading: error, file: a.path)
    }
  }

  /// The error for two partitions that agree.
  static func error(
    _ what: String, file: FilePath, tensor: String
  ) -> Failure {
    Failure(
      .checkpointDuplicatedShards, what, file: file.string, tensor: tensor,
      hint: "copy the files of both ranks from the source again (tools such as "
        + "deepspeed_to_megatron.py wrote rank 0 for every rank); --accept-duplicated-shards "
        + "takes them "
        + "as they are")
  }
}

extension RankPart {
  /// Whether its elements are contiguous.
  fileprivate var isContiguous: Bool {
    guard case .whole(_, let tensor) = content else { return false }
    return tensor.box.collapsed.extent == tensor.elementCount
  }

  /// Whether a recorded checksum of its storage is one of its elements.
  fileprivate var isToldByChecksum: Bool {
    guard case .whole(_, let tensor) = content else { return false }
    return tensor.storageOffset == 0 && tensor.storage.entry.crc != nil
      && tensor.elementCount * tensor.dtype.size == tensor.storage.entry.size
  }

  /// The first bytes of a shard that lie together, and where; a view that is spread counts as far
  /// as its span.
  fileprivate func firstRun(in index: Checkpoint) -> DuplicatedShards.Run? {
    switch content {
    case .whole(let file, let tensor):
      let size = tensor.dtype.size
      return DuplicatedShards.Run(
        path: index.files[file].path, entry: tensor.storage.entry,
        start: tensor.storageOffset * size, bytes: tensor.box.collapsed.extent * size, size: size)
    // It is stored whole, so there are no other ranks.
    case .boxes: return nil
    case .runs(let runs):
      guard let run = runs.first else { return nil }
      let size = run.tensor.dtype.size
      return DuplicatedShards.Run(
        path: index.files[run.file].path, entry: run.tensor.storage.entry,
        start: (run.tensor.storageOffset + run.start) * size, bytes: run.elements.count * size,
        size: size)
    }
  }
}
