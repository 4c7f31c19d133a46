/// The table of an architecture: every tensor of a model, in the order in which transformers
/// registers them.
public struct RuleTable: Hashable, Sendable {
  public let rules: [TensorRule]

  /// A table of rules. Those of a block stand one after the other; of several rules with one target
  /// the first whose source is there counts.
  public init(_ rules: [TensorRule]) {
    self.rules = rules
  }

  /// A rule applied to one tensor of a model.
  public struct Applied: Hashable, Sendable {
    public let rule: TensorRule
    /// The name of the source tensor, which all layouts share.
    public let source: String
    /// The name of the target tensor, without the prefix of the model.
    public let target: String

    init(_ rule: TensorRule, block: Int? = nil) {
      self.rule = rule
      func filled(_ name: String) -> String {
        guard let block, let star = name.firstIndex(of: "*") else { return name }
        return "\(name[..<star])\(block)\(name[name.index(after: star)...])"
      }
      source = filled(rule.source)
      target = filled(rule.target)
    }
  }

  /// The rules of the tensors of a model.
  ///
  /// - Parameters:
  ///   - blocks: The number of blocks.
  ///   - exists: Whether the model has a source tensor; asked of those that may be missing or have
  ///     another name.
  /// - Returns: A rule for each tensor of the output.
  public func applied(blocks: Int, exists: (_ source: String) -> Bool) -> [Applied] {
    var result: [Applied] = []
    var rest = chosen(exists)[...]
    while let rule = rest.first {
      guard rule.isOfBlock else {
        result.append(Applied(rule))
        rest = rest.dropFirst()
        continue
      }
      let block = rest.prefix { $0.isOfBlock }
      for number in 0..<blocks { result += block.map { Applied($0, block: number) } }
      rest = rest.dropFirst(block.count)
    }
    return result
  }

  /// One rule for each target that the model has.
  private func chosen(_ isThere: (String) -> Bool) -> [TensorRule] {
    var result: [TensorRule] = []
    // Of a block's tensor the first block is asked.
    func exists(_ source: String) -> Bool { isThere(source.replacing("*", with: "0")) }
    for rule in rules {
      switch rule.presence {
      case .tied, .optional: if !exists(rule.source) { continue }
      case .zerosBeside(let other): if !exists(rule.source), !exists(other) { continue }
      case .required, .zeros: break
      }
      if let other = result.firstIndex(where: { $0.target == rule.target }) {
        if !exists(result[other].source), exists(rule.source) { result[other] = rule }
        continue
      }
      result.append(rule)
    }
    return result
  }
}
