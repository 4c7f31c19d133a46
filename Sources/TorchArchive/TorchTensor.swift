public import ByteIO

/// A run of bytes in a file that tensors are views of.
public struct TorchStorage: Hashable, Sendable {
  /// The name under which the pickle refers to it: opaque text.
  public let key: String
  /// Its type by the class in the pickle; `uint8` when the pickle leaves it open.
  public let dtype: TorchDType
  /// Where the bytes are.
  public let entry: StoredBytes

  /// The size in bytes.
  public var byteCount: Int { entry.size }
}

/// A tensor as a view of a storage; offset and strides are in elements.
///
/// Every element that the view reaches lies inside of the storage: that was checked when it was
/// made. Strides may be zero, and dimensions of size 0 or 1 may carry any stride.
public struct TorchTensor: Hashable, Sendable {
  /// The type of the elements, which can be another one than that of the storage.
  public let dtype: TorchDType
  /// The sizes of the dimensions, at most 64; empty for a single element.
  public let sizes: [Int]
  /// For each dimension, how many elements of the storage one step is; 0 repeats an element.
  public let strides: [Int]
  /// The offset of the first element in the storage.
  public let storageOffset: Int
  /// What it is a view of; other tensors may be on the same storage.
  public let storage: TorchStorage
  /// Whether the words in the file are big-endian.
  public let isBigEndian: Bool
  /// Whether the imaginary parts are to be read with the other sign.
  public let isConjugate: Bool
  /// Whether all values are to be read with the other sign.
  public let isNegative: Bool

  /// The number of elements.
  public var elementCount: Int { sizes.reduce(1, *) }

  /// The size of the elements in bytes, when they are laid out without gaps.
  public var byteCount: Int { elementCount * dtype.size }

  /// The view as a box of elements.
  public var box: ElementBox { ElementBox(sizes: sizes, strides: strides) }

  /// A run of the elements of a tensor of one dimension and stride 1, as a tensor of its own.
  ///
  /// The run must lie inside of this tensor.
  public func run(from start: Int, count: Int) -> TorchTensor {
    precondition(
      sizes.count == 1 && start >= 0 && count >= 0 && start + count <= sizes[0],
      "outside of the tensor")
    return TorchTensor(
      dtype: dtype, sizes: [count], strides: [1], storageOffset: storageOffset + start,
      storage: storage, isBigEndian: isBigEndian, isConjugate: isConjugate, isNegative: isNegative)
  }

  /// Whether the elements are contiguous and row-major, little-endian values.
  public var isPlain: Bool {
    let box = box.collapsed
    return !isBigEndian && !isConjugate && !isNegative
      && (box.sizes.isEmpty || box.sizes.count == 1 && box.strides == [1])
  }
}

extension TorchTensor {
  /// A tensor whose elements lie in a run of bytes without gaps, row by row, little-endian.
  ///
  /// - Throws: ``TorchFileError`` for a shape that is none, or that
  ///   the bytes do not fill.
  package init(
    filling entry: StoredBytes, _ dtype: TorchDType, _ sizes: [Int]
  ) throws(TorchFileError) {
    self.init(
      dtype: dtype, sizes: sizes, strides: [], storageOffset: 0,
      storage: TorchStorage(key: entry.name, dtype: dtype, entry: entry), isBigEndian: false,
      isConjugate: false, isNegative: false)
    try validateSizes()
    guard byteCount == entry.size else {
      throw TorchFileError(
        .bounds, "a shape of \(sizes) takes \(byteCount) bytes, but there are \(entry.size)",
        offset: entry.dataOffset, entry: entry.name)
    }
    self = view(sizes: sizes, strides: ElementBox(dense: sizes).strides, at: 0)
  }

  /// The same elements where the file that the tensor was read from is a part of another one.
  ///
  /// - Parameter start: Where that part begins.
  /// - Returns: The tensor, whose storage has `@start` behind its name.
  package func moved(by start: Int) -> TorchTensor {
    let entry = storage.entry
    let moved = StoredBytes(
      name: "\(entry.name)@\(start)", compression: entry.compression, crc: entry.crc,
      storedSize: entry.storedSize, size: entry.size, dataOffset: start + entry.dataOffset)
    return TorchTensor(
      dtype: dtype, sizes: sizes, strides: strides, storageOffset: storageOffset,
      storage: TorchStorage(key: storage.key, dtype: storage.dtype, entry: moved),
      isBigEndian: isBigEndian, isConjugate: isConjugate, isNegative: isNegative)
  }

