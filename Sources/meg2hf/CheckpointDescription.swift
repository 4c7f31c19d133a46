import ByteIO
import Conversion
import Safetensors
import SystemPackage
import TorchArchive

/// What `inspect` says of a checkpoint.
struct CheckpointDescription {
  private let inspection: CheckpointInspection
  private let digests: CheckpointDigests?
  private var index: CheckpointIndex { inspection.index }

  init(_ inspection: CheckpointInspection, _ digests: CheckpointDigests?) {
    self.inspection = inspection
    self.digests = digests
  }

  private var isConvertible: Bool { inspection.reasons.isEmpty }

  /// Rows of the vocabulary before padding, or all.
  private var vocabulary: Int {
    let padded = inspection.geometry?.paddedVocabulary ?? 0
    guard let original = index.originalVocabularySize, (1...max(padded, 1)).contains(original)
    else {
      return padded
    }
    return original
  }

  private var size: String? {
    inspection.geometry.map { billions($0.cardParameterCount(vocabulary: vocabulary)) }
  }

  private func billions(_ count: Int) -> String {
    decimal(Double(count) / 1e9, places: 2) + "B"
  }

  // MARK: - For programs

  var payload: JSONObject {
    var result = JSONObject()
    result["convertible"] = .bool(isConvertible)
    result["reasons"] = .array(inspection.reasons.map(\.json))
    result["path"] = .string(index.directory.folder.string)
    result["layout"] = .string(index.directory.layout.rawValue)
    result["layout_evidence"] = .string(index.directory.reason)
    result["tag"] = index.directory.tag.map { .string($0) } ?? nil
    result["iteration"] = index.iteration.map { .int($0) } ?? nil
    result["tensor_parallel"] = .int(index.trainedTensorParallel)
    result["pipeline_parallel"] = index.pipelineParallel.map { .int($0) } ?? nil
    result["dtype"] = .string(dtype)
    result["checkpoint_version"] = index.checkpointVersion.map { .double($0) } ?? nil
    result["deepspeed_version"] = index.deepspeedVersion.map { .string($0) } ?? nil
    result["qkv"] =
      inspection.qkv.map {
        ["layout": .string($0.layout.rawValue), "evidence": .string($0.reason)]
      } ?? nil
    result["activation"] =
      inspection.plan.map {
        [
          "name": .string($0.activation.name), "evidence": .string($0.activation.reason),
        ]
      } ?? nil
    if let geometry = inspection.geometry {
      result["model"] = [
        "layers": .int(geometry.layers), "hidden": .int(geometry.hidden),
        "heads": .int(geometry.heads), "feed_forward": .int(geometry.feedForward),
        "positions": .int(geometry.positions),
        "padded_vocabulary": .int(geometry.paddedVocabulary),
        "original_vocabulary": index.originalVocabularySize.map { .int($0) } ?? nil,
        "tied": .bool(!geometry.isUntied),
      ]
      result["parameters"] = .int(
        geometry.parameterCount(vocabulary: geometry.paddedVocabulary))
      result["size"] = size.map { .string($0) } ?? nil
      result["ratio"] = .int(geometry.cardRatio)
    }
    var arguments = JSONObject()
    for key in CheckpointInspection.argumentsThatMatter {
      if let value = index.arguments.values[key] { arguments[key] = value.json }
    }
    result["arguments"] = .object(arguments)
    result["tensors"] = .array(inspection.rows.map(row))
    result["files"] = .array(
      index.files.map { ["name": .string($0.name), "size": .int($0.identity.size)] })
    return result
  }

  private func row(_ row: CheckpointInspection.Row) -> JSONValue {
    func shape(_ shape: [Int]) -> JSONValue { .array(shape.map { .int($0) }) }
    var object = JSONObject()
    object["name"] = .string(row.name)
    object["dtype"] = .string(row.dtype)
    object["ranks"] = .int(row.ranks)
    object["shard_shapes"] = .array(row.shardShapes.map(shape))
    object["merged_shape"] = row.mergedShape.map(shape) ?? nil
    object["partition"] = row.partition.map { .string($0) } ?? nil
    object["hf_name"] = row.target.map { .string($0) } ?? nil
    object["hf_shape"] = row.targetShape.map(shape) ?? nil
    if let digests = digests?.byTensor[row.name] {
      object["sha256"] = .array(digests.map { .string($0) })
    }
    return .object(object)
  }

  private var dtype: String { index.dtypes.map(\.rawValue).sorted().joined(separator: ", ") }

  // MARK: - For people

  func text(verbose: Bool) -> String {
    var table = TextTable()
    table.add(
      "layout", "\(index.directory.layout.title) (\(index.directory.reason))")
    table.add("iteration", index.iteration.map { "\($0)" } ?? "not recorded")
    table.add(
      "parallel",
      "tp \(index.trainedTensorParallel), pp \(index.pipelineParallel.map { "\($0)" } ?? "not recorded")"
    )
    table.add("dtype", dtype)
    table.add(
      "qkv",
      inspection.qkv.map { "\($0.layout.rawValue) (\($0.reason))" } ?? "not known")
    if let activation = inspection.plan?.activation {
      table.add("activation", "\(activation.name) (\(activation.reason))")
    }
    if let geometry = inspection.geometry {
      table.add(
        "model",
        "\(geometry.layers) layers, hidden \(geometry.hidden), \(geometry.heads) heads, "
          + "feed-forward \(geometry.feedForward), \(geometry.positions) positions")
      let padding =
        vocabulary < geometry.paddedVocabulary ? ", \(vocabulary) before padding" : ""
      table.add("vocabulary", "\(geometry.paddedVocabulary) rows\(padding)")
      table.add(
        "parameters",
        grouped(geometry.parameterCount(vocabulary: geometry.paddedVocabulary)))
      table.add("size", "\(size ?? "?"), ratio \(geometry.cardRatio)")
    }
    table.add("convertible", isConvertible ? "yes" : "no")
    var text = "\(index.directory.folder.string)\n" + table.text()
    for reason in inspection.reasons {
      text += "  - \(reason)" + (reason.hint.map { " (\($0))" } ?? "") + "\n"
    }
    text += "\nARGUMENTS\n" + argumentTable(verbose: verbose)
    text += "\n" + tensorTable()
    return text
  }

  private func argumentTable(verbose: Bool) -> String {
    guard !index.arguments.values.isEmpty else { return "  none\n" }
    var table = TextTable()
    let keys =
      verbose ? index.arguments.values.keys.sorted() : CheckpointInspection.argumentsThatMatter
    for key in keys {
      guard let value = index.arguments.values[key] else { continue }
      table.add(key, value.text + (index.arguments.source(of: key) == .user ? " (set)" : ""))
    }
    return table.text()
  }

  private func tensorTable() -> String {
    var table = TextTable(["TENSOR", "DTYPE", "PER RANK", "MERGED", "HF NAME", "HF SHAPE"])
    for row in inspection.rows {
      let shards = row.shardShapes.map(shapeText).joined(separator: " ")
      table.add(
        row.name, row.dtype, row.ranks > 1 ? "\(row.ranks) x \(shards)" : shards,
        row.mergedShape.map(shapeText) ?? "-", row.target ?? "-",
        row.targetShape.map(shapeText) ?? "-")
    }
    return table.text()
  }
}
