/// A box of elements inside a linear run of memory: sizes and strides, both in elements.
///
/// The strides may be anything that is not negative: zero repeats an element, and a stride smaller
/// than the extent of the dimensions inside it makes the box overlap itself.
public struct ElementBox: Hashable, Sendable {
  public var sizes: [Int]
  public var strides: [Int]

  public init(sizes: [Int], strides: [Int]) {
    precondition(sizes.count == strides.count, "one stride for each size")
    self.sizes = sizes
    self.strides = strides
  }

  /// A box in row-major order without gaps.
  public init(dense sizes: [Int]) {
    self.sizes = sizes
    strides = [Int](repeating: 1, count: sizes.count)
    for axis in sizes.indices.dropLast().reversed() {
      strides[axis] = strides[axis + 1] * sizes[axis + 1]
    }
  }

  /// The number of elements.
  public var count: Int { sizes.reduce(1, *) }

  /// How many elements lie between the first and the last one, both included; 0 for an empty box.
  public var extent: Int {
    guard !sizes.contains(0) else { return 0 }
    return zip(sizes, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
  }

  /// The same elements in the same order with fewer dimensions: those of size 1 are dropped, and
  /// neighbours that continue each other are joined.
  public var collapsed: ElementBox {
    let joined = StridedCopy(sizes, from: strides, to: strides).joined
    return ElementBox(sizes: joined.sizes, strides: joined.sourceStrides)
  }

  /// A run of positions in row-major order as boxes: the end of a row, whole rows, the beginning of
  /// a row, and so on inwards.
  package static func boxes(of run: Range<Int>, in sizes: [Int]) -> [(origin: [Int], sizes: [Int])]
  {
    guard !run.isEmpty else { return [] }
    guard sizes.count > 1 else { return [([run.lowerBound], [run.count])] }
    let inner = Array(sizes.dropFirst())
    let count = inner.reduce(1, *)
    func within(_ row: Int, _ part: Range<Int>) -> [(origin: [Int], sizes: [Int])] {
      boxes(of: part, in: inner).map { ([row] + $0.origin, [1] + $0.sizes) }
    }
    let first = run.lowerBound / count
    let (last, rest) = run.upperBound.quotientAndRemainder(dividingBy: count)
    if first == last { return within(first, run.lowerBound % count..<rest) }
    var result: [(origin: [Int], sizes: [Int])] = []
    var whole = first
    if run.lowerBound % count > 0 {
      result += within(first, run.lowerBound % count..<count)
      whole += 1
    }
    if whole < last {
      result.append(([whole] + inner.map { _ in 0 }, [last - whole] + inner))
    }
    if rest > 0 { result += within(last, 0..<rest) }
    return result
  }
}
