import Architectures
import ByteIO
import Conversion
import Diagnostics
import JSON
import Megatron
import SystemPackage
import TorchArchive

/// What `inspect` says of a checkpoint.
struct CheckpointDescription {
  private let inspection: CheckpointInspection
  private let digests: CheckpointDigests?
  private var index: Checkpoint { inspection.index }

  init(_ inspection: CheckpointInspection, _ digests: CheckpointDigests?) {
    self.inspection = inspection
    self.digests = digests
  }

  private var isConvertible: Bool { inspection.reasons.isEmpty }

  /// Rows of the vocabulary before padding, or all.
  private var vocabulary: Int {
    let padded = inspection.sizes?.vocabulary ?? 0
    guard let original = index.originalVocabularySize, (1...max(padded, 1)).contains(original)
    else {
      return padded
    }
    return original
  }

  // MARK: - For programs

  var payload: JSONObject {
    var result = JSONObject()
    result["convertible"] = .bool(isConvertible)
    result["reasons"] = .array(inspection.reasons.map(\.json))
    result["path"] = .string(index.folder.path.string)
    result["layout"] = .string(index.folder.layout.rawValue)
    result["layout_evidence"] = .string(index.folder.reason)
    result["tag"] = index.folder.tag.map { .string($0) } ?? nil
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
      inspection.plan?.activation.map {
        ["name": .string($0.text), "evidence": .string($0.reason)]
      } ?? nil
    if let sizes = inspection.sizes {
      result["model"] = [
        "layers": .int(sizes.layers), "hidden": .int(sizes.hidden),
        "heads": .int(sizes.heads), "feed_forward": .int(sizes.feedForward),
        "positions": .int(sizes.positions),
        "padded_vocabulary": .int(sizes.vocabulary),
        "original_vocabulary": index.originalVocabularySize.map { .int($0) } ?? nil,
        "tied": .bool(inspection.model.isTied),
      ]
      result["parameters"] = .int(
        inspection.parameterCount())
      result["parameters_without_embeddings"] = .int(
        inspection.parameterCount(vocabulary: 0, positions: 0))
      result["card_parameters"] = .int(inspection.statedParameters(vocabulary: vocabulary))
      result["ratio"] = .int(sizes.ratio)
    }
    var arguments = JSONObject()
    for key in index.arguments.values.keys.sorted() {
      if let value = index.arguments.values[key] { arguments[key] = value.json }
    }
    result["arguments"] = .object(arguments)
    result["unknown_arguments"] = .array(inspection.unknownArguments.map { .string($0) })
    result["decisions"] = .array(inspection.decisions.map(\.json))
    result["passed_over"] = .array(
      index.passedOver.sorted { $0.key < $1.key }.map {
        ["name": .string($0.key), "reason": .string($0.value)]
      })
    result["optimizer"] = OptimizerFiles(index).json
    result["distributed"] = index.distributed.map { DistributedDescription($0).json } ?? nil
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
    object["bytes"] = .int(row.byteCount)
    object["shards"] = .array(
      row.shards.map { shard in
        [
          "rank": .int(shard.rank), "stage": shard.stage.map { .int($0) } ?? .null,
          "file": .string(shard.file), "shape": shape(shard.shape), "bytes": .int(shard.byteCount),
        ]
      })
    if let digests = digests?.byTensor[row.name] {
      object["sha256"] = .array(digests.map { .string($0) })
    }
    return .object(object)
  }

  private var dtype: String { index.dtypes.map(\.rawValue).sorted().joined(separator: ", ") }

  // MARK: - For people

  /// The text.
  ///
  /// - Parameters:
  ///   - verbose: Whether all arguments are shown, and what was passed over.
  ///   - listing: How tensors are filtered, sorted and folded.
  ///   - columns: What is shown of each; `nil` for the usual.
  /// - Returns: The lines.
  func text(verbose: Bool, listing: TensorListing, columns: [TensorColumn]?) -> String {
    var table = TextTable()
    table.add("layout", "\(index.folder.layout.title) (\(index.folder.reason))")
    if let source = index.distributed {
      table.add("stored as", DistributedDescription(source).summary)
    }
    table.add("iteration", index.iteration.map { "\($0)" } ?? "not recorded")
    table.add(
      "parallel",
      "tp \(index.trainedTensorParallel), pp "
        + "\(index.pipelineParallel.map { "\($0)" } ?? "not recorded")"
    )
    table.add("dtype", dtype)
    if let sizes = inspection.sizes {
      table.add(
        "model",
        "\(sizes.layers) layers, hidden \(sizes.hidden), \(sizes.heads) heads, "
          + "feed-forward \(sizes.feedForward), \(sizes.positions) positions")
      let padding =
        vocabulary < sizes.vocabulary
        ? ", \(vocabulary) before padding"
        : index.originalVocabularySize == nil ? ", padding unknown" : ""
      table.add("vocabulary", "\(sizes.vocabulary) rows\(padding)")
      let all = inspection.parameterCount()
      let inner = inspection.parameterCount(vocabulary: 0, positions: 0)
      table.add(
        "parameters",
        "\(countText(all)) (\(thousands(all))), without embeddings \(countText(inner))")
      table.add(
        "card size",
        "\(countText(inspection.statedParameters(vocabulary: vocabulary))), ratio of hidden size "
          + "to layers "
          + "\(sizes.ratio)")
    }
    let optimizer = OptimizerFiles(index)
    table.add(
      "optimizer",
      optimizer.text
        + (optimizer.missing.isEmpty
          ? ""
          : ", not complete: \(optimizer.missing[0])"
            + (optimizer.missing.count > 1 ? " and \(optimizer.missing.count - 1) more" : "")
            + (optimizer.missing.count > 1 ? " are missing" : " is missing")))
    table.add("convertible", isConvertible ? "yes" : "no")
    var text = "\(index.folder.path.string)\n" + table.text()
    for reason in inspection.reasons {
      text += "  - \(reason)" + (reason.hint.map { " (\($0))" } ?? "") + "\n"
    }
    text += "\nDECISIONS\n" + DecisionTable(inspection.decisions).text()
    text += argumentTable(verbose: verbose)
    if verbose, !index.passedOver.isEmpty {
      var table = TextTable()
      for (name, reason) in index.passedOver.sorted(by: { $0.key < $1.key }) {
        table.add(name, reason)
      }
      text += "\nPASSED OVER\n" + table.text()
    }
    text += "\n" + tensorTable(listing, columns)
    if let source = index.distributed, verbose || !isConvertible {
      text += "\nSTORED\n" + DistributedDescription(source).table
    }
    return text
  }

