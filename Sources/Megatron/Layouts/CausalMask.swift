import ByteIO
import TorchArchive

/// The mask that a program keeps next to its weights: one value where attention looks, on the
/// diagonal and below it, and another one above.
///
/// Trainers mark either side, by 1, True, -10000 or -inf (Megatron-LM `megatron/model/utils.py`,
/// transformers `modeling_gpt2.py`), so only the pattern is looked at.
struct CausalMask {
  /// Bytes of an element.
  private let size: Int
  private let columns: Int
  /// The first element where attention looks, and the first one where it does not.
  private var seen: [UInt8]?
  private var hidden: [UInt8]?
  /// How many elements were looked at.
  private var position = 0

  /// Where a mask is not the causal one; `nil` if it is.
  ///
  /// - Parameters:
  ///   - tensor: A tensor of shape `[s, s]`, with dimensions of one before it or without.
  ///   - file: The file that holds it.
  /// - Returns: The first place where it is not.
  /// - Throws: What reading throws.
  static func contradiction(_ tensor: TorchTensor, in file: TorchFile) throws -> String? {
    guard let columns = tensor.sizes.last, columns > 1 else { return nil }
    var mask = CausalMask(size: tensor.dtype.size, columns: columns)
    struct Found: Error { let text: String }
    do {
      try TensorReader(file, windowSize: ByteBuffer.passSize).forEachPart(of: tensor) {
        range, buffer in
        if let text = mask.take(buffer.bytes(range)) { throw Found(text: text) }
      }
    } catch let found as Found {
      return found.text
    }
    return nil
  }

  private init(size: Int, columns: Int) {
    self.size = size
    self.columns = columns
  }

  /// Looks at the next elements. Those of a row on one side of the diagonal are alike, so they are
  /// compared with their neighbours, and one of them with the rest of the mask.
  private mutating func take(_ bytes: [UInt8]) -> String? {
    var start = 0
    while start < bytes.count {
      let (row, column) = position.quotientAndRemainder(dividingBy: columns)
      let left = column <= row ? row + 1 - column : columns - column
      var count = min(left, (bytes.count - start) / size)
      let end = start + count * size
      if !bytes[start..<end - size].elementsEqual(bytes[start + size..<end]) { count = 1 }
      if let found = judge(bytes[start..<start + size], row, column) { return found }
      position += count
      start += count * size
    }
    return nil
  }

  /// What is wrong with an element.
  private mutating func judge(_ element: ArraySlice<UInt8>, _ row: Int, _ column: Int) -> String? {
    let seen = seen ?? Array(element)
    self.seen = seen
    let looks = element.elementsEqual(seen)
    guard looks == (column <= row) else {
      return "position \(row) \(looks ? "looks" : "does not look") at position \(column)"
    }
    if looks { return nil }
    let hidden = hidden ?? Array(element)
    self.hidden = hidden
    return element.elementsEqual(hidden)
      ? nil : "position \(row) sees position \(column) in a way of its own"
  }
}
