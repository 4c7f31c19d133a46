public import TorchArchive

/// A tensor that was saved in chunks by many processes, as a checkpoint describes it.
public struct DistributedTensor: Hashable, Sendable {
  /// A box of the tensor that lies in one place.
  public struct Chunk: Hashable, Sendable {
    /// Where it begins along each axis of the tensor.
    public let offsets: [Int]
    /// Its size along each axis.
    public let sizes: [Int]
    /// The sizes of what is stored: larger than ``sizes`` at the end of a tensor of zarr, whose
    /// chunks are all of one size.
    public let storedSizes: [Int]
    /// Where its elements are.
    public let place: Place

    package init(offsets: [Int], sizes: [Int], storedSizes: [Int]? = nil, place: Place) {
      self.offsets = offsets
      self.sizes = sizes
      self.storedSizes = storedSizes ?? sizes
      self.place = place
    }

    /// The number of elements.
    public var elementCount: Int { sizes.reduce(1, *) }
  }

  /// A place in a file of the checkpoint.
  public struct Place: Hashable, Sendable {
    /// What the bytes are.
    public enum Form: Hashable, Sendable {
      /// A whole file of `torch.save`.
      case archive
      /// The elements, row by row and little-endian.
      case elements
    }

    /// How the bytes are to be read.
    public let form: Form
    /// The position of the file in ``DistributedCheckpoint/files``.
    public let file: Int
    /// The bytes within the file.
    public let bytes: Range<Int>

    package init(_ form: Form, file: Int, bytes: Range<Int>) {
      self.form = form
      self.file = file
      self.bytes = bytes
    }
  }

  /// The key that the trainer gave it.
  public let name: String
  /// The element type of all chunks.
  public let dtype: TorchDType
  /// The sizes of the whole tensor.
  public let shape: [Int]
  /// The chunks, in the order of their offsets; together they are the tensor, each element once.
  public let chunks: [Chunk]

  package init(name: String, dtype: TorchDType, shape: [Int], chunks: [Chunk]) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.chunks = chunks.sorted { $0.offsets.lexicographicallyPrecedes($1.offsets) }
  }
}

/// A value that is no tensor: a file of `torch.save` in a run of bytes.
public struct DistributedObject: Hashable, Sendable {
  /// The key that the trainer gave it.
  public let name: String
  /// The position of the file in ``DistributedCheckpoint/files``.
  public let file: Int
  /// The bytes within the file.
  public let bytes: Range<Int>
}
