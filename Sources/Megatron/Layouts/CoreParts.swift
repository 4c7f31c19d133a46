import Architectures
import ByteIO
import Diagnostics
import DistributedCheckpoint
import SystemPackage
import TorchArchive

/// Makes the tensors of a model of the chunks of a distributed checkpoint. Only the chunks that are
/// asked for are opened.
struct CoreParts {
  let source: DistributedCheckpoint
  /// The files that hold what was asked for.
  private(set) var files: [SourceFile] = []
  /// Where a file of the source is in ``files``.
  private var positions: [Int: Int] = [:]
  private var digests: [Int: SHA256Hasher] = [:]
  private var names: Set<String> = []
  /// How many tensors were made of stacked ones so far.
  private var stackedBlocks = 0
  /// Of all stacked tensors together; those of a model of a thousand layers are a fifth of it.
  private static let maximumBlocks = 1 << 16
  /// The file that was read last, and is likely to be read next.
  private var open: (position: Int, file: InputFile)?

  init(_ source: DistributedCheckpoint, files: [SourceFile] = []) {
    self.source = source
    self.files = files
    for (position, file) in source.files.enumerated() {
      if let known = files.firstIndex(where: { $0.name == file.name }) {
        positions[position] = known
      }
    }
  }

  /// Notes a name.
  ///
  /// - Returns: Whether it was not there before.
  mutating func isNew(_ name: String) -> Bool { names.insert(name).inserted }

  /// The model's tensors under one key: one, or one for each block where they are stacked.
  ///
  /// - Parameters:
  ///   - tensor: A tensor of the source.
  ///   - key: The key of the weight that it is, or is the master of; by default its own.
  ///   - names: What the keys are called.
  /// - Returns: Each with the name that all layouts share.
  /// - Throws: `Failure` for a chunk that is not what was described.
  mutating func tensors(
    of tensor: DistributedTensor, as key: String? = nil, names: CoreNames
  ) throws(Failure) -> [(name: String, part: RankPart)] {
    let key = key ?? tensor.name
    guard CoreNames.isStacked(key), let layers = tensor.shape.first else {
      let (name, isTransposed) = names.shared(key, layer: nil)
      var boxes: [RankPart.Box] = []
      for chunk in tensor.chunks where chunk.elementCount > 0 {
        boxes.append(try box(of: chunk, in: tensor))
      }
      let whole = RankPart(
        rank: 0, key: tensor.name, dtype: tensor.dtype, sizes: tensor.shape, boxes: boxes)
      return [(name, isTransposed ? whole.transposed : whole)]
    }
    // Nothing in the file bears out the number of empty blocks.
    stackedBlocks += min(layers, CoreParts.maximumBlocks + 1)
    guard layers == 0 || tensor.shape.allSatisfy({ $0 > 0 }),
      stackedBlocks <= CoreParts.maximumBlocks
    else {
      throw Failure(
        .tensorUnexpectedShape, "its shape is \(tensor.shape), one of \(layers) blocks",
        file: source.folder.string, tensor: tensor.name)
    }
    var ofLayer = [[RankPart.Box]](repeating: [], count: layers)
    for chunk in tensor.chunks where chunk.elementCount > 0 {
      let box = try box(of: chunk, in: tensor)
      for inner in 0..<chunk.sizes[0] {
        ofLayer[chunk.offsets[0] + inner].append(
          RankPart.Box(
            offsets: Array(box.offsets.dropFirst()), file: box.file,
            tensor: box.tensor.selected(inner)))
      }
    }
    return ofLayer.enumerated().map { layer, boxes in
      (
        names.shared(key, layer: layer).name,
        RankPart(
          rank: 0, key: CoreNames.numbered(tensor.name, layer), dtype: tensor.dtype,
          sizes: Array(tensor.shape.dropFirst()), boxes: boxes)
      )
    }
  }

