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
  public let dtype: TorchDType
  public let sizes: [Int]
  public let strides: [Int]
  /// The offset of the first element in the storage.
  public let storageOffset: Int
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
  /// PyTorch itself stops at this many dimensions.
  static let maximumRank = 64

  /// Checks that the view is sound and stays inside of its storage.
  ///
  /// - Throws: ``TorchFileError`` `tensor/shape` or `tensor/bounds`.
  func validate() throws(TorchFileError) {
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

  private func outside(_ last: Int) -> TorchFileError {
    TorchFileError(
      .bounds,
      "a view of shape \(sizes) with strides \(strides) at \(storageOffset) reaches element "
        + "\(last), but storage \(shortened(storage.key)) has \(storage.byteCount / dtype.size)",
      offset: storage.entry.dataOffset, entry: storage.entry.name)
  }
}
