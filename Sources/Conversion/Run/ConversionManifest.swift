import Architectures
import ByteIO
public import Diagnostics
public import JSON
public import Megatron
import Safetensors
public import SystemPackage
import Transfer

/// What `conversion_manifest.json` says: only what input and options determine, so that the same
/// input gives the same bytes.
public struct ConversionManifest: Sendable {
  /// The version of the contents.
  public static let schema = "meg2hf.manifest/2"
  /// Those that are read, too.
  private static let known = [schema, "meg2hf.manifest/1"]

  /// All of it, as it stands in the file.
  public private(set) var json: JSONValue
  /// A SHA-256 of all that decided about the output, as hexadecimal digits.
  public let fingerprint: String
  /// A file of the output.
  public struct Output: Hashable, Sendable {
    /// The name in the folder of the output, without a path.
    public let name: String
    /// The size in bytes.
    public let size: Int
    /// The CRC-32 of its bytes; `nil` in manifests of the first version.
    public let crc: UInt32?
  }

  /// The other files of the output.
  public let outputs: [Output]

  /// The CRC-32 of the bytes of each tensor, by its name; empty in manifests of the first version.
  public var checksums: [String: UInt32] {
    var result: [String: UInt32] = [:]
    for tensor in json.object?["tensors"]?.array?.compactMap(\.object) ?? [] {
      guard let name = tensor["name"]?.string,
        let crc = tensor["crc32"]?.string.flatMap({ UInt32($0, radix: 16) })
      else { continue }
      result[name] = crc
    }
    return result
  }

  /// Which weights the output was made of.
  public var weights: WeightSource? {
    json.object?["options"]?.object?["weights"]?.string.flatMap { WeightSource(rawValue: $0) }
  }

  /// How many ranks the user said were put together in each part of the checkpoint.
  public var mergedRanks: Int? { json.object?["options"]?.object?["merged_ranks"]?.int }

  /// The order of the query, key and value rows that the output was made with.
  var qkvLayout: String? {
    let decisions = json.object?["decisions"]
    if let old = decisions?.object { return old["qkv_layout"]?.string }
    return decisions?.array?.compactMap(\.object).first { $0["name"]?.string == "qkv_layout" }?[
      "value"]?.string
  }

  /// The training arguments that the user had set, and those that records of the run filled in.
  public var settings: JSONObject {
    var settings = json.object?["options"]?.object?["set"]?.object ?? JSONObject()
    let rows = json.object?["records"]?.object?["cross_check"]?.array ?? []
    for row in rows.compactMap(\.object)
    where row["verdict"]?.string == RecordCheck.Verdict.filled.rawValue {
      guard let name = row["option"]?.string, settings[name] == nil else { continue }
      let values = [row["logs"], row["script"]].compactMap { $0 }.filter { $0 != .null }
      settings[name] = values.first
    }
    return settings
  }

  /// Reads a manifest.
  ///
  /// - Throws: `Failure` when it is not a manifest.
  public init(reading path: FilePath) throws(Failure) {
    let json = try JSONFile.read(path)
    guard let object = json.object, let found = object["schema"]?.string,
      ConversionManifest.known.contains(found), let fingerprint = object["fingerprint"]?.string
    else {
      throw Failure(
        .manifestSchema,
        "it is not a manifest of schema \(ConversionManifest.schema)",
        file: path.string)
    }
    self.json = json
    self.fingerprint = fingerprint
    outputs = (object["outputs"]?.array ?? []).compactMap { entry in
      guard let name = entry.object?["file"]?.string, let size = entry.object?["size"]?.int,
        !name.contains("/")
      else { return nil }
      let crc = entry.object?["crc32"]?.string.flatMap { UInt32($0, radix: 16) }
      return Output(name: name, size: size, crc: crc)
    }
  }

