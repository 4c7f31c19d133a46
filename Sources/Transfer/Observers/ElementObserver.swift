package import ByteIO

/// Sees every element that a plan reads, once: on any thread, in any order, while it is in the
/// cache.
package protocol ElementObserver: AnyObject, Sendable {
  /// Sees the elements of a block.
  ///
  /// - Parameters:
  ///   - block: Where they go in the output tensor.
  ///   - tensor: The position of the tensor in the plan.
  ///   - buffers: Those of a thread, of which ``WorkerBuffers/ThreadBuffers/stored`` holds the
  ///     elements in the order of the axes of the block. The other one may be overwritten.
  ///   - stored: Their format.
  /// - Throws: What ends the work.
  func observe(
    _ block: StridedCopy, of tensor: Int, on buffers: WorkerBuffers.ThreadBuffers,
    as stored: FloatFormat
  ) throws

  /// Ends the work by an error when its result is not wanted any more.
  func checkWanted() throws
}

extension ElementObserver {
  package func checkWanted() throws {}
}
