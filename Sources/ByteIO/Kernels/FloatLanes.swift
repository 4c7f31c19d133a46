import CKernels

/// Converts the first elements of a run eight at a time, as many as are a multiple of eight.
///
/// The bits are those of the conversions of single elements in FloatFormat.swift. What is not
/// finite, or becomes infinite, is not converted here: it has to be counted.
///
/// - Returns: How many were converted; 0 where they have to be converted one by one.
///
/// Sound: the caller checked that both pointers lead to `count` elements of their format.
func convertLanes(
  _ count: Int, _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer, from: FloatFormat,
  to target: FloatFormat
) -> Int {
  let features = Processor.features
  let isDone =
    switch (from, target) {
    case (.float16, .float32): unsafe ckernels_widen_halves(features, input, output, count)
    case (.bfloat16, .float32): unsafe ckernels_widen_brains(features, input, output, count)
    case (.float32, .float16): unsafe ckernels_narrow_to_halves(features, input, output, count)
    case (.float32, .bfloat16): unsafe ckernels_narrow_to_brains(features, input, output, count)
    default: Int32(0)
    }
  return isDone != 0 ? count & ~7 : 0
}
