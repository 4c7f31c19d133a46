/// What no model exceeds: a file that says otherwise is wrong, and no product of such numbers
/// overflows.
public enum ModelBounds {
  /// Ranks, stages or layers.
  public static let count = 1 << 20
  /// Elements along one dimension.
  public static let size = 1 << 40
  /// Elements of a tensor, or of a model.
  public static let elements = 1 << 50
}
