import ByteIO

extension TorchFile {
  /// A tensor of a file with its name.
  public struct Tensor: Hashable, Sendable {
    /// The keys, positions and attributes on the way to it, joined by dots.
    public let name: String
    /// The same, step by step, which no two tensors share.
    public let path: [NamedTensor.Step]
    /// Where its elements are.
    public let view: TorchTensor

    /// The type of the elements, in memory as in the file.
    public var dtype: TorchDType { view.dtype }
    /// The sizes of the dimensions; empty for a single element.
    public var shape: [Int] { view.sizes }
  }

  /// All tensors of the file, in the order of the pickle.
  ///
  /// ```swift
  /// let file = try TorchFile(opening: "model.pt")
  /// for tensor in try file.tensors() { print(tensor.name, tensor.dtype, tensor.shape) }
  /// ```
  ///
  /// - Returns: The tensors; none of their elements is read.
  /// - Throws: ``TorchFileError`` for one that cannot be read.
  public func tensors() throws(TorchFileError) -> [Tensor] {
    var result: [Tensor] = []
    for named in try namedTensors() {
      guard let view = try tensor(named.node) else { continue }
      result.append(Tensor(name: named.name, path: named.path, view: view))
    }
    return result
  }

  /// The first tensor of a name.
  ///
  /// - Throws: ``TorchFileError`` `tensor/not-found` when there is none, or what reading it throws.
  public func tensor(named name: String) throws(TorchFileError) -> Tensor {
    for named in try namedTensors() where UTF8Key(named.name) == UTF8Key(name) {
      if let view = try tensor(named.node) {
        return Tensor(name: name, path: named.path, view: view)
      }
    }
    throw TorchFileError(.tensorNotFound, "there is no tensor \"\(shortened(name))\"")
  }

  /// The elements of a tensor, row-major and little-endian. Large ones had better be read part by
  /// part, by ``TensorReader/forEachPart(of:_:)``.
  ///
  /// ```swift
  /// let bytes = try file.bytes(of: file.tensor(named: "lm_head.weight"))
  /// ```
  ///
  /// - Throws: ``TorchFileError`` or `FileError`; a checksum that was recorded is compared.
  public func bytes(of tensor: Tensor) throws -> [UInt8] {
    let reader = TensorReader(self, windowSize: ByteBuffer.passSize)
    var result: [UInt8] = []
    try reader.forEachPart(of: tensor.view) { range, buffer in result += buffer.bytes(range) }
    _ = try reader.verdict(tensor.view.storage, all: true)
    return result
  }

  /// The elements of a tensor of floating-point numbers, in row-major order, as binary32.
  ///
  /// - Throws: ``TorchFileError`` `tensor/dtype` for any other type, or what reading throws.
  public func floats(of tensor: Tensor) throws -> [Float] {
    let format: FloatFormat
    switch tensor.dtype {
    case .float16: format = .float16
    case .bfloat16: format = .bfloat16
    case .float32: format = .float32
    default:
      throw TorchFileError(
        .unknownDType, "\(tensor.dtype.rawValue); float16, bfloat16 or float32 was expected")
    }
    return format.floats(try bytes(of: tensor))
  }
}
