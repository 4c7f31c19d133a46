import Glibc

/// Sums of exponentials, in binary64.
public enum LogSum {
  /// `log Σ exp(x)`; minus infinity for nothing.
  public static func of(_ values: some Collection<Float>) -> Double {
    guard let top = values.max() else { return -.infinity }
    return Double(top) + Glibc.log(values.reduce(0.0) { $0 + Glibc.exp(Double($1) - Double(top)) })
  }

  /// `base` to the power `exponent`.
  public static func power(_ base: Double, _ exponent: Double) -> Double {
    Glibc.pow(base, exponent)
  }

  /// e to the power of a number, such as the perplexity of a loss.
  public static func exp(_ value: Double) -> Double { Glibc.exp(value) }

  /// The natural logarithm, such as the loss of a guess among that many tokens.
  public static func log(_ value: Double) -> Double { Glibc.log(value) }
}
