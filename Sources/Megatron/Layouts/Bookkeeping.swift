import TorchArchive

/// Tensors in a state dictionary that are not part of the function that was trained: what
/// Transformer Engine keeps of its scales, masks and positions that the program can recompute, and
/// tensors of nothing.
enum Bookkeeping {
  static let mask = "a causal mask, which the program makes again"
  static let frequencies = "the frequencies of rotary positions, which the program makes again"
  static let extraState = "extra state of Transformer Engine"

  /// Why a tensor is passed over; `nil` for one that is not.
  static func reason(_ name: String, _ tensor: TorchTensor) -> String? {
    reason(name, tensor.sizes, tensor.dtype)
  }

  /// The same by shape and type.
  static func reason(_ name: String, _ sizes: [Int], _ dtype: TorchDType) -> String? {
    let isEmpty = sizes.contains(0)
    let utf8 = name.utf8
    let start = utf8.lastIndex(of: UInt8(ascii: ".")).map { utf8.index(after: $0) }
    let last = name[(start ?? name.startIndex)...]
    // Nearly all tensors are weights or biases with elements.
    if !isEmpty, last == "weight" || last == "bias" && sizes.count < 2,
      !ParameterName.mayBeWrapped(name) || !name.contains("_extra_state")
    {
      return nil
    }
    let parts = name.split(separator: ".")
    if parts.contains("_extra_state") { return extraState }
    let isMask =
      masks.contains(last)
      || last == "bias" && parts.dropLast().last.map { isAttention($0) } == true
    if isMask, isSquare(sizes) { return mask }
    if last == "masked_bias", sizes.allSatisfy({ $0 <= 1 }) { return "the value of masked scores" }
    if last == "inv_freq" {
      return frequencies
    }
    if last == "position_ids", dtype == .int64 {
      return "the numbers of the positions, which the program makes again"
    }
    // A weight without elements is one that is missing: the planner says so.
    if isEmpty, !weights.contains(last) { return "a tensor without elements" }
    return nil
  }

  private static let weights: Set<Substring> = ["weight", "bias"]
  private static let masks: Set<Substring> = [
    "mask", "causal_mask", "attn_mask", "attention_mask", "ltor_mask", "tril", "triu",
  ]

  private static func isAttention(_ part: Substring) -> Bool {
    ["attention", "self_attention", "attn", "core_attention"].contains(part)
  }

  /// Whether a shape is that of a mask: `[s, s]`, with dimensions of one before it or without.
  private static func isSquare(_ sizes: [Int]) -> Bool {
    guard sizes.count >= 2, let rows = sizes.dropLast().last, let columns = sizes.last else {
      return false
    }
    return rows == columns && sizes.dropLast(2).allSatisfy { $0 == 1 }
  }
}
