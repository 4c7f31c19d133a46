import ByteIO
import Diagnostics
import JSON
import SystemPackage
import TorchArchive

/// Megatron-core's checkpoints in zarr version 2: a folder for each tensor, with `.zarray` and a
/// file for each chunk, and files of `torch.save` for other values (Megatron-core 0.4 to 0.15,
/// `dist_checkpointing/strategies/zarr.py`).
extension DistributedCheckpoint {
  /// More chunks than any tensor of a model has.
  private static let maximumChunks = 1 << 22

  mutating func readZarr(_ names: [String]) throws(Failure) {
    for name in names.sorted() {
      let below = folder.appending(name)
      guard ((try? FileSystem.kind(of: below)) ?? nil) == .folder else { continue }
      let inner: [String]
      do {
        inner = try FileSystem.list(below).map(\.string)
      } catch {
        throw Failure(reading: error, file: below.string)
      }
      if inner.contains(".zarray") {
        add(try zarr(name, Set(inner)))
      } else if let chunk = inner.first(where: { name in
        !name.isEmpty && name.allSatisfy { $0.isNumber || $0 == "." }
      }) {
        throw Failure(
          .distributedIncomplete,
          "it has chunks, such as \"\(chunk)\", but no .zarray, which describes them",
          file: below.string, hint: "a copy left the hidden file out: copy the folder itself")
      } else {
        for file in inner.sorted() where file.hasSuffix(".pt") {
          let position = try add("\(name)/\(file)")
          add(
            DistributedObject(
              name: "\(name)/\(file.dropLast(3))", file: position,
              bytes: 0..<files[position].identity.size))
        }
      }
    }
    guard !tensors.isEmpty else {
      throw Failure(
        .distributedIncomplete, "no folder in it has a .zarray", file: folder.string,
        hint: "the save was not finished, or a copy left the hidden files out")
    }
  }

  private mutating func zarr(
    _ name: String, _ there: Set<String>
  ) throws(Failure) -> DistributedTensor {
    let path = folder.appending(name).appending(".zarray")
    func bad(_ message: String, _ hint: String? = nil) -> Failure {
      Failure(.distributedZarr, message, file: path.string, tensor: name, hint: hint)
    }
    guard case .object(let array) = try JSONFile.read(path) else {
      throw bad("it is no JSON object")
    }
    for (key, plain) in [("compressor", JSONValue.null), ("filters", .null), ("order", "C")]
    where array[key] != nil && array[key] != plain {
      throw bad(
        "its \(key) is \(JSONWriter.text(array[key] ?? .null, .compact).prefix(80))",
        "Megatron-core writes neither compressed nor transposed chunks; only those are read")
    }
    guard array["zarr_format"] == .int(2) else { throw bad("its zarr_format is not 2") }
    guard case .string(let type)? = array["dtype"],
      let dtype = DistributedCheckpoint.zarrTypes[type]
    else {
      throw bad(
        "its dtype is \(JSONWriter.text(array["dtype"] ?? .null, .compact).prefix(60))",
        "expected: bfloat16, <f4, <f2, <f8, <i8, <i4 or |u1")
    }
    func sizes(_ key: String) -> [Int]? {
      guard case .array(let values)? = array[key], values.count <= 64 else { return nil }
      let numbers = values.compactMap { if case .int(let value) = $0 { value } else { nil } }
      return numbers.count == values.count ? numbers : nil
    }
    guard let shape = sizes("shape"), let chunk = sizes("chunks"), shape.count == chunk.count,
      DistributedMetadata.isShape(shape), DistributedMetadata.isShape(chunk),
      chunk.allSatisfy({ $0 > 0 })
    else { throw bad("it has no shape, or no size of its chunks") }
    let counts = zip(shape, chunk).map { ($0 + $1 - 1) / $1 }
    guard DistributedMetadata.isShape(counts),
      counts.reduce(1, *) <= DistributedCheckpoint.maximumChunks
    else { throw bad("it would have \(counts) chunks") }
    let separator: String
    if case .string(let text)? = array["dimension_separator"] {
      separator = text
    } else {
      separator = "."
    }
    guard separator == "." else { throw bad("its dimension_separator is \"\(separator)\"") }
    let bytes = chunk.reduce(dtype.size, *)
    var chunks: [DistributedTensor.Chunk] = []
    for number in 0..<counts.reduce(1, *) {
      var rest = number
      var place = [Int](repeating: 0, count: counts.count)
      for axis in counts.indices.reversed() {
        place[axis] = rest % counts[axis]
        rest /= counts[axis]
      }
      let file = place.isEmpty ? "0" : place.map { "\($0)" }.joined(separator: separator)
      guard there.contains(file) else {
        throw Failure(
          .distributedIncomplete, "the file \"\(file)\" of its chunk is missing",
          file: folder.appending(name).string, tensor: name,
          hint: "the save was not finished, or the file was not copied")
      }
      let position = try add("\(name)/\(file)")
      guard files[position].identity.size == bytes else {
        throw Failure(
          .distributedRange,
          "it has \(files[position].identity.size) bytes; a chunk of \(chunk) has \(bytes)",
          file: files[position].name, tensor: name, hint: "copy it again")
      }
      let offsets = zip(place, chunk).map { $0 * $1 }
      chunks.append(
        DistributedTensor.Chunk(
          offsets: offsets,
          sizes: zip(zip(offsets, chunk), shape).map { min($0.1, $1 - $0.0) },
          storedSizes: chunk,
          place: DistributedTensor.Place(.elements, file: position, bytes: 0..<bytes)))
    }
    return DistributedTensor(name: name, dtype: dtype, shape: shape, chunks: chunks)
  }

  private static let zarrTypes: [String: TorchDType] = [
    "bfloat16": .bfloat16, "<f2": .float16, "<f4": .float32, "<f8": .float64, "<i8": .int64,
    "<i4": .int32, "|u1": .uint8, "|i1": .int8, "|b1": .bool,
  ]
}