  private func argumentTable(verbose: Bool) -> String {
    let count = index.arguments.values.count
    guard count > 0 else { return "\nARGUMENTS\n  none\n" }
    var table = TextTable()
    let keys =
      verbose ? index.arguments.values.keys.sorted() : CheckpointInspection.argumentsThatMatter
    var shown = 0
    for key in keys {
      guard let value = index.arguments.values[key] else { continue }
      shown += 1
      table.add(
        key, value.text + (index.arguments.source(of: ArgumentKey(key)) == .user ? " (set)" : ""))
    }
    let unknown = inspection.unknownArguments
    return "\nARGUMENTS" + (shown < count ? " (\(shown) of \(count); --verbose shows all)" : "")
      + "\n"
      + (table.isEmpty ? "" : table.text())
      + (unknown.isEmpty
        ? ""
        : "  not known to any trainer here: \(unknown.map(printable).joined(separator: ", "))\n")
  }

  private func tensorTable(_ listing: TensorListing, _ chosen: [TensorColumn]?) -> String {
    let standard: [TensorColumn] = [.dtype, .perRank, .shape, .hfName, .hfShape]
    let columns = (chosen ?? standard) + (digests != nil && chosen == nil ? [.sha256] : [])
    let isOfRank = columns.contains(where: \.isOfRank)
    let header = columns.map { $0 == .shape && !isOfRank ? "MERGED" : $0.header }
    let optional: [TensorColumn] = [.hfShape, .perRank, .dtype, .hfName]
    var table = TextTable(
      ["TENSOR"] + header,
      optional: chosen != nil
        ? [] : optional.compactMap { column in columns.firstIndex(of: column).map { $0 + 1 } })
    for row in listing.apply(isOfRank ? rowsOfRanks : rows) {
      table.add([row.name] + columns.map(row.text))
    }
    let bytes = inspection.rows.reduce(0) { $0 + $1.byteCount }
    return (table.isEmpty ? "  no tensor fits\n" : table.text())
      + "  \(plural(inspection.rows.count, "tensor")), \(byteText(bytes)) on all ranks\n"
  }

  /// A row for each tensor.
  private var rows: [ListedTensor] {
    inspection.rows.map { row in
      let shards = row.shardShapes.map(shapeText).joined(separator: " ")
      return ListedTensor(
        name: row.name, dtype: row.dtype, shape: row.mergedShape, byteCount: row.byteCount,
        cells: [
          "per-rank": row.ranks > 1 ? "\(row.ranks) x \(shards)" : shards,
          "hf-name": row.target ?? "-", "hf-shape": row.targetShape.map(shapeText) ?? "-",
        ])
    }
  }

  /// A row for each rank of each tensor.
  private var rowsOfRanks: [ListedTensor] {
    inspection.rows.flatMap { row in
      row.shards.enumerated().map { number, shard in
        ListedTensor(
          name: row.name, dtype: row.dtype, shape: shard.shape, byteCount: shard.byteCount,
          cells: [
            "rank": "\(shard.rank)", "stage": shard.stage.map { "\($0)" } ?? "-",
            "file": shard.file,
            "per-rank": shapeText(shard.shape), "hf-name": row.target ?? "-",
            "hf-shape": row.targetShape.map(shapeText) ?? "-",
            "sha256": digests?.byTensor[row.name].flatMap {
              $0.indices.contains(number) ? $0[number] : nil
            } ?? "-",
          ])
      }
    }
  }
}

/// Decisions as a table: name, value, and why.
struct DecisionTable {
  private let decisions: [Decision]

  init(_ decisions: [Decision]) {
    self.decisions = decisions
  }

  func text() -> String {
    var table = TextTable()
    for decision in decisions {
      table.add(
        decision.name, decision.text,
        (decision.basis == .guess ? "a guess: " : "") + decision.reason)
    }
    return table.isEmpty ? "  none\n" : table.text()
  }
}
