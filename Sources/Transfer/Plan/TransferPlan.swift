public import ByteIO
public import Safetensors
public import SystemPackage
public import TorchArchive

/// A file with storages that a plan reads.
public struct PlanFile: Hashable, Sendable {
  public let path: FilePath
  /// The name within the checkpoint's folder.
  public let name: String
  /// What the file was when the plan was made.
  public let identity: InputFile.Identity

  package init(
    path: FilePath, name: String, identity: InputFile.Identity
  ) {
    self.path = path
    self.name = name
    self.identity = identity
  }
}

/// A run of stored bytes that a plan reads.
public struct PlanStorage: Hashable, Sendable {
  /// The position of the file in ``TransferPlan/files``.
  public let file: Int
  public let entry: StoredBytes

  package init(
    file: Int, entry: StoredBytes
  ) {
    self.file = file
    self.entry = entry
  }
}

/// A box of stored elements.
public struct StoredBox: Hashable, Sendable {
  /// The position of the storage in ``TransferPlan/storages``.
  public let storage: Int
  public let format: FloatFormat
  public let isBigEndian: Bool
  /// The offset of the first element in the storage, in elements.
  public var offset: Int
  /// The sizes, and the strides in the storage, in elements.
  public var box: ElementBox

  package init(
    storage: Int, format: FloatFormat, isBigEndian: Bool, offset: Int, box: ElementBox
  ) {
    self.storage = storage
    self.format = format
    self.isBigEndian = isBigEndian
    self.offset = offset
    self.box = box
  }
}

/// A part of an output tensor. Destination offsets and strides are in elements of the output
/// tensor; the sizes are those of the source box.
public enum Piece: Hashable, Sendable {
  /// Elements that move, and may be widened, increased and rounded on the way.
  case copy(StoredBox, Destination, addend: Float)
  /// A constant.
  case fill(Float, count: Int, Destination)
  /// Replicas of the same elements, of which one is made.
  case merge([StoredBox], Destination, addend: Float, MergeRule)

  /// What becomes of replicas that differ.
  public enum MergeRule: Hashable, Sendable {
    /// Their mean is taken, computed in binary32 and rounded once.
    case mean
    /// The first one is taken.
    case first
    /// That is an error.
    case strict
    /// They are no replicas but summands: their sum is made, in binary32 and rounded once.
    case sum
    /// They are copies by definition, so that is an error in any case.
    case copies
  }

  /// Where the elements go.
  public struct Destination: Hashable, Sendable {
    public var offset: Int
    public var strides: [Int]

    package init(
      offset: Int, strides: [Int]
    ) {
      self.offset = offset
      self.strides = strides
    }
  }

  /// The number of elements of the output that the piece makes.
  public var elementCount: Int {
    switch self {
    case .copy(let source, _, _): source.box.count
    case .fill(_, let count, _): count
    case .merge(let replicas, _, _, _): replicas.first?.box.count ?? 0
    }
  }
}

/// A tensor of the output.
public struct TensorPlan: Hashable, Sendable {
  public let name: String
  public let format: FloatFormat
  public let shape: [Int]
  public let pieces: [Piece]
  /// The name of the source tensor in the index.
  public let source: String
  /// How the source is divided among ranks, and what becomes of its axes, for people.
  public let partition: String
  public let arrangement: String
  /// Whether it is a weight of a layernorm.
  public let isNormWeight: Bool

  package init(
    name: String, format: FloatFormat, shape: [Int], pieces: [Piece], source: String,
    partition: String, arrangement: String, isNormWeight: Bool
  ) {
    self.name = name
    self.format = format
    self.shape = shape
    self.pieces = pieces
    self.source = source
    self.partition = partition
    self.arrangement = arrangement
    self.isNormWeight = isNormWeight
  }

  /// The element type in the file.
  public var dtype: DType { DType(format) }

  /// The size in bytes.
  public var byteCount: Int { shape.reduce(1, *) * format.size }

  /// The number of columns of a matrix; other tensors count as one row.
  var width: Int { shape.count == 2 ? shape[1] : shape.reduce(1, *) }

  /// Whether its elements are sums over ranks.
  package var isSummed: Bool {
    pieces.contains { if case .merge(_, _, _, .sum) = $0 { true } else { false } }
  }

  /// Whether a number is added to its elements.
  package var hasAddend: Bool {
    pieces.contains { piece in
      switch piece {
      case .copy(_, _, let addend), .merge(_, _, let addend, _): addend != 0
      case .fill: false
      }
    }
  }
}

