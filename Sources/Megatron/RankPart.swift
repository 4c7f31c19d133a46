public import TorchArchive

/// What one tensor-parallel rank holds of a tensor: one stored tensor, or runs of flat ones.
public struct RankPart: Hashable, Sendable {
  /// A run of consecutive elements, in row-major order, that lie in a flat tensor.
  public struct Run: Hashable, Sendable {
    /// The elements of the shard.
    public let elements: Range<Int>
    /// The position of the file in ``Checkpoint/files``.
    public let file: Int
    /// A tensor of one dimension and stride 1.
    public let tensor: TorchTensor
    /// Where the run begins in it.
    public let start: Int
  }

  /// A box of the elements of the shard, which is stored as a tensor of its sizes.
  public struct Box: Hashable, Sendable {
    /// Where it begins along each axis of the shard.
    public let offsets: [Int]
    /// The position of the file in ``Checkpoint/files``.
    public let file: Int
    /// Its elements.
    public let tensor: TorchTensor
  }

  /// Where the elements are.
  public enum Content: Hashable, Sendable {
    /// In a tensor of the same shape.
    case whole(file: Int, TorchTensor)
    /// In runs, which follow each other.
    case runs([Run])
    /// In boxes, which fill the shard.
    case boxes([Box])
  }

  /// The tensor-parallel rank.
  public let rank: Int
  /// The name in the file.
  public var key: String
  public let dtype: TorchDType
  public let sizes: [Int]
  public let content: Content

  /// A shard that is stored as a tensor of its own.
  init(rank: Int, file: Int, key: String, tensor: TorchTensor) {
    self.rank = rank
    self.key = key
    dtype = tensor.dtype
    sizes = tensor.sizes
    content = .whole(file: file, tensor)
  }

  /// A shard that is put together from runs.
  init(rank: Int, key: String, dtype: TorchDType, sizes: [Int], runs: [Run]) {
    self.rank = rank
    self.key = key
    self.dtype = dtype
    self.sizes = sizes
    content = .runs(runs)
  }

  /// A shard that is put together from boxes, which fill it.
  init(rank: Int, key: String, dtype: TorchDType, sizes: [Int], boxes: [Box]) {
    self.rank = rank
    self.key = key
    self.dtype = dtype
    self.sizes = sizes
    content =
      if let box = boxes.first, boxes.count == 1, box.tensor.sizes == sizes {
        .whole(file: box.file, box.tensor)
      } else {
        .boxes(boxes)
      }
  }

  /// The boxes that fill the shard; none where it lies in runs.
  var boxes: [Box] {
    switch content {
    case .whole(let file, let tensor):
      [Box(offsets: sizes.map { _ in 0 }, file: file, tensor: tensor)]
    case .boxes(let boxes): boxes
    case .runs: []
    }
  }

  /// A matrix with rows and columns exchanged; what is no matrix as it is, and so are runs.
  var transposed: RankPart {
    let turned = sizes.count == 2 ? sizes.reversed() : sizes
    return switch content {
    case .whole(let file, let tensor):
      RankPart(
        rank: rank, key: key, dtype: dtype, sizes: turned,
        boxes: [Box(offsets: sizes.map { _ in 0 }, file: file, tensor: tensor.transposed)])
    case .boxes(let boxes):
      RankPart(
        rank: rank, key: key, dtype: dtype, sizes: turned,
        boxes: boxes.map {
          Box(
            offsets: sizes.count == 2 ? $0.offsets.reversed() : $0.offsets, file: $0.file,
            tensor: $0.tensor.transposed)
        })
    case .runs: self
    }
  }

  /// Where the runs begin and end, counted in elements of the shard.
  package var cuts: [Int] {
    switch content {
    case .whole, .boxes: []
    case .runs(let runs): runs.flatMap { [$0.elements.lowerBound, $0.elements.upperBound] }
    }
  }

  /// Whether the storages of both have one checksum and both are laid out alike, so that they are
  /// copies.
  func hasChecksum(of other: RankPart) -> Bool {
    guard case .whole(_, let a) = content, case .whole(_, let b) = other.content,
      let crc = a.storage.entry.crc
    else { return false }
    return crc == b.storage.entry.crc && a.storage.entry.size == b.storage.entry.size
      && a.sizes == b.sizes && a.strides == b.strides && a.storageOffset == b.storageOffset
  }

  /// The position of the first file that it needs in ``Checkpoint/files``.
  public var file: Int {
    switch content {
    case .whole(let file, _): file
    case .runs(let runs): runs.first?.file ?? 0
    case .boxes(let boxes): boxes.first?.file ?? 0
    }
  }
}

/// A tensor of the model with its shards, one for each rank, in the order of the ranks.
public struct IndexedTensor: Hashable, Sendable {
  /// The name that all layouts share: `embedding.word_embeddings.weight`,
  /// `layers.3.self_attention.dense.weight`, `final_layernorm.bias`, `output_layer.weight`.
  public let name: String
  public let shards: [RankPart]
}
