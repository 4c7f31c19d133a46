import CKernels

/// What the processor can do beyond what every one of its kind can: kernels use it and give the
/// same bits without.
public enum Processor {
  static let features = ckernels_features()

  /// The instruction sets that are used here, by their usual names.
  public static var instructionSets: [String] {
    let names: [(ckernels_features, String)] = [
      (ckernels_can_checksum, "sse4.2"), (ckernels_can_multiply, "pclmulqdq"),
      (ckernels_is_wide, "avx2"), (ckernels_is_wide, "f16c"),
      (ckernels_can_multiply_wide, "vpclmulqdq"), (ckernels_can_multiply_widest, "avx512"),
    ]
    return names.filter { features & $0.0.rawValue != 0 }.map(\.1)
  }
}
