import Diagnostics

/// Whether arguments speak of a mixture of experts.
enum Experts {
  /// Why a model is one; `nil` for a dense one.
  static func refusal(_ arguments: TrainingArguments, _ title: String) -> String? {
    guard let experts = arguments[.numExperts]?.literal, experts != .none, !isDense(experts) else {
      return nil
    }
    return "num_experts is \(experts.text): \(title) has no mixture of experts"
  }

  /// No experts, or one in every layer.
  private static func isDense(_ experts: ArgumentValue) -> Bool {
    switch experts {
    case .int(let count): count <= 1
    case .list(let counts): counts.allSatisfy { $0 == .int(1) || $0 == .int(0) }
    default: false
    }
  }
}
