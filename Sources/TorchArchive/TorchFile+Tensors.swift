import ByteIO
public import Pickle

extension TorchFile {
  /// Whether a value describes a tensor, be it one that can be read or not.
  public func isTensor(_ id: NodeID) -> Bool {
    graph.object(id).map { rebuildFunction($0) != nil } ?? false
  }

  /// The tensor that a value describes; `nil` when it describes none.
  ///
  /// - Throws: ``TorchFileError`` with a `tensor/`, `storage/` or `unsupported/` code.
  public func tensor(_ id: NodeID) throws(TorchFileError) -> TorchTensor? {
    guard var object = graph.object(id), var function = rebuildFunction(object) else { return nil }
    var arguments = graph.tuple(object.arguments) ?? []
    // Wrappers hold wrappers only in files that were made to be deep.
    for _ in 0..<16 {
      switch function {
      case .refused(let code):
        throw TorchFileError(
          code,
          "\(code.rawValue.drop { $0 != "/" }.dropFirst()) tensors "
            + "cannot be read: their values are not those of one storage")
      case .view: return try view(arguments, dtype: nil)
      case .typedView:
        guard arguments.count >= 7, let name = graph.global(arguments[6]) else {
          throw bad("a tensor without a type")
        }
        guard let dtype = TorchDType(name) else {
          throw TorchFileError(.unknownDType, "the type \(shortened(name.description))")
        }
        return try view(arguments, dtype: dtype)
      case .foreign: return try foreignView(arguments, of: object.callable)
      case .wrapped:
        guard let first = arguments.first, let inner = graph.object(first),
          let next = rebuildFunction(inner)
        else { throw bad("a parameter that holds no tensor") }
        object = inner
        function = next
        arguments = graph.tuple(inner.arguments) ?? []
      case .ofType:
        guard arguments.count == 4, let name = graph.global(arguments[0]),
          let inner = graph.tuple(arguments[2])
        else { throw bad("a tensor subclass without a tensor") }
        object = PickleObject(callable: arguments[0], arguments: arguments[2])
        function = RebuildFunction(name) ?? .foreign
        arguments = inner
      }
    }
    throw TorchFileError(.limitDepth, "a tensor inside of more than 16 wrappers")
  }

  /// A view by the arguments of a function that is not known.
  private func foreignView(
    _ arguments: [NodeID], of callable: NodeID
  ) throws(TorchFileError) -> TorchTensor {
    if arguments.count >= 4, isStorage(arguments[0]), areHarmless(arguments.dropFirst(4)),
      graph.int(arguments[1]) != nil, integers(arguments[2]) != nil, integers(arguments[3]) != nil,
      let storageType = storageType(arguments[0]), !storageType.isUntyped
    {
      return try view(Array(arguments.prefix(4)), dtype: nil)
    }
    let name = graph.global(callable)?.description ?? "an object"
    throw TorchFileError(
      .unknownRebuild,
      "it is made by \"\(shortened(name))\", which is not known, and its arguments are not those "
        + "of "
        + "a plain view (storage, offset, shape, strides)")
  }

  /// The class of a storage, as the pickle names it.
  private func storageType(_ id: NodeID) -> (name: GlobalName, isUntyped: Bool)? {
    guard case .persistent(let reference) = graph[id], let fields = graph.tuple(reference),
      fields.count > 1, let name = graph.global(fields[1])
    else { return nil }
    return (name, name.name == "UntypedStorage")
  }

  /// A view by the arguments of `_rebuild_tensor`, `_v2` (`dtype` nil) or `_v3`.
  private func view(_ arguments: [NodeID], dtype: TorchDType?) throws(TorchFileError) -> TorchTensor
  {
    let extra = dtype == nil ? 7 : 8
    guard arguments.count == 4 && dtype == nil || (6...extra).contains(arguments.count) else {
      throw bad("\(arguments.count) arguments")
    }
    let storage = try storage(arguments[0])
    guard let offset = graph.int(arguments[1]), let sizes = integers(arguments[2]),
      let strides = integers(arguments[3]), sizes.count == strides.count
    else { throw bad("an offset, a shape and as many strides were expected") }
    var bits = (conjugate: false, negative: false)
    if arguments.count == extra, graph[arguments[extra - 1]] != .none {
      guard let metadata = graph.entries(arguments[extra - 1]) else {
        throw bad("metadata that are not a dictionary")
      }
      for entry in metadata {
        switch (graph.text(entry.key), graph.bool(entry.value)) {
        case ("conj", let value?): bits.conjugate = value
        case ("neg", let value?): bits.negative = value
        default: throw bad("unknown metadata that could change the values")
        }
      }
    }
    let tensor = TorchTensor(
      dtype: dtype ?? storage.dtype, sizes: sizes, strides: strides, storageOffset: offset,
      storage: storage, isBigEndian: isBigEndian, isConjugate: bits.conjugate,
      isNegative: bits.negative)
    if tensor.dtype.isQuantized {
      throw TorchFileError(.quantized, "quantized codes without their scale")
    }
    if bits.conjugate, !tensor.dtype.isComplex { throw bad("a conjugate of real numbers") }
    if bits.negative, !tensor.dtype.hasSignBit { throw bad("negated values without a sign bit") }
    try tensor.validate()
    return tensor
  }

