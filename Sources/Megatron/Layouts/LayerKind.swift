/// What a layer of a pipeline module holds, told by the names of its tensors: forks and versions
/// number the layers differently (bigscience and deepspeedai `megatron/model/gpt_model.py`).
enum LayerKind: String {
  case embedding, block
  case finalLayernorm = "final layernorm"
  case head
  case unknown

  /// Names of GPT-NeoX's last layers.
  static let headOfNeoX = "final_linear.weight"
  static let normOfNeoX: Set<String> = ["norm.weight", "norm.bias", "norm.scale"]

  /// The name of a tensor of the final layernorm, without what GPT-NeoX puts before it.
  static func normName(_ key: String) -> String {
    guard normOfNeoX.contains(key) else { return key }
    return key == "norm.scale" ? "weight" : String(key.dropFirst("norm.".count))
  }

  init(keys: Set<String>) {
    if keys.contains("word_embeddings.weight") {
      self = .embedding
    } else if keys.contains("lm_head.weight") || keys.contains(LayerKind.headOfNeoX) {
      self = .head
    } else if !keys.isEmpty, keys.isSubset(of: LayerKind.normOfNeoX) {
      self = .finalLayernorm
    } else if keys.contains("weight"), keys.isSubset(of: ["weight", "bias"]) {
      self = .finalLayernorm
    } else if keys.contains(where: {
      $0.hasPrefix("input_layernorm.") || $0.hasPrefix("self_attention.")
        || $0.hasPrefix("attention.")
    }) {
      self = .block
    } else {
      self = .unknown
    }
  }
}
