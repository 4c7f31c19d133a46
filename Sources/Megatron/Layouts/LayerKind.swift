/// What a layer of a pipeline module holds, told by the names of its tensors: forks and versions
/// number the layers differently (bigscience and deepspeedai `megatron/model/gpt_model.py`).
enum LayerKind: String {
  case embedding, block
  case finalLayernorm = "final layernorm"
  case head
  case unknown

  init(keys: Set<String>) {
    if keys.contains("word_embeddings.weight") {
      self = .embedding
    } else if keys.contains("lm_head.weight") {
      self = .head
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
