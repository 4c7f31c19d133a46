/// Writes checkpoints of `torch.distributed.checkpoint`, and wrong ones on request.
public struct DistributedWriter {
  /// A box of a tensor, and the file that it goes to.
  public struct Chunk {
    public var offsets: [Int]
    public var sizes: [Int]
    public var values: [Float]
    public var file: String
    /// What `.metadata` says instead of where it was written.
    public var place: (file: String, offset: Int, length: Int)?
    public var transforms: [String] = []
    /// Whether its place is left out.
    public var isLost = false
    /// What is stored instead of its sizes.
    public var storedSizes: [Int]?

    public init(_ offsets: [Int], _ sizes: [Int], _ values: [Float], in file: String) {
      self.offsets = offsets
      self.sizes = sizes
      self.values = values
      self.file = file
    }
  }

  /// A tensor of binary32 values.
  public struct Tensor {
    public var name: String
    public var shape: [Int]
    public var chunks: [Chunk]
    public var dtype = "float32"
  }

  public var tensors: [Tensor] = []
  /// Values, each a pickle of its own, by their keys.
  public var values: [(name: String, pickle: PickleWriter)] = []
  public var rootClass = ("torch.distributed.checkpoint.metadata", "Metadata")

  public init() {}

  /// Adds a tensor that is cut along some axes.
  ///
  /// - Parameters:
  ///   - name: Its key.
  ///   - shape: Its sizes.
  ///   - values: Its elements, row by row.
  ///   - cuts: Into how many equal parts each axis is cut; by default none is.
  public mutating func add(
    _ name: String, _ shape: [Int], _ values: [Float], cuts: [Int]? = nil
  ) {
    let cuts = cuts ?? shape.map { _ in 1 }
    var places: [[Int]] = [[]]
    for count in cuts { places = places.flatMap { place in (0..<count).map { place + [$0] } } }
    let sizes = zip(shape, cuts).map { $0 / $1 }
    // Ranks write in an order of their own.
    let chunks = places.enumerated().reversed().map { number, place in
      let offsets = zip(place, sizes).map { $0 * $1 }
      return Chunk(
        offsets, sizes, DistributedWriter.box(values, shape, offsets, sizes),
        in: "__\(number % 2)_0.distcp")
    }
    tensors.append(Tensor(name: name, shape: shape, chunks: chunks))
  }

  /// The elements of a box, row by row.
  private static func box(
    _ values: [Float], _ shape: [Int], _ offsets: [Int], _ sizes: [Int]
  ) -> [Float] {
    var places: [Int] = [0]
    for (axis, size) in shape.enumerated() {
      places = places.flatMap { place in
        (0..<sizes[axis]).map { place * size + offsets[axis] + $0 }
      }
    }
    return places.map { values[$0] }
  }

  /// Writes the files and `.metadata` into a folder.
  public func write(to folder: TemporaryFolder, _ name: String) throws {
    let (files, metadata) = contents
    for (file, bytes) in files { try folder.write("\(name)/\(file)", bytes) }
    try folder.write("\(name)/.metadata", metadata)
  }

  /// The files by their names, and `.metadata`.
  public var contents: (files: [String: [UInt8]], metadata: [UInt8]) {
    var files: [String: [UInt8]] = [:]
    func append(_ bytes: [UInt8], to file: String) -> (file: String, offset: Int, length: Int) {
      let offset = files[file]?.count ?? 0
      files[file, default: []] += bytes
      return (file, offset, bytes.count)
    }
    var stored:
      [(name: String, offsets: [Int]?, file: String, offset: Int, length: Int, [String])] =
        []
    for tensor in tensors {
      for chunk in tensor.chunks {
        let written = append(chunk.archive, to: chunk.file)
        let place = chunk.place ?? written
        if !chunk.isLost {
          stored.append(
            (
              tensor.name, chunk.offsets, place.file, place.offset, place.length, chunk.transforms
            ))
        }
      }
    }
    for (name, pickle) in values {
      let place = append(
        ZipWriter([.init("archive/data.pkl", pickle.finished)]).bytes, to: "__0_0.distcp")
      stored.append((name, nil, place.file, place.offset, place.length, []))
    }
    var pickle = PickleWriter()
    pickle.object(rootClass) { state in
      state.string("state_dict_metadata")
      state.dict { entries in
        for tensor in tensors {
          entries.string(tensor.name)
          entries.object(("torch.distributed.checkpoint.metadata", "TensorStorageMetadata")) {
            $0.describe(tensor)
          }
        }
        for (name, _) in values {
          entries.string(name)
          entries.object(("torch.distributed.checkpoint.metadata", "BytesStorageMetadata")) { _ in }
        }
      }
      state.string("storage_data")
      state.dict { entries in
        for (name, offsets, file, offset, length, transforms) in stored {
          entries.object(("torch.distributed.checkpoint.metadata", "MetadataIndex")) { index in
            index.string("fqn")
            index.string(name)
            index.string("offset")
            if let offsets { index.size(offsets) } else { index.none() }
          }
          entries.object(("torch.distributed.checkpoint.filesystem", "_StorageInfo")) { place in
            place.string("relative_path")
            place.string(file)
            place.string("offset")
            place.int(offset)
            place.string("length")
            place.int(length)
            if !transforms.isEmpty {
              place.string("transform_descriptors")
              place.tuple { list in for text in transforms { list.string(text) } }
            }
          }
        }
      }
    }
    return (files, pickle.finished)
  }
}

extension DistributedWriter.Chunk {
  /// The file of `torch.save` with its elements.
  fileprivate var archive: [UInt8] {
    let sizes = storedSizes ?? self.sizes
    let strides = sizes.indices.map { sizes[($0 + 1)...].reduce(1, *) }
    var pickle = PickleWriter()
    pickle.tensor(
      "FloatStorage", key: "0", count: values.count, offset: 0, sizes: sizes, strides: strides)
    return ZipWriter([
      .init("archive/data.pkl", pickle.finished),
      .init("archive/data/0", values.flatMap { little(Int($0.bitPattern), 4) }),
    ]).bytes
  }
}

extension PickleWriter {
  /// An object that is made without arguments, and whose attributes `body` pushes.
  public mutating func object(
    _ name: (String, String), _ body: (inout PickleWriter) -> Void
  ) {
    global(name.0, name.1)
    code(")")
    raw([0x81])
    dict(body)
    code("b")
  }

  /// A `torch.Size`.
  public mutating func size(_ values: [Int]) {
    global("torch", "Size")
    tuple { $0.ints(values) }
    code("R")
  }

  /// The attributes of a `TensorStorageMetadata`.
  fileprivate mutating func describe(_ tensor: DistributedWriter.Tensor) {
    string("properties")
    global("torch.distributed.checkpoint.metadata", "TensorProperties")
    code(")")
    raw([0x81])
    tuple { state in
      state.global("torch", tensor.dtype)
      state.none()
      state.bool(false)
      state.int(0)
      state.bool(false)
    }
    code("b")
    string("size")
    size(tensor.shape)
    string("chunks")
    code("](")
    for chunk in tensor.chunks {
      object(("torch.distributed.checkpoint.metadata", "ChunkStorageMetadata")) { state in
        state.string("offsets")
        state.size(chunk.offsets)
        state.string("sizes")
        state.size(chunk.sizes)
      }
    }
    code("e")
  }
}