  /// The manifest of a conversion that is done.
  init(
    _ plan: ConversionPlan, _ index: Checkpoint, fingerprint: String,
    report: ExecutionReport, outputs: [Output], checksums: [Int: UInt32],
    warnings: [Diagnostic]
  ) {
    self.fingerprint = fingerprint
    self.outputs = outputs
    var tensors: [JSONValue] = []
    for (position, tensor) in plan.tensors.enumerated() {
      tensors.append(
        ConversionManifest.describe(tensor, report.findings[position], checksums[position]))
    }
    json = [
      "schema": .string(ConversionManifest.schema),
      "tool": ["name": "meg2hf", "version": .string(toolVersion)],
      "fingerprint": .string(fingerprint),
      "source": ConversionManifest.source(plan, index),
      "options": ConversionManifest.options(plan, index),
      "decisions": .array(plan.decisions.map(\.json)),
      "parameters": .int(plan.parameterCount),
      "checksums": [
        "verified": .int(report.crcVerified), "not_recorded": .int(report.crcNotRecorded),
        "partly_read": .int(report.crcPartlyRead),
      ],
      "tensors": .array(tensors),
      "outputs": .array(
        outputs.map {
          [
            "file": .string($0.name), "size": .int($0.size),
            "crc32": $0.crc.map { .string(ConversionManifest.hexadecimal($0)) } ?? .null,
          ]
        }),
      "warnings": .array(warnings.map(\.json)),
    ]
    guard let records = plan.options.records, var object = json.object else { return }
    object["records"] = records.json(plan.recordCheck)
    json = .object(object)
  }

  /// A CRC-32 as eight digits.
  static func hexadecimal(_ crc: UInt32) -> String {
    let digits = String(crc, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  private static func describe(
    _ tensor: TensorPlan, _ finding: TensorFindings?, _ crc: UInt32?
  ) -> JSONValue {
    var object: JSONObject = JSONObject()
    object["name"] = .string(tensor.name)
    object["dtype"] = .string(tensor.dtype.rawValue)
    object["shape"] = .array(tensor.shape.map { .int($0) })
    if let crc { object["crc32"] = .string(ConversionManifest.hexadecimal(crc)) }
    object["source"] = .string(tensor.source)
    object["partition"] = .string(tensor.partition)
    object["arrangement"] = .string(tensor.arrangement)
    if let finding {
      if finding.differing > 0 {
        object["replicas_differing"] = .int(finding.differing)
        object["replicas_largest_difference"] = .double(Double(finding.largestDifference))
      }
      if finding.floats.nan > 0 { object["nan"] = .int(finding.floats.nan) }
      if finding.floats.infinite > 0 { object["infinite"] = .int(finding.floats.infinite) }
      if finding.floats.overflowed > 0 { object["overflowed"] = .int(finding.floats.overflowed) }
    }
    return .object(object)
  }

  private static func source(_ plan: ConversionPlan, _ index: Checkpoint) -> JSONValue {
    [
      "layout": .string(index.folder.layout.rawValue),
      "tag": index.folder.tag.map { .string($0) } ?? .null,
      "iteration": index.iteration.map { .int($0) } ?? .null,
      "checkpoint_version": index.checkpointVersion.map { .double($0) } ?? .null,
      "tensor_parallel": .int(index.trainedTensorParallel),
      "pipeline_parallel": index.pipelineParallel.map { .int($0) } ?? .null,
      "files": .array(
        index.files.sorted { $0.name < $1.name }.map {
          [
            "name": .string($0.name), "size": .int($0.identity.size),
            "directory_sha256": .string($0.directoryDigest),
          ]
        }),
    ]
  }

  /// The options in the spelling of the command line, so that a later `verify` can take them up.
  static func options(_ plan: ConversionPlan, _ index: Checkpoint) -> JSONValue {
    let options = plan.options
    let vocabulary: JSONValue =
      switch options.vocabulary {
      case .keep: "keep"
      case .trim: "trim"
      case .rows(let rows): .int(rows)
      }
    let fields: JSONValue = [
      "weights": .string(index.weights.rawValue),
      "set": .object(index.arguments.userSettings),
      "dtype": .string(options.dtype.flatMap { FloatFormat($0) }?.torchName ?? "auto"),
      "qkv_layout": .string(options.qkvLayout?.rawValue ?? "auto"),
      "merged_ranks": options.mergedRanks.map { .int($0) } ?? "auto",
      "accept_duplicated_shards": .bool(options.acceptsDuplicatedShards),
      "replicas": .string(options.replicas.rawValue),
      "vocab_size": vocabulary,
      "key_style": .string(options.keyStyle.rawValue),
      "max_shard_size": options.maximumShardSize.map { .int($0) } ?? "none",
    ]
    guard var object = fields.object else { return fields }
    if let sample = options.sample {
      object["sample"] = ["prompt": .string(sample.prompt), "text": .string(sample.text)]
    }
    if options.copiesLogs { object["copy_logs"] = true }
    return .object(object)
  }
}
