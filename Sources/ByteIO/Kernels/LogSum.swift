import Glibc

/// The logarithm of a sum of exponentials, in binary64.
public enum LogSum {
  /// `log Σ exp(x)`; minus infinity for nothing.
  public static func of(_ values: some Collection<Float>) -> Double {
    guard let top = values.max() else { return -.infinity }
    return Double(top) + log(values.reduce(0.0) { $0 + exp(Double($1) - Double(top)) })
  }
}