  /// The storage that a persistent id stands for:
  /// `("storage", class, key, location, element count)`.
  func storage(_ id: NodeID) throws(TorchFileError) -> TorchStorage {
    guard case .persistent(let reference) = graph[id] else {
      throw bad("a storage was expected")
    }
    func bad(_ detail: String) -> TorchFileError { TorchFileError(.badStorageID, detail) }
    guard let fields = graph.tuple(reference), fields.count == 5 || fields.count == 6,
      graph.text(fields[0]) == "storage", let type = graph.global(fields[1]),
      let key = graph.text(fields[2])
    else { throw bad("a storage id was expected") }
    guard !conflictingStorages.contains(UTF8Key(key)) else {
      throw TorchFileError(
        .storageConflict, "storage \(shortened(key)) is referred to as of two types")
    }
    guard let dtype = TorchDType.ofStorage(type) else {
      throw TorchFileError(.unknownDType, "the storage class \(shortened(type.description))")
    }
    guard let count = graph.int(fields[4]), count >= 0 else {
      throw bad("a storage without a number of elements")
    }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: dtype.size)
    guard !overflow else { throw bad("a storage of \(count) elements") }
    guard let entry = storageEntries[UTF8Key(key)] else {
      throw TorchFileError(.storageMissing, "the file has no storage \(shortened(key))")
    }
    guard entry.size == byteCount else {
      throw TorchFileError(
        .storageSize,
        "storage \(shortened(key)) has \(entry.size) bytes, but \(count) elements of "
          + "\(dtype.rawValue) take \(byteCount)",
        offset: entry.dataOffset, entry: entry.name)
    }
    let storage = TorchStorage(key: key, dtype: dtype, entry: entry)
    guard fields.count == 6, graph[fields[5]] != .none else { return storage }
    return try window(of: storage, fields[5])
  }

  /// A part of a storage, as versions before 0.4 wrote it: `(key, offset, size)` in elements.
  private func window(
    of storage: TorchStorage, _ id: NodeID
  ) throws(TorchFileError) -> TorchStorage {
    guard let fields = graph.tuple(id), fields.count == 3, let key = graph.text(fields[0]),
      let offset = graph.int(fields[1]), let count = graph.int(fields[2])
    else { throw TorchFileError(.badStorageID, "a part of a storage was expected") }
    let size = storage.dtype.size
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= storage.byteCount / size else {
      throw TorchFileError(
        .bounds,
        "a part of \(count) elements at \(offset) of storage \(shortened(storage.key)), which has "
          + "\(storage.byteCount / size)", offset: storage.entry.dataOffset)
    }
    return TorchStorage(
      key: "\(storage.key)/\(key)", dtype: storage.dtype,
      entry: StoredBytes(
        name: "\(storage.entry.name)/\(key)", storedSize: count * size, size: count * size,
        dataOffset: storage.entry.dataOffset + offset * size))
  }

  /// A tuple of integers, which may be wrapped into `torch.Size`.
  func integers(_ id: NodeID) -> [Int]? { graph.sizes(id) }

  private func bad(_ detail: String) -> TorchFileError {
    TorchFileError(.badArguments, "\(detail), where a tensor is described")
  }
}

extension TorchFile {
  /// A shape: a tuple of integers, be it wrapped into `torch.Size` or not; `nil` for anything else.
  public func sizes(_ id: NodeID) -> [Int]? { graph.sizes(id) }
}

extension PickleGraph {
  /// A shape: a tuple of integers, be it wrapped into `torch.Size` or not; `nil` for anything else.
  package func sizes(_ id: NodeID) -> [Int]? {
    var source = id
    if let object = object(id), global(object.callable) == GlobalName("torch", "Size"),
      let inner = tuple(object.arguments)?.first
    {
      source = inner
    }
    // One more than PyTorch allows, so that the rank can be reported.
    guard let items = tuple(source), items.count <= TorchTensor.maximumRank + 1 else { return nil }
    var result: [Int] = []
    for item in items {
      guard let value = int(item) else { return nil }
      result.append(value)
    }
    return result
  }
}
