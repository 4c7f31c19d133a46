import ByteIO
import Conversion
import DistributedCheckpoint
import JSON
import TorchArchive

/// What `inspect` says of how a distributed checkpoint is stored: all of its keys, the model's and
/// others.
struct DistributedDescription {
  private let source: DistributedCheckpoint

  init(_ source: DistributedCheckpoint) {
    self.source = source
  }

  // MARK: - For programs

  var json: JSONValue {
    func numbers(_ values: [Int]) -> JSONValue { .array(values.map { .int($0) }) }
    func file(_ position: Int) -> JSONValue { .string(source.files[position].name) }
    return [
      "container": .string(source.form.rawValue),
      "tensors": .array(
        source.tensors.map { tensor in
          [
            "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue),
            "shape": numbers(tensor.shape),
            "chunks": .array(
              tensor.chunks.map { chunk in
                [
                  "offsets": numbers(chunk.offsets), "sizes": numbers(chunk.sizes),
                  "file": file(chunk.place.file), "offset": .int(chunk.place.bytes.lowerBound),
                  "bytes": .int(chunk.place.bytes.count),
                ]
              }),
          ]
        }),
      "values": .array(
        source.objects.map { object in
          [
            "name": .string(object.name), "file": file(object.file),
            "offset": .int(object.bytes.lowerBound), "bytes": .int(object.bytes.count),
          ]
        }),
      "files": .array(
        source.files.map { ["name": .string($0.name), "size": .int($0.identity.size)] }),
    ]
  }

  // MARK: - For people

  /// One line: what holds the tensors, and how many there are.
  var summary: String {
    let chunks = source.tensors.reduce(0) { $0 + $1.chunks.count }
    let form =
      switch source.form {
      case .torch: "torch.distributed.checkpoint"
      case .safetensors: "torch.distributed.checkpoint in safetensors"
      case .zarr: "zarr"
      case .huggingFace: "parts of safetensors"
      }
    return "\(form): \(plural(source.tensors.count, "key")) with \(plural(chunks, "chunk")), "
      + "\(plural(source.objects.count, "value")), \(plural(source.files.count, "file"))"
  }

  /// All keys, those of one kind in one row.
  var table: String {
    var rows:
      [(name: String, dtype: String, shape: [Int], chunks: Int, files: Set<Int>, count: Int)] =
        []
    var positions: [String: Int] = [:]
    for tensor in source.tensors {
      let name = DistributedDescription.kind(tensor.name)
      let files = Set(tensor.chunks.map(\.place.file))
      let mark = "\(name) \(tensor.dtype.rawValue) \(tensor.shape)"
      if let known = positions[mark] {
        rows[known].count += 1
        rows[known].chunks += tensor.chunks.count
        rows[known].files.formUnion(files)
      } else {
        positions[mark] = rows.count
        rows.append(
          (name, tensor.dtype.rawValue, tensor.shape, tensor.chunks.count, files, 1))
      }
    }
    var table = TextTable(["KEY", "KEYS", "DTYPE", "SHAPE", "CHUNKS", "FILES"])
    for row in rows {
      table.add([
        row.name, "\(row.count)", row.dtype, shapeText(row.shape), "\(row.chunks)",
        row.files.count == 1
          ? row.files.first.map { source.files[$0].name } ?? "" : "\(row.files.count)",
      ])
    }
    let values = Dictionary(grouping: source.objects) {
      DistributedDescription.kind($0.name)
    }
    for (name, objects) in values.sorted(by: { $0.key < $1.key }) {
      let files = Set(objects.map(\.file))
      table.add([
        name, "\(objects.count)", "value", "-", "\(objects.count)",
        files.count == 1 ? files.first.map { source.files[$0].name } ?? "" : "\(files.count)",
      ])
    }
    return table.text()
  }

  /// A name with its numbers left out.
  private static func kind(_ name: String) -> String {
    name.replacing(/[0-9]+/, with: "*").replacing(/\*([._]\*)+/, with: "*")
  }
}
