package import Diagnostics

/// Which function the feed-forward layers were trained with, by its name in transformers.
///
/// Megatron changed its default twice, so the arguments tell by what they have as well as by what
/// they say (NVIDIA/Megatron-LM 3ea5491e, 51a2e6b0, 9acc8956).
package struct GPT2Activation {
  /// `gelu_fast` is the tanh form with Megatron's own order of operations; `gelu` the exact one.
  package let name: String
  let reason: String
  let basis: Decision.Basis

  private init(_ name: String, _ reason: String, _ basis: Decision.Basis = .fact) {
    self.name = name
    self.reason = reason
    self.basis = basis
  }

  /// Decides by the arguments.
  ///
  /// - Parameters:
  ///   - arguments: The arguments.
  ///   - isCore: Whether Megatron-core built the model, which reads fewer of them than its trainer
  ///     has.
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  package init(_ arguments: TrainingArguments, isCore: Bool = false) throws(Failure) {
    if isCore, let fused = try arguments.bool(.biasGeluFusion) {
      try self.init(ofCore: arguments, isFused: fused)
      return
    }
    let fused = try arguments.bool(.biasGeluFusion)
    let openai = try arguments.bool(.openaiGelu)
    let onnx = try arguments.bool(.onnxSafe)
    guard arguments.isPresent || fused != nil || openai != nil || onnx != nil else {
      self.init("gelu_fast", "there are no arguments; it is the default of most trainers", .guess)
      return
    }
    // Trees that know swiglu look at onnx_safe before the fusion, older ones after it.
    let isLater = arguments.has(.swiglu)
    switch (fused, openai, onnx) {
    case (_, nil, _) where !arguments.has(.openaiGelu) && fused == nil:
      // transformers' own script to make Megatron checkpoints writes neither, whatever the model
      // has.
      let isMadeUp = arguments.has(.origVocabSize)
      self.init(
        "gelu_fast",
        isMadeUp
          ? "the arguments have neither bias_gelu_fusion nor openai_gelu, but orig_vocab_size, as "
            + "transformers' reshaping script writes them for any activation"
          : "the arguments have neither bias_gelu_fusion nor openai_gelu, as those before April "
            + "2020",
        .guess)
    case (_, true?, _):
      self.init("gelu_fast", "openai_gelu: the tanh form")
    case (true?, _, true?) where isLater:
      self.init("gelu", "onnx_safe: the exact form")
    case (true?, _, _):
      self.init("gelu_fast", "bias_gelu_fusion: the tanh form")
    case (nil, false?, _)
    where !arguments.has(.biasGeluFusion)
      && GPT2Activation.laterKeys.contains(where: arguments.has):
      self.init(
        "gelu",
        "openai_gelu is False, and bias_gelu_fusion is missing in arguments that are of its time: "
          + "the "
          + "exact form", .guess)
    case (nil, false?, _) where !arguments.has(.biasGeluFusion):
      self.init(
        "gelu", "openai_gelu is False, and there is no bias_gelu_fusion yet: the exact form")
    case (nil, _, _):
      self.init(
        "gelu", "neither bias_gelu_fusion nor openai_gelu is set: the exact form", .guess)
    default:
      self.init("gelu", "neither bias_gelu_fusion nor openai_gelu: the exact form")
    }
  }

  /// What takes Transformer Engine's own activation.
  static let keysOfCore = ["use_te_activation_func", "use_transformer_engine_op_fuser"]

  /// Megatron-core `transformer/mlp.py`, `fusions/fused_bias_gelu.py`: openai_gelu and onnx_safe
  /// are the older model's.
  private init(ofCore arguments: TrainingArguments, isFused: Bool) throws(Failure) {
    if isFused {
      self.init("gelu_fast", "bias_gelu_fusion: the tanh form")
      return
    }
    for key in GPT2Activation.keysOfCore
    where try arguments.bool(ArgumentKey(key)) == true {
      self.init("gelu_fast", "\(key): Transformer Engine's own, the tanh form")
      return
    }
    self.init("gelu", "bias_gelu_fusion is False: the exact form")
  }

  /// Arguments that came after `bias_gelu_fusion` (NVIDIA/Megatron-LM 51a2e6b0 and later).
  private static let laterKeys: [ArgumentKey] = [
    .ffnHiddenSize, .kvChannels, .tensorModelParallelSize, .normalization, .swiglu,
  ]

  /// The decision that is shown.
  var decision: Decision {
    Decision(
      "activation_function", .string(name), reason, basis,
      hint: "--set bias_gelu_fusion=true (tanh) or --set bias_gelu_fusion=false --set "
        + "openai_gelu=false (exact) settles it")
  }
}
