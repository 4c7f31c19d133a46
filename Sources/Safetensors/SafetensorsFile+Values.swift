import ByteIO
public import SystemPackage

extension SafetensorsFile {
  /// The tensor of a name.
  ///
  /// - Throws: ``SafetensorsError`` `safetensors/tensor-not-found` when there is none.
  public func tensor(named name: String) throws(SafetensorsError) -> SafetensorsTensor {
    guard let found = header.tensors.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
      throw SafetensorsError(.tensorNotFound, "there is no tensor of this name", tensor: name)
    }
    return found
  }

  /// The elements of a tensor, row-major and little-endian.
  ///
  /// ```swift
  /// let model = try SafetensorsFile(opening: "model.safetensors")
  /// let words = try model.bytes(of: model.tensor(named: "transformer.wte.weight"))
  /// ```
  ///
  /// - Throws: `FileError`.
  public func bytes(of tensor: SafetensorsTensor) throws -> [UInt8] {
    try file.read(at: dataStart + tensor.dataOffsets.lowerBound, count: tensor.dataOffsets.count)
  }

  /// The elements of a tensor of floating-point numbers, in row-major order, as binary32.
  ///
  /// - Throws: ``SafetensorsError`` `safetensors/dtype` for any other type, or `FileError`.
  public func floats(of tensor: SafetensorsTensor) throws -> [Float] {
    let format: FloatFormat
    switch tensor.dtype {
    case .f16: format = .float16
    case .bf16: format = .bfloat16
    case .f32: format = .float32
    default:
      throw SafetensorsError(
        .unexpectedDType, "\(tensor.dtype.rawValue); F16, BF16 or F32 was expected",
        tensor: tensor.name)
    }
    return format.floats(try bytes(of: tensor))
  }
}

extension SafetensorsFile {
  /// A tensor to write.
  public struct NewTensor: Hashable, Sendable {
    /// Any text but `__metadata__`; each tensor of a file needs one of its own.
    public let name: String
    /// The type of the elements in ``bytes``.
    public let dtype: DType
    /// The sizes of the dimensions; empty for a single element.
    public let shape: [Int]
    /// Row-major, little-endian.
    public let bytes: [UInt8]

    /// A tensor of any type.
    public init(_ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.bytes = bytes
    }

    /// A tensor of binary32 numbers.
    public init(_ name: String, _ shape: [Int], _ values: [Float]) {
      self.init(
        name, .f32, shape,
        values.flatMap { value in
          (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) }
        })
    }
  }

  /// Writes a file that did not exist, laid out as the reference implementation does.
  ///
  /// ```swift
  /// try SafetensorsFile.write([.init("w", [2, 2], [1, 2, 3, 4])], to: "w.safetensors")
  /// ```
  ///
  /// The file appears whole or not at all.
  ///
  /// - Parameters:
  ///   - tensors: What it holds, in any order.
  ///   - metadata: Texts by keys; transformers looks for `format`.
  ///   - path: Where it is written.
  /// - Throws: ``SafetensorsError`` for a name that is there twice or a shape that does not fit the
  ///   bytes, `FileError` when the file exists or cannot be written.
  public static func write(
    _ tensors: [NewTensor], metadata: [String: String]? = ["format": "pt"], to path: FilePath
  ) throws {
    var byName: [UTF8Key: NewTensor] = [:]
    for tensor in tensors {
      guard byName.updateValue(tensor, forKey: UTF8Key(tensor.name)) == nil,
        tensor.name != "__metadata__"
      else {
        throw SafetensorsError(
          .invalidHeader, "two tensors have this name, or it is reserved", tensor: tensor.name)
      }
      let bits = tensor.shape.reduce(Optional(tensor.dtype.bits)) { product, size in
        guard let product, size >= 0 else { return nil }
        let (next, overflow) = product.multipliedReportingOverflow(by: size)
        return overflow ? nil : next
      }
      guard let bits, bits.isMultiple(of: 8), bits / 8 == tensor.bytes.count else {
        throw SafetensorsError(
          .sizeMismatch,
          "\(tensor.bytes.count) bytes for shape \(tensor.shape) of \(tensor.dtype.rawValue)",
          tensor: tensor.name)
      }
    }
    let header = SafetensorsHeader(
      laying: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata)
    let start = header.serialized
    guard start.count - 8 <= SafetensorsHeader.maximumSize else {
      throw SafetensorsError(
        .headerTooLarge,
        "a header of \(start.count - 8) bytes; readers take \(SafetensorsHeader.maximumSize)")
    }
    let name = path.lastComponent?.string ?? ""
    let temporary = path.removingLastComponent().appending(".\(name).\(Process.identifier).part")
    let file = try OutputFile(creating: temporary)
    do {
      try file.write(start, at: 0)
      for tensor in header.tensors {
        guard let bytes = byName[UTF8Key(tensor.name)]?.bytes else { continue }
        try file.write(bytes, at: start.count + tensor.dataOffsets.lowerBound)
      }
      try file.finish()
      try FileSystem.renameWithoutReplacing(temporary, to: path)
    } catch {
      try? FileSystem.removeFile(temporary)
      throw error
    }
  }
}
