import Architectures
import ByteIO
import Diagnostics
import DistributedCheckpoint
import Pickle
import SystemPackage
import TorchArchive

/// The float32 masters of distributed checkpoints, each brought to the shape of its weight.
extension CheckpointBuilder {
  mutating func readCoreMasters() throws(Failure) {
    guard let source = distributed, let form = CoreMasterForm(source) else {
      throw Failure(
        .mastersNone, "the checkpoint holds no float32 masters", file: folder.path.string,
        hint: "--weights model takes the weights as trained")
    }
    var parts = CoreParts(source, files: files)
    let names = CoreNames(source.tensors.map(\.name))
    switch form {
    case .named(let prefix): try readNamedMasters(prefix, &parts, names)
    case .listed: try readListedMasters(&parts, names)
    case .buckets, .coalesced:
      tensors = try GradientBuffers(source, form, self, &parts).masters()
      areMastersUnnamed = true
      mustMastersFit = true
    case .chained:
      throw Failure(
        .mastersOrder, "its masters are those of several optimizers (chained_0, ...)",
        file: folder.path.string, hint: "--weights model takes the weights as trained")
    case .unknownBuckets:
      throw Failure(
        .mastersOrder,
        "its masters are in the flat vectors of Megatron-core 0.6 or 0.7 "
          + "(fully_sharded_bucket_space), whose order is not known", file: folder.path.string,
        hint: "--weights model takes the weights as trained")
    }
    files = parts.files
  }

  // MARK: - By name

  private mutating func readNamedMasters(
    _ prefix: String, _ parts: inout CoreParts, _ names: CoreNames
  ) throws(Failure) {
    let model = Dictionary(
      parts.source.tensors.filter { !CoreNames.isBeside($0.name) }.map {
        (ParameterName.unwrapped($0.name), $0)
      },
      uniquingKeysWith: { first, _ in first })
    var masters: [IndexedTensor] = []
    for master in parts.source.tensors where master.name.hasPrefix(prefix) {
      let key = ParameterName.unwrapped(String(master.name.dropFirst(prefix.count)))
      guard let weight = model[key] else {
        throw Failure(
          .mastersMismatch, "the optimizer has a master of it, the model has no weight",
          file: folder.path.string, tensor: key)
      }
      guard master.dtype == .float32 else {
        throw Failure(
          .mastersMismatch, "its masters are \(master.dtype.rawValue); float32 was expected",
          file: folder.path.string, tensor: key)
      }
      let found =
        master.shape == weight.shape
        ? try parts.tensors(of: master, as: key, names: names)
        : try flattened(master, of: weight, &parts, names)
      masters += found.map { IndexedTensor(name: $0.name, shards: [$0.part]) }
    }
    tensors = try CoreParts.joiningGates(masters).sorted {
      CoreNames.precedes($0.name, $1.name)
    }
  }

  /// Masters as `fully_sharded_model_space` has them: an axis for each of the weight's, which
  /// counts the parts along it, and one with the elements of a part, row by row. Data-parallel
  /// ranks cut the last one.
  private func flattened(
    _ master: DistributedTensor, of weight: DistributedTensor, _ parts: inout CoreParts,
    _ names: CoreNames
  ) throws(Failure) -> [(name: String, part: RankPart)] {
    let grid = Array(master.shape.dropLast())
    var cell: [Int] = []
    if grid.count == weight.shape.count {
      for (size, count) in zip(weight.shape, grid) where count > 0 && size.isMultiple(of: count) {
        cell.append(size / count)
      }
    }
    guard cell.count == weight.shape.count, cell.reduce(1, *) == master.shape.last,
      !CoreNames.isStacked(weight.name) || cell.first == 1
    else {
      throw Failure(
        .mastersMismatch,
        "the shape of its masters is \(master.shape), but that of the weight \(weight.shape)",
        file: folder.path.string, tensor: weight.name,
        hint: "--weights model takes the weights as trained")
    }
    var boxes: [RankPart.Box] = []
    for chunk in master.chunks where chunk.elementCount > 0 {
      let box = try parts.box(of: chunk, in: master)
      let start = chunk.offsets.last ?? 0
      let count = chunk.sizes.last ?? 0
      let places = ElementBox.boxes(
        of: 0..<chunk.sizes.dropLast().reduce(1, *), in: Array(chunk.sizes.dropLast())
      ).flatMap { CoreParts.positions(in: $0) }
      for place in places {
        let flat = place.reduce(box.tensor) { $0.selected($1) }
        let origin = zip(zip(place, chunk.offsets), cell).map { ($0.0 + $0.1) * $1 }
        boxes += try RankPart.Box.boxes(
          of: RankPart.Run(elements: start..<start + count, file: box.file, tensor: flat, start: 0),
          in: cell, at: origin, named: master.name)
      }
    }
    guard CoreNames.isStacked(weight.name), let layers = weight.shape.first else {
      return [
        (
          names.shared(weight.name, layer: nil).name,
          RankPart(
            rank: 0, key: master.name, dtype: .float32, sizes: weight.shape, boxes: boxes)
        )
      ]
    }
    let ofLayer = Dictionary(grouping: boxes) { $0.offsets[0] }
    return (0..<layers).map { layer in
      (
        names.shared(weight.name, layer: layer).name,
        RankPart(
          rank: 0, key: CoreNames.numbered(master.name, layer), dtype: .float32,
          sizes: Array(weight.shape.dropFirst()),
          boxes: (ofLayer[layer] ?? []).map {
            RankPart.Box(
              offsets: Array($0.offsets.dropFirst()), file: $0.file, tensor: $0.tensor.selected(0))
          })
      )
    }
  }

