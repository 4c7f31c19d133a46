import ByteIO
import Diagnostics
import TorchArchive

/// Compares some masters with their weights, bit for bit, before a conversion relies on the order
/// in which they were taken from a flat vector. The conversion compares all of them.
struct MasterProbe {
  private let checkpoint: CheckpointBuilder
  /// Vectors are compared; matrices, and longer vectors, are left to the conversion.
  private static let longest = 1 << 16
  private static let mostTensors = 64

  init(_ checkpoint: CheckpointBuilder) { self.checkpoint = checkpoint }

  /// The first weight that is not its rounded master; `nil` where all that are compared are equal.
  ///
  /// - Throws: `Failure` for a file that cannot be read.
  func fault(of masters: [IndexedTensor]) throws(Failure) -> Failure? {
    var left = MasterProbe.mostTensors
    for (weight, master) in zip(checkpoint.tensors, masters) {
      guard let stored = weight.shards.first, let own = master.shards.first,
        stored.sizes.count == 1, stored.sizes[0] <= MasterProbe.longest, left > 0,
        let format = MasterProbe.formats[stored.dtype]
      else { continue }
      left -= 1
      let masters = try bytes(own)
      let rounded = ByteBuffer(count: stored.sizes[0] * format.size)
      _ = rounded.convert(
        stored.sizes[0], from: ByteBuffer(masters), at: 0, as: .float32, to: format, at: 0)
      guard rounded.bytes(0..<rounded.count) == (try bytes(stored)) else {
        return Failure(
          .mastersOrder, "the masters of \(weight.name), rounded, are not the weights")
      }
    }
    return nil
  }

  private static let formats: [TorchDType: FloatFormat] = [
    .float16: .float16, .bfloat16: .bfloat16, .float32: .float32,
  ]

  /// The bytes of a vector.
  private func bytes(_ part: RankPart) throws(Failure) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: part.sizes.reduce(part.dtype.size, *))
    for box in part.boxes {
      let source = checkpoint.files[box.file]
      do {
        let file = try InputFile(opening: source.path, asItWas: source.identity)
        var next = (box.offsets.first ?? 0) * part.dtype.size
        try TensorReader(file).forEachPart(of: box.tensor) { range, buffer in
          let end = min(next + range.count, result.count)
          result.replaceSubrange(next..<end, with: buffer.bytes(range).prefix(end - next))
          next = end
        }
      } catch {
        throw Failure(reading: error, file: source.path)
      }
    }
    return result
  }
}
