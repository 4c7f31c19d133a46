import CKernels

/// What the processor can do beyond what every one of its kind can: kernels use it and give the
/// same bits without.
enum Processor {
  static let features = ckernels_features()
}
