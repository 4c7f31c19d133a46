/// The name of a training argument, as trainers write it down.
///
/// Those that something here depends on have a name of their own, so that a misspelt one does not
/// compile.
public struct ArgumentKey: Hashable, Sendable, CustomStringConvertible {
  /// The name in Python.
  public let name: String

  /// Any name, such as one that the user gives.
  public init(_ name: String) {
    self.name = name
  }

  public var description: String { name }
}

extension ArgumentKey {
  public static let activation = Self("activation")
  public static let activationFunction = Self("activation_function")
  public static let addBiasLinear = Self("add_bias_linear")
  public static let addPositionEmbedding = Self("add_position_embedding")
  public static let addQkvBias = Self("add_qkv_bias")
  public static let applyLayernorm1p = Self("apply_layernorm_1p")
  public static let applyResidualConnectionPostLayernorm = Self(
    "apply_residual_connection_post_layernorm")
  public static let attentionDropout = Self("attention_dropout")
  public static let bias = Self("bias")
  public static let biasActivationFusion = Self("bias_activation_fusion")
  public static let biasGeluFusion = Self("bias_gelu_fusion")
  public static let checkpointVersion = Self("checkpoint_version")
  public static let contextParallelSize = Self("context_parallel_size")
  public static let dataParallelSize = Self("data_parallel_size")
  public static let DDPImpl = Self("DDP_impl")
  public static let dsSequenceParallelFpdt = Self("ds_sequence_parallel_fpdt")
  public static let dsSequenceParallelSize = Self("ds_sequence_parallel_size")
  public static let embedLayernorm = Self("embed_layernorm")
  public static let ffnHiddenSize = Self("ffn_hidden_size")
  public static let fp32Allreduce = Self("fp32_allreduce")
  public static let gluActivation = Self("glu_activation")
  public static let groupQueryAttention = Self("group_query_attention")
  public static let hiddenDropout = Self("hidden_dropout")
  public static let hiddenSize = Self("hidden_size")
  public static let initMethodStd = Self("init_method_std")
  public static let iteration = Self("iteration")
  public static let killSwitchPath = Self("kill_switch_path")
  public static let kvChannels = Self("kv_channels")
  public static let layernormEpsilon = Self("layernorm_epsilon")
  public static let layernormZeroCenteredGamma = Self("layernorm_zero_centered_gamma")
  public static let makeVocabSizeDivisibleBy = Self("make_vocab_size_divisible_by")
  public static let maxPositionEmbeddings = Self("max_position_embeddings")
  public static let megatronLegacy = Self("megatron_legacy")
  public static let modelParallelSize = Self("model_parallel_size")
  public static let nemo = Self("nemo")
  public static let normEpsilon = Self("norm_epsilon")
  public static let normalization = Self("normalization")
  public static let numAttentionHeads = Self("num_attention_heads")
  public static let numExperts = Self("num_experts")
  public static let numKeyValueHeads = Self("num_key_value_heads")
  public static let numLayers = Self("num_layers")
  public static let numQueryGroups = Self("num_query_groups")
  public static let numUniqueLayers = Self("num_unique_layers")
  public static let oldCheckpointFormat = Self("old_checkpoint_format")
  public static let onnxSafe = Self("onnx_safe")
  public static let openaiGelu = Self("openai_gelu")
  public static let origVocabSize = Self("orig_vocab_size")
  public static let originalVocabSize = Self("original_vocab_size")
  public static let padVocabSizeTo = Self("pad_vocab_size_to")
  public static let paddedVocabSize = Self("padded_vocab_size")
  public static let paramSharingStyle = Self("param_sharing_style")
  public static let pipelineModelParallelSize = Self("pipeline_model_parallel_size")
  public static let positionEmbeddingType = Self("position_embedding_type")
  public static let pretrainCausalAttention = Self("pretrain_causal_attention")
  public static let ropeTheta = Self("rope_theta")
  public static let rotaryBase = Self("rotary_base")
  public static let shareEmbeddingsAndOutputWeights = Self("share_embeddings_and_output_weights")
  public static let swiglu = Self("swiglu")
  public static let tensorModelParallelSize = Self("tensor_model_parallel_size")
  public static let tokenizerModel = Self("tokenizer_model")
  public static let tokenizerNameOrPath = Self("tokenizer_name_or_path")
  public static let tokenizerType = Self("tokenizer_type")
  public static let universalCheckpoint = Self("universal_checkpoint")
  public static let untieEmbeddingsAndOutputWeights = Self("untie_embeddings_and_output_weights")
  public static let useRotaryPositionEmbeddings = Self("use_rotary_position_embeddings")
  public static let vocabExtraIds = Self("vocab_extra_ids")
  public static let vocabSize = Self("vocab_size")
  public static let worldSize = Self("world_size")
}
