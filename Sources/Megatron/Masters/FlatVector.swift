import TorchArchive

/// Flat tensors one after the other, from which runs are taken.
struct FlatVector {
  private let slices: [(file: Int, tensor: TorchTensor)]
  private var slice = 0
  private var position = 0

  init(_ slices: [(file: Int, tensor: TorchTensor)]) {
    self.slices = slices
  }

  /// The number of elements that are left.
  var rest: Int {
    slices.indices.dropFirst(slice).reduce(-position) { $0 + slices[$1].tensor.elementCount }
  }

  /// The next `count` elements as runs, numbered from `first` on; `nil` when there are not as many.
  mutating func take(_ count: Int, from first: Int = 0) -> [RankPart.Run]? {
    var runs: [RankPart.Run] = []
    var done = 0
    while done < count {
      guard slices.indices.contains(slice) else { return nil }
      let (file, tensor) = slices[slice]
      let step = min(count - done, tensor.elementCount - position)
      if step > 0 {
        runs.append(
          RankPart.Run(
            elements: first + done..<first + done + step, file: file, tensor: tensor,
            start: position))
      }
      done += step
      position += step
      if position == tensor.elementCount {
        slice += 1
        position = 0
      }
    }
    return runs
  }

  /// Passes over `count` elements, or what is left of them.
  mutating func skip(_ count: Int) {
    _ = take(count)
  }
}
