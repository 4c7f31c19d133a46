/// How the names of the tensors begin.
public enum KeyStyle: String, Hashable, Sendable, CaseIterable {
  /// As `GPT2LMHeadModel.save_pretrained` writes them.
  case transformer
  /// As in the first GPT-2 on the Hub; what MLX and TGI need.
  case bare

  /// The full name of a tensor.
  public func name(_ target: String) -> String {
    // The head is not a part of the transformer module.
    self == .bare || target.hasPrefix("lm_head.") ? target : "transformer.\(target)"
  }
}
