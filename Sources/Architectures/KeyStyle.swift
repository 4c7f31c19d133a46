/// How the names of the tensors begin.
public enum KeyStyle: String, Hashable, Sendable, CaseIterable {
  /// As `save_pretrained` of the causal language model writes them.
  case transformer
  /// Without the prefix, as in the first GPT-2 on the Hub; what MLX and TGI need.
  case bare
}
