import ByteIO
import Diagnostics
import JSON
import Safetensors
import SystemPackage
import TorchArchive

/// Checkpoints whose parts are files of safetensors.
extension DistributedCheckpoint {
  /// A file of safetensors, and where each of its tensors is.
  private struct Shard {
    let position: Int
    let start: Int
    let tensors: [String: SafetensorsTensor]
    let metadata: [String: String]
  }

  private mutating func shard(_ name: String) throws(Failure) -> Shard {
    do {
      let file = try SafetensorsFile(opening: folder.appending(name))
      return Shard(
        position: try add(name), start: file.dataStart,
        tensors: Dictionary(
          file.header.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first }),
        metadata: file.header.metadata ?? [:])
    } catch {
      throw Failure(reading: error, file: name)
    }
  }

  /// `.metadata` with files of safetensors (`SerializationFormat.SAFETENSORS`): the places that it
  /// gives do not count; the header of the file says where a tensor is.
  mutating func readSafetensors(_ metadata: DistributedMetadata) throws(Failure) {
    var shards: [String: Shard] = [:]
    for tensor in metadata.tensors {
      var chunks: [DistributedTensor.Chunk] = []
      for chunk in tensor.chunks {
        let name = chunk.place.file
        let shard: Shard
        if let known = shards[name] { shard = known } else { shard = try self.shard(name) }
        shards[name] = shard
        guard let stored = shard.tensors[tensor.name] else {
          throw Failure(
            .distributedMismatch, "the file does not have it, though .metadata says so",
            file: name, tensor: tensor.name)
        }
        guard stored.shape == chunk.sizes, TorchDType(stored.dtype) == tensor.dtype else {
          throw Failure(
            .distributedMismatch,
            "the file has \(stored.dtype.rawValue) \(stored.shape), but .metadata says "
              + "\(tensor.dtype.rawValue) \(chunk.sizes)", file: name, tensor: tensor.name)
        }
        chunks.append(
          DistributedTensor.Chunk(
            offsets: chunk.offsets, sizes: chunk.sizes, place: place(of: stored, in: shard)))
      }
      add(
        DistributedTensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, chunks: chunks))
    }
  }

  private func place(of stored: SafetensorsTensor, in shard: Shard) -> DistributedTensor.Place {
    DistributedTensor.Place(
      .elements, file: shard.position,
      bytes: shard.start + stored.dataOffsets.lowerBound..<shard.start
        + stored.dataOffsets.upperBound)
  }

  /// Files of `HuggingFaceStorageWriter`: each says in `DCP_SHARDING_INFO` where its parts of the
  /// tensors begin (PyTorch `torch/distributed/checkpoint/hf_storage.py`).
  mutating func readShards(_ names: [String]) throws(Failure) {
    var parts: [String: [(offsets: [Int], stored: SafetensorsTensor, shard: Shard)]] = [:]
    var order: [String] = []
    let files = names.filter(DistributedFolder.isShard).sorted()
    for name in files {
      let shard = try shard(name)
      let offsets = try savedOffsets(shard.metadata, name)
      for tensor in shard.tensors.values.sorted(by: {
        $0.dataOffsets.lowerBound < $1.dataOffsets.lowerBound
      }) {
        guard let saved = offsets[tensor.name], saved.count == tensor.shape.count else {
          throw Failure(
            .distributedMismatch, "DCP_SHARDING_INFO does not say where its part begins",
            file: name, tensor: tensor.name)
        }
        if parts[tensor.name] == nil { order.append(tensor.name) }
        parts[tensor.name, default: []].append((saved, tensor, shard))
      }
    }
    for name in order {
      guard let found = parts[name], let first = found.first else { continue }
      guard let dtype = TorchDType(first.stored.dtype),
        found.allSatisfy({ $0.stored.dtype == first.stored.dtype })
      else {
        throw Failure(
          .distributedMismatch, "its parts are of several types, or of one that PyTorch lacks",
          file: folder.string, tensor: name)
      }
      // The shape is not recorded: it is what the parts span.
      let shape = try first.offsets.indices.map { axis throws(Failure) in
        var end = 0
        for part in found {
          guard part.offsets.count == first.offsets.count,
            case let (sum, overflow) = part.offsets[axis].addingReportingOverflow(
              part.stored.shape[axis]), part.offsets[axis] >= 0, !overflow
          else {
            throw Failure(
              .distributedChunks, "a part begins at \(part.offsets)",
              file: self.files[part.shard.position].name, tensor: name)
          }
          end = max(end, sum)
        }
        return end
      }
      let fault =
        DistributedMetadata.isShape(shape)
        ? ChunkTiling(shape, found.map { ($0.offsets, $0.stored.shape) }).fault
        : "its shape would be \(shape)"
      if let fault {
        throw Failure(
          .distributedChunks, fault, file: folder.string, tensor: name,
          hint: "are all files of safetensors there?")
      }
      add(
        DistributedTensor(
          name: name, dtype: dtype, shape: shape,
          chunks: found.map { part in
            DistributedTensor.Chunk(
              offsets: part.offsets, sizes: part.stored.shape,
              place: place(of: part.stored, in: part.shard))
          }))
    }
  }

  /// Where the parts of a file begin, by the names of the tensors.
  private func savedOffsets(
    _ metadata: [String: String], _ file: String
  ) throws(Failure) -> [String: [Int]] {
    guard let text = metadata["DCP_SHARDING_INFO"] else {
      throw Failure(
        .distributedMismatch, "its metadata has no DCP_SHARDING_INFO", file: file,
        hint: "the name is that of a part of a checkpoint; verify checks other safetensors files")
    }
    guard case .object(let object)? = try? JSONParser.parse(Array(text.utf8)) else {
      throw Failure(.distributedMismatch, "its DCP_SHARDING_INFO is not JSON", file: file)
    }
    var offsets: [String: [Int]] = [:]
    for member in object.members {
      guard case .object(let info) = member.value,
        case .array(let values)? = info["saved_offsets"]
      else { continue }
      let numbers = values.compactMap { if case .int(let value) = $0 { value } else { nil } }
      if numbers.count == values.count { offsets[member.key] = numbers }
    }
    return offsets
  }
}

extension TorchDType {
  /// PyTorch's type for one of safetensors, if it has it.
  init?(_ dtype: DType) {
    switch dtype {
    case .f64: self = .float64
    case .f32: self = .float32
    case .f16: self = .float16
    case .bf16: self = .bfloat16
    case .i64: self = .int64
    case .i32: self = .int32
    case .i16: self = .int16
    case .i8: self = .int8
    case .u64: self = .uint64
    case .u32: self = .uint32
    case .u16: self = .uint16
    case .u8: self = .uint8
    case .bool: self = .bool
    case .c64: self = .complex64
    case .f8E5M2: self = .float8_e5m2
    case .f8E4M3: self = .float8_e4m3fn
    case .f8E8M0: self = .float8_e8m0fnu
    case .f8E4M3FNUZ: self = .float8_e4m3fnuz
    case .f8E5M2FNUZ: self = .float8_e5m2fnuz
    case .f4, .f6E2M3, .f6E3M2: return nil
    }
  }
}
