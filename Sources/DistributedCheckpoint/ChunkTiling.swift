import Diagnostics

/// Proves that boxes tile a tensor: that they are inside of it, do not overlap, and leave nothing
/// out.
struct ChunkTiling {
  private let shape: [Int]
  private var boxes: [(offsets: [Int], sizes: [Int])]
  /// Pairs that are compared where boxes are in no order.
  private static let maximumPairs = 20_000_000

  init(_ shape: [Int], _ boxes: [(offsets: [Int], sizes: [Int])]) {
    self.shape = shape
    self.boxes = boxes
  }

  /// What is wrong with the boxes; `nil` if they tile the tensor.
  ///
  /// Time is about that of sorting them, once for each axis; boxes that cross each other along an
  /// axis are compared in pairs.
  var fault: String? {
    var count = 0
    for (offsets, sizes) in boxes {
      guard offsets.count == shape.count, sizes.count == shape.count else {
        return "a chunk at \(offsets) of \(sizes) in a tensor of \(shape)"
      }
      var elements = 1
      for (size, (offset, part)) in zip(shape, zip(offsets, sizes)) {
        guard offset >= 0, part >= 0, offset <= size, part <= size - offset else {
          return "a chunk at \(offsets) of \(sizes) reaches beyond the shape \(shape)"
        }
        elements *= part
      }
      let (sum, overflow) = count.addingReportingOverflow(elements)
      guard !overflow else { return "its chunks have more elements than can be counted" }
      count = sum
    }
    let filled = boxes.indices.filter { !boxes[$0].sizes.contains(0) }
    if let overlap = overlap(filled, axis: 0) { return overlap }
    let whole = shape.reduce(1, *)
    guard count == whole else {
      return "its chunks have \(count) elements of \(whole): a part is missing"
    }
    return nil
  }

  /// Two boxes that share an element.
  private func overlap(_ found: [Int], axis: Int) -> String? {
    guard found.count > 1 else { return nil }
    guard axis < shape.count else { return described(found[0], found[1]) }
    let sorted = found.sorted { boxes[$0].offsets[axis] < boxes[$1].offsets[axis] }
    var group: [Int] = []
    var end = 0
    var isAligned = true
    for index in sorted {
      let (offset, size) = (boxes[index].offsets[axis], boxes[index].sizes[axis])
      if group.isEmpty || offset >= end {
        if let fault = overlap(within: group, axis: axis, isAligned) { return fault }
        (group, end, isAligned) = ([index], offset + size, true)
        continue
      }
      let first = boxes[group[0]]
      if first.offsets[axis] != offset || first.sizes[axis] != size { isAligned = false }
      group.append(index)
      end = max(end, offset + size)
    }
    return overlap(within: group, axis: axis, isAligned)
  }

  /// The same for boxes that cover one run of an axis.
  private func overlap(within group: [Int], axis: Int, _ isAligned: Bool) -> String? {
    guard group.count > 1 else { return nil }
    if isAligned { return overlap(group, axis: axis + 1) }
    guard group.count <= ChunkTiling.maximumPairs / group.count else {
      return "\(group.count) of its chunks lie in no order that can be followed"
    }
    for (position, one) in group.enumerated() {
      for other in group[(position + 1)...] {
        let isApart = shape.indices.contains { axis in
          let (a, b) = (boxes[one], boxes[other])
          return a.offsets[axis] + a.sizes[axis] <= b.offsets[axis]
            || b.offsets[axis] + b.sizes[axis] <= a.offsets[axis]
        }
        if !isApart { return described(one, other) }
      }
    }
    return nil
  }

  private func described(_ one: Int, _ other: Int) -> String {
    "its chunks at \(boxes[one].offsets) of \(boxes[one].sizes) and at \(boxes[other].offsets) of "
      + "\(boxes[other].sizes) overlap"
  }
}
