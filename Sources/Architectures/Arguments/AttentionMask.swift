import Diagnostics

/// Whether a model was trained with a causal mask, which names and shapes do not tell: the pipeline
/// of the bigscience fork trained prefix-LM and other models under GPT-2's names (bigscience
/// `pretrain_gpt.py`, `finetune_t0_non_causal_decoder.py`, `pretrain_prefix_lm.py`).
enum AttentionMask {
  /// Arguments of the bigscience fork alone.
  private static let marksOfBigscience: [ArgumentKey] = [
    .gluActivation, .padVocabSizeTo, .killSwitchPath,
  ]

  private static func isBigsciencePipeline(_ facts: any ModelFacts) -> Bool {
    guard facts.isOfPipelineModule else { return false }
    return marksOfBigscience.contains {
      facts.arguments.has($0) && facts.arguments.source(of: $0) == .checkpoint
    }
  }

  /// Why the mask is known not to be causal; `nil` where it is, or where nothing is known.
  static func refusal(_ facts: any ModelFacts) throws(Failure) -> String? {
    let arguments = facts.arguments
    // What the arguments say of the mask does not change the one that was used; only the user knows
    // better.
    let isSettled =
      try arguments.bool(.pretrainCausalAttention) == true
      && arguments.source(of: .pretrainCausalAttention) == .user
    if let odd = facts.oddMask, !isSettled {
      return
        "the mask next to the weights is not causal: \(odd); if GPT-2's mask is right after all: "
        + "--set "
        + "pretrain_causal_attention=true"
    }
    if let isCausal = try arguments.bool(.pretrainCausalAttention) {
      // In other scripts than pretrain_gpt the flag stands in the arguments all the same.
      return isCausal || !isBigsciencePipeline(facts)
        ? nil
        : "pretrain_causal_attention is False: attention sees more than what comes before"
    }
    guard isBigsciencePipeline(facts), arguments.has(.universalCheckpoint) else { return nil }
    return "the arguments know universal_checkpoint (from 2022-07-20) but not "
      + "pretrain_causal_attention, which pretrain_gpt sets since 2022-07-07: another script "
      + "trained it, "
      + "with a mask that is not causal (prefix-LM or T0); if it is causal after all: --set "
      + "pretrain_causal_attention=true"
  }

  /// The decision that is shown.
  static func decision(_ facts: any ModelFacts) -> Decision {
    let value = (try? facts.arguments.bool(.pretrainCausalAttention)) ?? nil
    if value == true {
      return Decision("attention_mask", "causal", "pretrain_causal_attention is True")
    }
    if isBigsciencePipeline(facts) {
      return Decision(
        "attention_mask", "causal",
        "the arguments are from before July 2022, when the mask was not recorded: a prefix-LM or "
          + "T0 model "
          + "would look the same")
    }
    return Decision("attention_mask", "causal", "nothing says otherwise")
  }
}
