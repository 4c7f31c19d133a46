import Architectures
import ByteIO
import Diagnostics
import Pickle
import SystemPackage
import TorchArchive

extension RotaryTable {
  /// The table of angles in the arguments of a state (`args.rotary_pos_emb`, [positions, 1, 1,
  /// channels]; deepspeedai/Megatron-DeepSpeed `model/rotary_pos_embedding.py`): its type, and the
  /// base that its angles follow.
  ///
  /// - Returns: `nil` for arguments without such a table.
  /// - Throws: `Failure` for one that cannot be read.
  init?(in file: TorchFile, _ arguments: NodeID, named name: String) throws(Failure) {
    let graph = file.graph
    let attributes = graph.object(arguments)?.state ?? arguments
    guard let node = graph.value("rotary_pos_emb", in: attributes) else { return nil }
    do {
      guard let table = try file.tensor(node) else { return nil }
      self.init(
        dtype: table.dtype.rawValue,
        base: table.dtype == .float32 ? try RotaryTable.base(of: table, in: file) : nil,
        channels: table.sizes.last)
    } catch {
      throw Failure(
        reading: error, file: FilePath(name), tensor: "args.rotary_pos_emb")
    }
  }

  /// The base of a table whose row of position 1 holds `base^(-2i/channels)`, twice.
  private static func base(of table: TorchTensor, in file: TorchFile) throws -> Double? {
    guard let positions = table.sizes.first, positions > 1, let channels = table.sizes.last,
      channels >= 4, channels.isMultiple(of: 2), channels <= 1 << 16,
      table.sizes.dropFirst().dropLast().allSatisfy({ $0 == 1 })
    else { return nil }
    let row = table.selected(1)
    var bytes: [UInt8] = []
    try TensorReader(file).forEachPart(of: row) { range, buffer in bytes += buffer.bytes(range) }
    let angles = FloatFormat.float32.floats(bytes).map { Double($0) }
    guard angles.count == channels, angles[0] == 1, angles[1] > 0, angles[1] < 1 else { return nil }
    let half = channels / 2
    // The last of them: the first is so near to 1 that its rounding is a power of the base.
    guard angles[half - 1] > 0 else { return nil }
    let base = LogSum.power(angles[half - 1], -Double(half) / Double(half - 1))
    for index in 0..<half {
      let expected = LogSum.power(base, -Double(index) / Double(half))
      guard abs(angles[index] / expected - 1) < 1e-4, angles[half + index] == angles[index] else {
        return nil
      }
    }
    return base
  }
}
