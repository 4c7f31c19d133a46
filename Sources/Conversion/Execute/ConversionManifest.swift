import ByteIO
public import Safetensors
public import SystemPackage

/// What `conversion_manifest.json` says: only what input and options determine, so that the same
/// input gives the same bytes.
public struct ConversionManifest: Sendable {
  /// The version of the contents.
  public static let schema = "meg2hf.manifest/1"

  public let json: JSONValue
  public let fingerprint: String
  /// The other files of the output with their sizes.
  public let outputs: [(name: String, size: Int)]

  /// Which weights the output was made of.
  public var weights: WeightSource? {
    json.object?["options"]?.object?["weights"]?.string.flatMap { WeightSource(rawValue: $0) }
  }

  /// The training arguments that the user had set.
  public var settings: JSONObject {
    json.object?["options"]?.object?["set"]?.object ?? JSONObject()
  }

  /// Reads a manifest.
  ///
  /// - Throws: ``ConversionError`` when it is none.
  public init(reading path: FilePath) throws(ConversionError) {
    let json = try JSONFile.read(path)
    guard let object = json.object, object["schema"]?.string == ConversionManifest.schema,
      let fingerprint = object["fingerprint"]?.string
    else {
      throw ConversionError(
        .malformed, "manifest/schema", "this is no manifest of schema \(ConversionManifest.schema)",
        file: path.string)
    }
    self.json = json
    self.fingerprint = fingerprint
    outputs = (object["outputs"]?.array ?? []).compactMap { entry in
      guard let name = entry.object?["file"]?.string, let size = entry.object?["size"]?.int,
        !name.contains("/")
      else { return nil }
      return (name, size)
    }
  }

  /// The manifest of a conversion that is done.
  init(
    _ plan: ConversionPlan, _ index: CheckpointIndex, fingerprint: String,
    report: ExecutionReport, outputs: [(name: String, size: Int)], warnings: [ConversionWarning]
  ) {
    self.fingerprint = fingerprint
    self.outputs = outputs
    var tensors: [JSONValue] = []
    for (position, tensor) in plan.tensors.enumerated() {
      tensors.append(ConversionManifest.describe(tensor, report.findings[position]))
    }
    json = [
      "schema": .string(ConversionManifest.schema),
      "tool": ["name": "meg2hf", "version": .string(toolVersion)],
      "fingerprint": .string(fingerprint),
      "source": ConversionManifest.source(plan, index),
      "options": ConversionManifest.options(plan, index),
      "decisions": [
        "qkv_layout": .string(plan.qkv.layout.rawValue),
        "qkv_evidence": .string(plan.qkv.reason),
        "activation_function": .string(plan.activation.name),
        "activation_evidence": .string(plan.activation.reason),
        "vocabulary": .int(plan.vocabulary),
        "dtype": .string(plan.format.torchName),
      ],
      "parameters": .int(plan.parameterCount),
      "checksums": [
        "verified": .int(report.crcVerified), "not_recorded": .int(report.crcNotRecorded),
        "partly_read": .int(report.crcPartlyRead),
      ],
      "tensors": .array(tensors),
      "outputs": .array(outputs.map { ["file": .string($0.name), "size": .int($0.size)] }),
      "warnings": .array(warnings.map(\.json)),
    ]
  }

  private static func describe(_ tensor: OutputTensor, _ finding: TensorFindings?) -> JSONValue {
    var object: JSONObject = JSONObject()
    object["name"] = .string(tensor.name)
    object["dtype"] = .string(tensor.dtype.rawValue)
    object["shape"] = .array(tensor.shape.map { .int($0) })
    object["source"] = .string(tensor.source)
    object["partition"] = .string(tensor.rule.partition.rawValue)
    object["arrangement"] = .string(tensor.rule.arrangement.rawValue)
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

  private static func source(_ plan: ConversionPlan, _ index: CheckpointIndex) -> JSONValue {
    [
      "layout": .string(index.directory.layout.rawValue),
      "tag": index.directory.tag.map { .string($0) } ?? .null,
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
  static func options(_ plan: ConversionPlan, _ index: CheckpointIndex) -> JSONValue {
    let options = plan.options
    let vocabulary: JSONValue =
      switch options.vocabulary {
      case .keep: "keep"
      case .trim: "trim"
      case .rows(let rows): .int(rows)
      }
    return [
      "weights": .string(index.weights.rawValue),
      "set": .object(index.arguments.userSettings),
      "dtype": .string(options.dtype.flatMap { FloatFormat($0) }?.torchName ?? "auto"),
      "qkv_layout": .string(options.qkvLayout?.rawValue ?? "auto"),
      "replicas": .string(options.replicas.rawValue),
      "vocab_size": vocabulary,
      "key_style": .string(options.keyStyle.rawValue),
      "max_shard_size": options.maximumShardSize.map { .int($0) } ?? "none",
    ]
  }
}

extension ConversionWarning {
  /// The warning for machine-readable output.
  public var json: JSONValue {
    var object = JSONObject()
    object["code"] = .string(code)
    object["message"] = .string(message)
    if let tensor { object["tensor"] = .string(tensor) }
    return .object(object)
  }
}

/// The version of this tool.
public let toolVersion = "0.1.0"

/// Small JSON files that others wrote.
public enum JSONFile {
  /// Larger files are refused before they are read.
  public static let maximumSize = 64 << 20

  /// The value in a file.
  ///
  /// - Throws: ``ConversionError`` 66 or 65.
  public static func read(_ path: FilePath) throws(ConversionError) -> JSONValue {
    try parse(bytes(path), path)
  }

  /// The bytes of a file.
  static func bytes(_ path: FilePath) throws(ConversionError) -> [UInt8] {
    do {
      let file = try InputFile(opening: path)
      guard file.size <= maximumSize else {
        throw ConversionError(
          .malformed, "limit/json-size", "\(file.size) bytes; \(maximumSize) are allowed",
          file: path.string)
      }
      return try file.read(at: 0, count: file.size)
    } catch {
      throw ConversionError(reading: error, file: path)
    }
  }

  static func parse(_ bytes: [UInt8], _ path: FilePath) throws(ConversionError) -> JSONValue {
    do {
      return try JSONParser.parse(bytes)
    } catch {
      throw ConversionError(
        .malformed, "json/syntax", error.detail, file: path.string, offset: error.offset)
    }
  }
}