  // MARK: - In lists

  /// `torch_dcp`: a list of matrices and one of vectors, each in the order of the model's modules,
  /// which is that of the keys.
  private mutating func readListedMasters(
    _ parts: inout CoreParts, _ names: CoreNames
  ) throws(Failure) {
    func number(_ name: String) -> [Int] {
      name.split(separator: ".").suffix(2).compactMap { Int($0) }
    }
    let lists = parts.source.tensors.filter { $0.name.hasPrefix(CoreMasterForm.list) }
      .sorted { number($0.name).lexicographicallyPrecedes(number($1.name)) }
    let weights = parts.source.tensors.filter { !CoreNames.isBeside($0.name) }
    var masters: [IndexedTensor] = []
    for isMatrix in [true, false] {
      let own = lists.filter { ($0.shape.count > 1) == isMatrix }
      let theirs = weights.filter { ($0.shape.count > 1) == isMatrix }
      guard own.count == theirs.count else {
        throw Failure(
          .mastersMismatch,
          "the optimizer has \(own.count) masters of \(theirs.count) weights of its kind",
          file: folder.path.string, hint: "--weights model takes the weights as trained")
      }
      for (master, weight) in zip(own, theirs) {
        guard master.shape == weight.shape, master.dtype == .float32 else {
          throw Failure(
            .mastersOrder,
            "\(master.name) is \(master.dtype.rawValue) \(master.shape), but by the order of the "
              + "model it belongs to a weight of \(weight.shape)", file: folder.path.string,
            tensor: weight.name, hint: "--weights model takes the weights as trained")
        }
        masters += try parts.tensors(of: master, as: weight.name, names: names).map {
          IndexedTensor(name: $0.name, shards: [$0.part])
        }
      }
    }
    tensors = try CoreParts.joiningGates(masters).sorted {
      CoreNames.precedes($0.name, $1.name)
    }
    areMastersUnnamed = true
    mustMastersFit = true
  }
}

extension RankPart.Box {
  /// A run of the elements of a cell, in row-major order, as boxes of the tensor that the cell is a
  /// part of.
  ///
  /// - Parameters:
  ///   - run: The run, by the numbers of its elements in the cell.
  ///   - cell: The sizes of the cell.
  ///   - origin: Where the cell begins in the tensor.
  ///   - name: The name of what is stored, for messages.
  /// - Returns: The boxes, in the order of the run.
  /// - Throws: `Failure` for a run that is not one of single elements next to each other.
  static func boxes(
    of run: RankPart.Run, in cell: [Int], at origin: [Int], named name: String
  ) throws(Failure) -> [RankPart.Box] {
    let count = run.elements.count
    guard run.tensor.sizes.count == 1, run.tensor.strides == [1] || run.tensor.sizes[0] < 2,
      run.start >= 0, count <= run.tensor.sizes[0] - run.start
    else {
      throw Failure(.mastersMismatch, "a part that is no flat vector", tensor: name)
    }
    let strides = ElementBox(dense: cell).strides
    return ElementBox.boxes(of: run.elements, in: cell).map { place, sizes in
      let first = zip(place, strides).reduce(0) { $0 + $1.0 * $1.1 }
      return RankPart.Box(
        offsets: zip(origin, place).map { $0 + $1 }, file: run.file,
        tensor: run.tensor.rows(
          sizes, from: run.start + first - run.elements.lowerBound))
    }
  }
}