  /// Other sizes and strides on the same storage; the caller has made sure that they stay inside.
  private func view(sizes: [Int], strides: [Int], at offset: Int) -> TorchTensor {
    TorchTensor(
      dtype: dtype, sizes: sizes, strides: strides, storageOffset: offset, storage: storage,
      isBigEndian: isBigEndian, isConjugate: isConjugate, isNegative: isNegative)
  }

  /// What lies at a position of the first axis, as a tensor of one axis less.
  ///
  /// The position must be within the axis.
  package func selected(_ position: Int) -> TorchTensor {
    precondition(sizes.first.map { (0..<$0).contains(position) } ?? false, "outside of the tensor")
    return view(
      sizes: Array(sizes.dropFirst()), strides: Array(strides.dropFirst()),
      at: storageOffset + position * strides[0])
  }

  /// The beginning of each axis; the sizes must not be larger than those of the tensor.
  package func narrowed(to sizes: [Int]) -> TorchTensor {
    precondition(
      sizes.count == self.sizes.count && zip(sizes, self.sizes).allSatisfy { $0 <= $1 },
      "outside of the tensor")
    return view(sizes: sizes, strides: strides, at: storageOffset)
  }

  /// The tensor with its two axes exchanged; one of another number of axes as it is.
  package var transposed: TorchTensor {
    sizes.count == 2
      ? view(sizes: sizes.reversed(), strides: strides.reversed(), at: storageOffset) : self
  }

  /// Elements of a tensor of one dimension and stride 1 from a position on, as rows of a matrix.
  ///
  /// They must lie inside of this tensor.
  package func rows(_ sizes: [Int], from start: Int) -> TorchTensor {
    let count = sizes.reduce(1, *)
    return run(from: start, count: count).view(
      sizes: sizes, strides: ElementBox(dense: sizes).strides, at: storageOffset + start)
  }
}

extension TorchTensor {
  /// PyTorch itself stops at this many dimensions.
  static let maximumRank = 64

  /// Checks that the view is sound and stays inside of its storage.
  ///
  /// - Throws: ``TorchFileError`` `tensor/shape` or `tensor/bounds`.
  func validate() throws(TorchFileError) {
    try validateSizes()
    guard storageOffset >= 0 else {
      throw TorchFileError(.bounds, "a storage offset of \(storageOffset)")
    }
    if sizes.contains(0) { return }
    var last = storageOffset
    for (size, stride) in zip(sizes, strides) where size > 1 {
      guard stride >= 0 else { throw TorchFileError(.badShape, "a negative stride: \(stride)") }
      let (distance, wide) = stride.multipliedReportingOverflow(by: size - 1)
      let (sum, far) = last.addingReportingOverflow(distance)
      guard !wide, !far else { throw outside(.max) }
      last = sum
    }
    guard last < storage.byteCount / dtype.size else { throw outside(last) }
  }

  /// Checks that the sizes are those of a tensor whose bytes can be counted.
  private func validateSizes() throws(TorchFileError) {
    guard sizes.count <= TorchTensor.maximumRank else {
      throw TorchFileError(
        .badShape, "\(sizes.count) dimensions; PyTorch knows \(TorchTensor.maximumRank)")
    }
    guard sizes.allSatisfy({ $0 >= 0 }) else {
      throw TorchFileError(.badShape, "a negative size in \(sizes)")
    }
    // Products are formed without the zeros, so that nothing can hide behind one.
    var elements = dtype.size
    for size in sizes where size > 0 {
      let (product, overflow) = elements.multipliedReportingOverflow(by: size)
      guard !overflow else { throw TorchFileError(.badShape, "a size of \(sizes) elements") }
      elements = product
    }
  }

  private func outside(_ last: Int) -> TorchFileError {
    TorchFileError(
      .bounds,
      "a view of shape \(sizes) with strides \(strides) at \(storageOffset) reaches element "
        + "\(last), but storage \(shortened(storage.key)) has \(storage.byteCount / dtype.size)",
      offset: storage.entry.dataOffset, entry: storage.entry.name)
  }
}
