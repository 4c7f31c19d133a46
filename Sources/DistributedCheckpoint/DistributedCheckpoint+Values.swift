import ByteIO
public import Diagnostics
import TorchArchive

extension DistributedCheckpoint {
  /// The bytes of a whole tensor, put together from its chunks: row by row, little-endian.
  ///
  /// Memory is that of the tensor, and once more that of its largest chunk.
  ///
  /// - Parameter tensor: One of ``tensors``.
  /// - Returns: As many bytes as its shape and type take.
  /// - Throws: `Failure` for damage, or a chunk that is not what was described.
  public func bytes(of tensor: DistributedTensor) throws(Failure) -> [UInt8] {
    let size = tensor.dtype.size
    // Deflate makes at most 1032 bytes of one: nobody can ask for memory without bytes in a file.
    for chunk in tensor.chunks where chunk.elementCount / 1032 > chunk.place.bytes.count {
      throw Failure(
        .distributedMismatch,
        "\(chunk.place.bytes.count) bytes are said to be a chunk of \(chunk.sizes)",
        file: files[chunk.place.file].name, tensor: tensor.name)
    }
    var result = [UInt8](repeating: 0, count: tensor.shape.reduce(size, *))
    let strides = ElementBox(dense: tensor.shape).strides
    for chunk in tensor.chunks where chunk.elementCount > 0 {
      let bytes = try bytes(of: chunk, in: tensor)
      // What follows each other in the chunk and in the tensor: its last axis.
      let run = chunk.sizes.last ?? 1
      var place = chunk.sizes.map { _ in 0 }
      for start in stride(from: 0, to: chunk.elementCount, by: run) {
        let first = zip(zip(chunk.offsets, place), strides).reduce(0) {
          $0 + ($1.0.0 + $1.0.1) * $1.1
        }
        result.replaceSubrange(
          first * size..<(first + run) * size, with: bytes[start * size..<(start + run) * size])
        for axis in place.indices.dropLast().reversed() {
          place[axis] += 1
          if place[axis] < chunk.sizes[axis] { break }
          place[axis] = 0
        }
      }
    }
    return result
  }

  /// The elements of a whole tensor of binary16, bfloat16 or binary32 numbers.
  ///
  /// - Parameter tensor: One of ``tensors``.
  /// - Returns: As many numbers as it has elements, row by row.
  /// - Throws: `Failure` as ``bytes(of:)``, and for another type.
  public func floats(of tensor: DistributedTensor) throws(Failure) -> [Float] {
    let formats: [TorchDType: FloatFormat] = [
      .float16: .float16, .bfloat16: .bfloat16, .float32: .float32,
    ]
    guard let format = formats[tensor.dtype] else {
      throw Failure(
        TorchFileError.Code.unknownDType.diagnostic,
        "\(tensor.dtype.rawValue); float16, bfloat16 or float32 was expected", tensor: tensor.name)
    }
    return format.floats(try bytes(of: tensor))
  }

  /// The bytes of a chunk, row by row.
  private func bytes(
    of chunk: DistributedTensor.Chunk, in tensor: DistributedTensor
  ) throws(Failure) -> [UInt8] {
    let file = try open(chunk.place.file)
    let view = try view(of: chunk, in: tensor, from: file)
    var bytes: [UInt8] = []
    do {
      bytes.reserveCapacity(view.byteCount)
      let reader = TensorReader(file)
      try reader.forEachPart(of: view) { range, buffer in bytes += buffer.bytes(range) }
      _ = try reader.verdict(view.storage, all: false)
    } catch {
      throw Failure(reading: error, file: files[chunk.place.file].name, tensor: tensor.name)
    }
    return bytes
  }
}
