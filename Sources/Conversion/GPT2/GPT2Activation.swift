/// Which function the feed-forward layers were trained with, by its name in transformers.
///
/// Megatron changed its default twice, so the arguments tell by what they have as well as by what
/// they say (NVIDIA/Megatron-LM 3ea5491e, 51a2e6b0, 9acc8956).
public struct GPT2Activation: Hashable, Sendable {
  /// `gelu_fast` is the tanh form with Megatron's own order of operations; `gelu` the exact one.
  public let name: String
  public let reason: String

  private init(_ name: String, _ reason: String) {
    self.name = name
    self.reason = reason
  }

  init(_ arguments: TrainingArguments) throws(ConversionError) {
    let fused = try arguments.bool("bias_gelu_fusion")
    let openai = try arguments.bool("openai_gelu")
    let onnx = try arguments.bool("onnx_safe")
    guard arguments.isPresent || fused != nil || openai != nil || onnx != nil else {
      self.init("gelu_fast", "assumed: there are no arguments")
      return
    }
    // Trees that know swiglu look at onnx_safe before the fusion, older ones after it.
    let isLater = arguments.has("swiglu")
    switch (fused, openai, onnx) {
    case (_, nil, _) where !arguments.has("openai_gelu") && fused == nil:
      self.init("gelu_fast", "the arguments have no openai_gelu: the tanh form until April 2020")
    case (_, true?, _):
      self.init("gelu_fast", "openai_gelu: the tanh form")
    case (true?, _, true?) where isLater:
      self.init("gelu", "onnx_safe: the exact form")
    case (true?, _, _):
      self.init("gelu_fast", "bias_gelu_fusion: the tanh form")
    default:
      self.init("gelu", "neither bias_gelu_fusion nor openai_gelu: the exact form")
    }
  }
}
