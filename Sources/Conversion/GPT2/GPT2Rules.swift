/// How a tensor is divided among the tensor-parallel ranks (Megatron `mpu/layers.py`).
public enum Partition: String, Hashable, Sendable {
  /// Rows of the vocabulary.
  case vocabulary
  /// The output dimension: rows, as PyTorch stores a linear layer.
  case column = "column-parallel"
  /// The input dimension: columns, as PyTorch stores a linear layer.
  case row = "row-parallel"
  /// Every rank has all of it.
  case replicated

  /// Whether each rank has some of the rows.
  var isByRows: Bool { self == .vocabulary || self == .column }
}

/// What becomes of the axes of a tensor.
public enum Arrangement: String, Hashable, Sendable {
  case unchanged
  /// GPT-2 in transformers multiplies from the other side (`Conv1D`).
  case transposed
  /// The rows of query, key and value are put into thirds, then transposed.
  case qkvTransposed = "qkv, transposed"
  /// The entries of query, key and value are put into thirds.
  case qkv
}

/// One kind of tensor: what it is called in Megatron and in transformers, and how it gets there.
public struct GPT2Rule: Hashable, Sendable {
  /// The sizes that a dimension can have, by what it counts.
  public enum Dimension: Hashable, Sendable {
    case hidden, qkv, feedForward, vocabulary, positions
  }

  /// The name in Megatron; within a block for rules of blocks.
  public let source: String
  public let partition: Partition
  public let arrangement: Arrangement
  /// The name in transformers, without `transformer.` and `h.N.`.
  public let target: String
  /// The shape in Megatron over all ranks.
  public let shape: [Dimension]
  /// What the tensor is when the model has none of it: a bias of zeros is exact.
  public var isBias: Bool { source.hasSuffix(".bias") }
  /// Layernorm weights are stored as their distance from 1 by `apply_layernorm_1p`.
  public var isLayernormWeight: Bool { source.hasSuffix("layernorm.weight") }

  init(
    _ source: String, _ partition: Partition, _ arrangement: Arrangement, _ target: String,
    _ shape: [Dimension]
  ) {
    self.source = source
    self.partition = partition
    self.arrangement = arrangement
    self.target = target
    self.shape = shape
  }
}

/// GPT-2 in Megatron and in transformers, tensor by tensor
/// (transformers `models/gpt2/modeling_gpt2.py`; Megatron `model/language_model.py`,
/// `model/transformer.py`).
public enum GPT2Rules {
  // swift-format-ignore
  static let embedding: [GPT2Rule] = [
    GPT2Rule("embedding.word_embeddings.weight",     .vocabulary, .unchanged, "wte.weight", [.vocabulary, .hidden]),
    GPT2Rule("embedding.position_embeddings.weight", .replicated, .unchanged, "wpe.weight", [.positions, .hidden]),
  ]

  /// With sequence parallelism the positions are divided (deepspeedai cc3a94c6).
  // swift-format-ignore
  static let dividedPositions =
    GPT2Rule("embedding.position_embeddings.local_embeddings.weight", .column, .unchanged, "wpe.weight", [.positions, .hidden])

  /// In the order in which transformers registers the modules.
  // swift-format-ignore
  static let block: [GPT2Rule] = [
    GPT2Rule("input_layernorm.weight",                .replicated, .unchanged,     "ln_1.weight",        [.hidden]),
    GPT2Rule("input_layernorm.bias",                  .replicated, .unchanged,     "ln_1.bias",          [.hidden]),
    GPT2Rule("self_attention.query_key_value.weight", .column,     .qkvTransposed, "attn.c_attn.weight", [.qkv, .hidden]),
    GPT2Rule("self_attention.query_key_value.bias",   .column,     .qkv,           "attn.c_attn.bias",   [.qkv]),
    GPT2Rule("self_attention.dense.weight",           .row,        .transposed,    "attn.c_proj.weight", [.hidden, .hidden]),
    GPT2Rule("self_attention.dense.bias",             .replicated, .unchanged,     "attn.c_proj.bias",   [.hidden]),
    GPT2Rule("post_attention_layernorm.weight",       .replicated, .unchanged,     "ln_2.weight",        [.hidden]),
    GPT2Rule("post_attention_layernorm.bias",         .replicated, .unchanged,     "ln_2.bias",          [.hidden]),
    GPT2Rule("mlp.dense_h_to_4h.weight",              .column,     .transposed,    "mlp.c_fc.weight",    [.feedForward, .hidden]),
    GPT2Rule("mlp.dense_h_to_4h.bias",                .column,     .unchanged,     "mlp.c_fc.bias",      [.feedForward]),
    GPT2Rule("mlp.dense_4h_to_h.weight",              .row,        .transposed,    "mlp.c_proj.weight",  [.hidden, .feedForward]),
    GPT2Rule("mlp.dense_4h_to_h.bias",                .replicated, .unchanged,     "mlp.c_proj.bias",    [.hidden]),
  ]

  // swift-format-ignore
  static let final: [GPT2Rule] = [
    GPT2Rule("final_layernorm.weight", .replicated, .unchanged, "ln_f.weight", [.hidden]),
    GPT2Rule("final_layernorm.bias",   .replicated, .unchanged, "ln_f.bias",   [.hidden]),
  ]

  /// Present only when the head is not tied to the embedding.
  static let head = GPT2Rule(
    "output_layer.weight", .vocabulary, .unchanged, "lm_head.weight", [.vocabulary, .hidden])
}

/// A rule applied to one tensor of a model.
struct AppliedRule: Hashable, Sendable {
  let rule: GPT2Rule
  /// The name of the source tensor in the index.
  let source: String
  /// The name of the target tensor, with the prefix of its block.
  let target: String
}

extension GPT2Rules {
  /// All tensors of a model, in the order in which transformers registers them.
  static func applied(blocks: Int, untied: Bool, dividedPositions: Bool) -> [AppliedRule] {
    var result: [AppliedRule] = []
    func add(_ rule: GPT2Rule, _ source: String = "", _ target: String = "") {
      result.append(
        AppliedRule(rule: rule, source: source + rule.source, target: target + rule.target))
    }
    add(embedding[0])
    add(dividedPositions ? self.dividedPositions : embedding[1])
    for number in 0..<blocks {
      for rule in block { add(rule, "layers.\(number).", "h.\(number).") }
    }
    for rule in final { add(rule) }
    if untied { add(head) }
    return result
  }
}

/// How the names of the tensors begin.
public enum KeyStyle: String, Hashable, Sendable, CaseIterable {
  /// As `GPT2LMHeadModel.save_pretrained` writes them.
  case transformer
  /// As in the first GPT-2 on the Hub; what MLX and TGI need.
  case bare

  /// The full name of a tensor.
  func name(_ target: String) -> String {
    // The head is not a part of the transformer module.
    self == .bare || target.hasPrefix("lm_head.") ? target : "transformer.\(target)"
  }
}
