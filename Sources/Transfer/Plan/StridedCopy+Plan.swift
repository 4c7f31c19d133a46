import ByteIO

extension StridedCopy {
  /// A box that is stored, and where it goes.
  init(_ source: StoredBox, _ destination: Piece.Destination) {
    self.init(
      source: source.offset, target: destination.offset, sizes: source.box.sizes,
      sourceStrides: source.box.strides, targetStrides: destination.strides)
  }
}
