/// Rows of a table that belong together.
extension [TensorRule] {
  /// Weight and bias of a LayerNorm, of which every rank has all.
  static func norm(_ source: String, _ target: String) -> [TensorRule] {
    [
      TensorRule("\(source).weight", .replicated, "\(target).weight", [.hidden], role: .norm),
      TensorRule("\(source).bias", .replicated, "\(target).bias", [.hidden], role: .bias),
    ]
  }

  /// Weight and bias of a linear layer. The bias goes with the rows: it is divided where they are.
  /// A model may lack it. With `transposed`, transformers applies it from the other side
  /// (`Conv1D`).
  static func linear(
    _ source: String, _ target: String, _ partition: Partition, _ shape: [TensorRule.Dimension],
    rows: TensorRule.Rows = .asStored, transposed: Bool = false
  ) -> [TensorRule] {
    [
      TensorRule(
        "\(source).weight", partition, rows: rows, transposed: transposed, "\(target).weight",
        shape),
      TensorRule(
        "\(source).bias", partition == .column ? .column : .replicated, rows: rows,
        "\(target).bias", [TensorRule.Dimension](shape.prefix(1)), presence: .zeros, role: .bias),
    ]
  }
}
