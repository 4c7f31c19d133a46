import Diagnostics

/// What a model computes besides its tensors, and what it is told of its tokens: each with the
/// decision that led to it.
struct GPT2Settings {
  let activation: GPT2Activation
  /// What layernorms add to the variance.
  let epsilon: Double
  /// What is added to the weights of layernorms: 1 where they are stored as their distance from 1.
  let normAddend: Float
  let hiddenDropout: Double
  let attentionDropout: Double
  let initializerRange: Double
  /// The ids of the tokens that begin and end a text; `nil` where the tokenizer is not known.
  let tokens: SpecialTokens
  /// In the order in which they are shown.
  let decisions: [Decision]

  /// Works out the settings.
  ///
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  init(_ facts: any ModelFacts, _ output: ModelOutput) throws(Failure) {
    let arguments = facts.arguments
    var decisions = [AttentionMask.decision(facts)]
    activation = try GPT2Activation(arguments, isCore: facts.isNamedByCore)
    decisions.append(activation.decision)

    // The first of some arguments that is there, else a default.
    func number(
      _ name: String, _ keys: [ArgumentKey], default value: Double
    ) throws(Failure) -> (value: Double, decision: Decision) {
      for key in keys {
        guard let found = try arguments.double(key) else { continue }
        for other in keys where arguments.source(of: key) == .checkpoint {
          guard let second = try arguments.double(other), second != found else { continue }
          throw Failure(
            .argumentsContradiction, "\(key) is \(found), but \(other) is \(second)",
            hint: "say which with --set \(key)=N")
        }
        return (
          found,
          Decision(
            name, .double(found),
            arguments.source(of: key) == .user ? "given by --set \(key)" : "\(key)")
        )
      }
      return (
        value,
        Decision(
          name, .double(value), "there is no \(keys[0]); it is the default of all trainers", .guess,
          hint: "--set \(keys[0])=N settles it")
      )
    }
    let norm = try number(
      "layer_norm_epsilon", [.layernormEpsilon, .normEpsilon], default: 1e-5)
    epsilon = norm.value
    decisions.append(norm.decision)
    guard epsilon > 0, epsilon < 1 else {
      throw Failure(
        .argumentsContradiction, "a layernorm epsilon of \(epsilon) makes no sense",
        hint: "correct it with --set layernorm_epsilon=1e-5")
    }
    var offset: (key: ArgumentKey, value: Bool)?
    for key in [ArgumentKey.applyLayernorm1p, .layernormZeroCenteredGamma]
    where offset?.value != true {
      if let value = try arguments.bool(key) { offset = (key, value) }
    }
    normAddend = offset?.value == true ? 1 : 0
    if offset?.value == true {
      decisions.append(
        Decision(
          "layernorm_1p", true, "\(offset?.key.name ?? "") is True: 1 is added to the weights"))
    }
    if offset == nil, !arguments.isPresent, facts.isNamedByCore {
      decisions.append(
        Decision(
          "layernorm_1p", false,
          "there are no arguments, and no tensor tells whether norms are stored minus 1", .guess,
          hint: "--set layernorm_zero_centered_gamma=true or false settles it"))
    }
    // These matter to further training alone, so that a default is not a guess about the function.
    hiddenDropout = try arguments.double(.hiddenDropout) ?? 0.1
    attentionDropout = try arguments.double(.attentionDropout) ?? 0.1
    initializerRange = try arguments.double(.initMethodStd) ?? 0.02
    let unset = [ArgumentKey.hiddenDropout, .attentionDropout, .initMethodStd].filter {
      arguments[$0] == nil
    }
    if !unset.isEmpty {
      decisions.append(
        Decision(
          "dropout", .double(hiddenDropout),
          "\(unset.map(\.name).joined(separator: ", ")) not recorded, so GPT-2's defaults; they "
            + "matter to training alone"))
    }
    tokens = try SpecialTokens(facts, vocabulary: output.sizes.vocabulary, given: output.tokens)
    decisions += tokens.decisions
    self.decisions = decisions
  }
}