  /// Puts a gate and its upward projection together, which some containers have under keys of their
  /// own (`weight_w` and `weight_v`; Megatron-core `transformer/mlp.py`,
  /// `apply_swiglu_sharded_factory`).
  ///
  /// - Throws: `Failure` for one without the other, or of another shape.
  static func joiningGates(_ tensors: [IndexedTensor]) throws(Failure) -> [IndexedTensor] {
    var ups: [String: RankPart] = [:]
    for tensor in tensors where tensor.name.hasSuffix("_v") {
      ups[String(tensor.name.dropLast(2))] = tensor.shards.first
    }
    guard !ups.isEmpty else { return tensors }
    var result: [IndexedTensor] = []
    for tensor in tensors {
      let name = String(tensor.name.dropLast(2))
      if tensor.name.hasSuffix("_v"), tensors.contains(where: { $0.name == "\(name)_w" }) {
        continue
      }
      guard tensor.name.hasSuffix("_w"), let gate = tensor.shards.first else {
        result.append(tensor)
        continue
      }
      guard let up = ups[name], up.sizes == gate.sizes, up.dtype == gate.dtype,
        let rows = gate.sizes.first
      else {
        throw Failure(
          .checkpointMissingTensor, "its upward projection (\"\(name)_v\") is not of its shape",
          tensor: tensor.name)
      }
      let moved = up.boxes.map { box in
        RankPart.Box(
          offsets: [box.offsets[0] + rows] + box.offsets.dropFirst(), file: box.file,
          tensor: box.tensor)
      }
      result.append(
        IndexedTensor(
          name: name,
          shards: [
            RankPart(
              rank: 0, key: "\(gate.key), \(up.key)", dtype: gate.dtype,
              sizes: [2 * rows] + gate.sizes.dropFirst(), boxes: gate.boxes + moved)
          ]))
    }
    return result
  }

  /// All positions of a box.
  static func positions(in box: (origin: [Int], sizes: [Int])) -> [[Int]] {
    zip(box.origin, box.sizes).reduce([[]]) { places, axis in
      places.flatMap { place in (axis.0..<axis.0 + axis.1).map { place + [$0] } }
    }
  }

  /// A chunk where it lies.
  mutating func box(
    of chunk: DistributedTensor.Chunk, in tensor: DistributedTensor
  ) throws(Failure) -> RankPart.Box {
    let file = try file(chunk.place.file)
    let view = try source.view(of: chunk, in: tensor, from: file)
    // A view can repeat elements, and so claim any size; a chunk is never larger than its storage.
    guard view.byteCount <= view.storage.byteCount else {
      throw Failure(
        TorchFileError.Code.limitOutput.diagnostic,
        "its \(view.byteCount) bytes are a view of a storage of \(view.storage.byteCount)",
        file: source.files[chunk.place.file].name, tensor: tensor.name)
    }
    return RankPart.Box(
      offsets: chunk.offsets, file: note(chunk.place.file, view), tensor: view)
  }

  private mutating func file(_ position: Int) throws(Failure) -> InputFile {
    if let open, open.position == position { return open.file }
    let file = try source.open(position)
    open = (position, file)
    return file
  }

  /// Notes that a file holds a tensor.
  ///
  /// - Returns: Its position in ``files``.
  mutating func note(_ position: Int, _ tensor: TorchTensor) -> Int {
    let known = source.files[position]
    let entry = tensor.storage.entry
    let isArchive = source.form == .torch
    var digest = digests[position] ?? SHA256Hasher()
    digest.update(
      Array("\(entry.name)\u{0}\(entry.dataOffset) \(entry.size) \(entry.crc ?? 0)\n".utf8))
    digests[position] = digest
    // Where no checksum is recorded, a file is known by its size and the time of its last change.
    let text =
      isArchive ? digest.hexDigest() : "modified \(known.identity.modified)"
    let file = SourceFile(
      path: source.path(of: position), name: known.name, identity: known.identity,
      directoryDigest: text, isPickleVerified: isArchive, stage: nil)
    if let found = positions[position] {
      files[found] = file
      return found
    }
    files.append(file)
    positions[position] = files.count - 1
    return files.count - 1
  }
}
