import ByteIO
import Diagnostics

extension PlanExecutor {
  /// Reads replicas side by side, compares them, and makes one of them.
  func merge(_ merge: Schedule.Merge, _ sink: (any TensorSink)?) throws {
    let bench = bench
    let replicas = merge.replicas
    let format = replicas[0].format
    let readers = try replicas.map { replica throws(Failure) in try reader(replica.storage)
    }
    // What is compared is 4 bytes wide at most, and shares the memory of one window.
    let share =
      max(64, min(bench.window.count / (replicas.count + 1), bench.stages[0].stored.count)) & ~15
    let dense = replicas.map { _ in ByteBuffer(count: share) }
    let lockstep = ReplicaBlocks(replicas, to: merge.destination)
    for block in lockstep.split(count: share / 4, sourceExtent: bench.window.count / format.size) {
      for (position, replica) in replicas.enumerated() {
        let view = lockstep.view(of: block, in: position)
        let first = view.source * format.size
        try read(first..<first + view.sourceExtent * format.size, with: readers[position])
        dense[position].gather(
          ElementBox(sizes: view.sizes, strides: view.sourceStrides), from: bench.window, at: 0,
          elementSize: format.size, to: 0)
        if replica.isBigEndian {
          dense[position].swapBytes(block.count, wordSize: format.size, at: 0)
        }
      }
      try mergeDense(block, dense, format, merge, sink)
    }
    for (position, replica) in replicas.enumerated() {
      try note(readers[position], replica.storage)
    }
  }

  private func mergeDense(
    _ block: StridedCopy, _ dense: [ByteBuffer], _ format: FloatFormat, _ merge: Schedule.Merge,
    _ sink: (any TensorSink)?
  ) throws {
    let (tensor, addend, staged) = (merge.tensor, merge.addend, bench.stages[0].stored)
    let bytes = 0..<block.count * format.size
    if merge.rule == .sum {
      staged.sum(of: dense, count: block.count, as: format, to: 0)
      return try emit(block, as: .float32, addend: addend, tensor: tensor, sink)
    }
    let differs = dense.dropFirst().contains {
      dense[0].firstDifference(bytes, from: $0, at: 0) != nil
    }
    if differs {
      var finding = report.findings[tensor] ?? TensorFindings()
      var most = 0
      for other in dense.dropFirst() {
        let (differing, largest) = dense[0].difference(
          block.count, as: format, at: 0, from: other, at: 0)
        most = max(most, differing)
        finding.largestDifference = max(finding.largestDifference, largest)
      }
      finding.differing += most
      report.findings[tensor] = finding
      switch merge.rule {
      case .copies:
        throw Failure(
          .headDiffers,
          "the copy of the embedding on the last pipeline stage differs from it, by up to "
            + "\(finding.largestDifference)", tensor: plan.tensors[tensor].source,
          hint: "the ranks were not saved at the same moment, or the head is not tied")
      case .strict:
        throw Failure(
          .replicasDiffer,
          "the copies on the tensor-parallel ranks differ by up to \(finding.largestDifference)",
          tensor: plan.tensors[tensor].source,
          hint: "--replicas mean takes their mean, --replicas rank0 the first")
      case .mean:
        staged.mean(of: dense, count: block.count, as: format, to: 0)
        return try emit(block, as: .float32, addend: addend, tensor: tensor, sink)
      case .first, .sum: break
      }
    }
    staged.copy(bytes, of: dense[0], to: 0)
    try emit(block, as: format, addend: addend, tensor: tensor, sink)
  }
}