/// A file of the output with its header.
public struct FilePlan: Hashable, Sendable {
  public let fileName: String
  /// The positions of its tensors in ``TransferPlan/tensors``, in the order of their bytes.
  public let tensors: [Int]
  public let header: SafetensorsHeader

  package init(
    fileName: String, tensors: [Int], header: SafetensorsHeader
  ) {
    self.fileName = fileName
    self.tensors = tensors
    self.header = header
  }

  /// The size of the file in bytes.
  public var size: Int { header.serialized.count + header.dataSize }

  /// The CRC-32 of the file, from those of its tensors by their positions in the plan; `nil` unless
  /// all of them are known.
  package func checksum(of tensors: [Int: UInt32]) -> UInt32? {
    let start = header.serialized
    var crc = CRC32.checksum(start)
    for (position, tensor) in zip(self.tensors, header.tensors) {
      guard let next = tensors[position] else { return nil }
      crc = CRC32.Shift(by: tensor.dataOffsets.count)(crc) ^ next
    }
    return crc
  }
}

/// What a transfer does, as plain data: every tensor of the output as pieces of stored bytes. It is
/// made without reading a tensor, and carrying it out decides nothing but what data alone can tell.
public struct TransferPlan: Hashable, Sendable {
  public let files: [PlanFile]
  public let storages: [PlanStorage]
  /// In the order of the model.
  public let tensors: [TensorPlan]
  /// The files of the output.
  public let shards: [FilePlan]
  /// Whether more is written than is read, so that it pays to write one tensor while the next is
  /// read.
  package let isWidening: Bool

  package init(
    files: [PlanFile], storages: [PlanStorage], tensors: [TensorPlan], shards: [FilePlan],
    isWidening: Bool
  ) {
    self.files = files
    self.storages = storages
    self.tensors = tensors
    self.shards = shards
    self.isWidening = isWidening
  }

  /// A text that two pieces share only if they make the same elements of the same files.
  package func identity(of piece: Piece) -> String {
    func source(_ box: StoredBox) -> String {
      let storage = storages[box.storage]
      return "\(files[storage.file].name):\(storage.entry.name) \(box.format) \(box.isBigEndian) "
        + "\(box.offset) \(box.box.sizes) \(box.box.strides)"
    }
    return switch piece {
    case .copy(let box, let target, let addend):
      "copy \(source(box)) to \(target.offset) \(target.strides) + \(addend)"
    case .fill(let value, let count, let target):
      "fill \(value) \(count) to \(target.offset) \(target.strides)"
    case .merge(let boxes, let target, let addend, let rule):
      "merge \(boxes.map(source)) to \(target.offset) \(target.strides) + \(addend) "
        // The policy is an option of its own.
        + (rule == .copies ? "copies" : rule == .sum ? "sum" : "replicas")
    }
  }

  /// The bytes of all tensors.
  public var tensorBytes: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// The elements of all tensors.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.shape.reduce(1, *) } }
}

extension DType {
  /// The name that safetensors has for a format.
  public init(_ format: FloatFormat) {
    switch format {
    case .float16: self = .f16
    case .bfloat16: self = .bf16
    case .float32: self = .f32
    }
  }
}

extension FloatFormat {
  /// The format of a floating-point type that weights are stored in.
  public init?(_ dtype: TorchDType) {
    switch dtype {
    case .float16: self = .float16
    case .bfloat16: self = .bfloat16
    case .float32: self = .float32
    default: return nil
    }
  }

  /// The format of a type of safetensors.
  public init?(_ dtype: DType) {
    switch dtype {
    case .f16: self = .float16
    case .bf16: self = .bfloat16
    case .f32: self = .float32
    default: return nil
    }
  }
}

extension TransferPlan {
  /// The bytes of the storages that are read, as far as they are needed.
  public var sourceBytes: Int { sourceBytes(of: Array(shards.indices)) }

  /// The same for some of the files.
  package func sourceBytes(of shards: [Int]) -> Int {
    shards.flatMap { self.shards[$0].tensors }.reduce(0) { total, position in
      tensors[position].pieces.reduce(total) { total, piece in
        switch piece {
        case .copy(let source, _, _): total + source.box.count * source.format.size
        case .merge(let replicas, _, _, _):
          total + replicas.reduce(0) { $0 + $1.box.count * $1.format.size }
        case .fill: total
        }
      }
    }
  }
}
