public import ByteIO

/// Reads the values of tensors: row-major, little-endian, conjugate and negative bits resolved.
public final class TensorReader {
  private let file: InputFile
  private let expansion: Int
  private let crc: Bool
  /// Bytes of the storage.
  private let window: ByteBuffer
  /// Elements in row-major order.
  private let dense: ByteBuffer
  /// Storages by where their bytes begin: in a file of many archives, keys are not their own.
  private var readers: [Int: StoredBytesReader] = [:]
  /// A storage that is held as a whole, because it is read in another order than its own.
  private var held: (start: Int, bytes: ByteBuffer)?
  /// The size up to which a storage is held as a whole.
  private static let holdSize = 128 << 20
  /// Bytes of views that are larger than their storages.
  private var expanded = 0

  /// A reader of the tensors of `file`.
  ///
  /// - Parameters:
  ///   - file: The open file.
  ///   - crc: Whether CRCs are computed along the way.
  ///   - windowSize: How many bytes of a storage are held at a time.
  public convenience init(_ file: TorchFile, crc: Bool = true, windowSize: Int = 8 << 20) {
    self.init(file.file, expansion: file.limits.expansion, crc: crc, windowSize: windowSize)
  }

  /// A reader of tensors that were found in a file before.
  package init(
    _ file: InputFile, expansion: Int = TorchLimits().expansion, crc: Bool = true,
    windowSize: Int = 8 << 20
  ) {
    self.file = file
    self.expansion = expansion
    self.crc = crc
    window = ByteBuffer(count: windowSize)
    dense = ByteBuffer(count: ByteBuffer.passSize)
  }

  /// Calls `body` with all elements of a tensor in order, a part at a time.
  ///
  /// Memory does not depend on the size of the tensor. A storage that is deflated, or whose view is
  /// spread over it, such as a transposed one, is held in memory up to 128 MiB; a larger one is
  /// read in as many passes as it takes.
  ///
  /// - Throws: ``TorchFileError`` `limit/output` for a view that is far larger than its storage, or
  ///   what reading throws.
  public func forEachPart(
    of tensor: TorchTensor, _ body: (_ range: Range<Int>, _ buffer: ByteBuffer) throws -> Void
  ) throws {
    let count = tensor.elementCount
    guard count > 0 else { return }
    expanded += max(0, tensor.byteCount - tensor.storage.byteCount)
    guard (expanded - 1 << 30) / expansion <= tensor.storage.byteCount else {
      throw TorchFileError(
        .limitOutput,
        "a view of \(tensor.byteCount) bytes on a storage of \(tensor.storage.byteCount)",
        entry: tensor.storage.entry.name)
    }
    let reader = reader(tensor.storage)
    let box = tensor.box.collapsed
    let isSpread =
      box.extent > window.count / tensor.dtype.size && box.strides != [1]
      || tensor.storage.entry.compression == .deflated
    try hold(isSpread ? tensor.storage : nil, reader)
    try visit(box, at: tensor.storageOffset, tensor, reader, body)
  }

  /// Reads a whole storage into memory, unless it is too large or there already.
  private func hold(_ storage: TorchStorage?, _ reader: StoredBytesReader) throws {
    guard let storage, storage.byteCount <= TensorReader.holdSize else {
      held = nil
      return
    }
    let start = storage.entry.dataOffset
    guard held?.start != start else { return }
    held = nil
    let bytes = ByteBuffer(count: storage.byteCount)
    try reader.read(at: 0, into: bytes, 0..<storage.byteCount)
    held = (start, bytes)
  }

  /// Compares the CRC of a storage with the recorded one, as far as it was read.
  ///
  /// - Parameters:
  ///   - storage: A storage of the file.
  ///   - all: Whether what was not read is read for that.
  /// - Returns: What is known of its CRC.
  /// - Throws: ``TorchFileError`` `zip/crc-mismatch` or `zip/inflate`, or a `FileError`.
  public func verdict(_ storage: TorchStorage, all: Bool) throws -> StoredBytesReader.Verdict {
    let reader = reader(storage)
    if all { try reader.readRest(through: window) }
    return try reader.verdict()
  }

  private func reader(_ storage: TorchStorage) -> StoredBytesReader {
    if let known = readers[storage.entry.dataOffset] { return known }
    let reader = StoredBytesReader(storage.entry, in: file, checksums: crc)
    readers[storage.entry.dataOffset] = reader
    return reader
  }

  /// Walks over a box in parts that fit into the buffers.
  private func visit(
    _ box: ElementBox, at offset: Int, _ tensor: TorchTensor, _ reader: StoredBytesReader,
    _ body: (Range<Int>, ByteBuffer) throws -> Void
  ) throws {
    let size = tensor.dtype.size
    let whole = StridedCopy(
      source: offset, target: 0, sizes: box.sizes, sourceStrides: box.strides,
      targetStrides: box.strides)
    try whole.forEachPart(
      count: dense.count / size, sourceExtent: held == nil ? window.count / size : .max
    ) { part in
      let box = ElementBox(sizes: part.sizes, strides: part.sourceStrides)
      if let held {
        dense.gather(box, from: held.bytes, at: part.source * size, elementSize: size, to: 0)
      } else {
        try reader.read(at: part.source * size, into: window, 0..<box.extent * size)
        dense.gather(box, from: window, at: 0, elementSize: size, to: 0)
      }
      resolve(part.count, tensor)
      try body(0..<part.count * size, dense)
    }
  }

  private func resolve(_ count: Int, _ tensor: TorchTensor) {
    let (word, size) = (tensor.dtype.wordSize, tensor.dtype.size)
    if tensor.isBigEndian, word > 1 {
      dense.swapBytes(count * (size / word), wordSize: word, at: 0)
    }
    if tensor.isNegative { dense.negate(count * (size / word), wordSize: word, step: word, at: 0) }
    if tensor.isConjugate { dense.negate(count, wordSize: word, step: size, at: word) }
    if tensor.dtype == .bool { dense.normalizeBooleans(count, at: 0) }
  }
}
