import Architectures
public import ArgumentParser
import ByteIO
public import Conversion
import Diagnostics
import JSON
import Megatron
import SystemPackage
import TorchArchive
import Transfer

/// A choice that can be left to the program.
struct Auto<Value: RawRepresentable & CaseIterable & Sendable>: ExpressibleByArgument, Sendable
where Value.RawValue == String {
  /// What was chosen; `nil` for `auto`.
  let value: Value?

  static var auto: Auto { Auto(value: nil) }

  private init(value: Value?) {
    self.value = value
  }

  init?(argument: String) {
    if argument == "auto" {
      value = nil
    } else {
      guard let chosen = Value(rawValue: argument) else { return nil }
      value = chosen
    }
  }

  var defaultValueDescription: String { value?.rawValue ?? "auto" }

  static var allValueStrings: [String] { ["auto"] + Value.allCases.map(\.rawValue) }
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

/// What `--qkv-layout` names.
enum QKVLayoutArgument: ExpressibleByArgument, Hashable {
  case auto
  /// All of them, one after the other.
  case each
  case one(QKVOrder)

  init?(argument: String) {
    switch argument {
    case "auto": self = .auto
    case "each": self = .each
    default:
      guard let order = QKVOrder(rawValue: argument) else { return nil }
      self = .one(order)
    }
  }

  /// The order, if it is one.
  var order: QKVOrder? { if case .one(let order) = self { order } else { nil } }

  /// As it is written.
  var text: String {
    switch self {
    case .auto: "auto"
    case .each: "each"
    case .one(let order): order.rawValue
    }
  }

  var defaultValueDescription: String { text }

  static let allValueStrings = ["auto", "each"] + QKVOrder.allCases.map(\.rawValue)
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

extension ConversionOptions.Replicas: ExpressibleByArgument {}
extension CRCMode: ExpressibleByArgument {}
extension KeyStyle: ExpressibleByArgument {}
extension WorkShare: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
extension ReadBack: ExpressibleByArgument {}
extension WeightSource: ExpressibleByArgument {}

/// Which checkpoint is meant, and what is known of it besides.
struct SourceOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("The folder of the step that is meant.", valueName: "name"))
  var tag: String?

  @Option(
    name: .long, help: ArgumentHelp("The iteration that is meant.", valueName: "number"))
  var iteration: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The order of the query, key and value rows, where the checkpoint leaves it open; each, for "
        + "loss, tries them all."))
  var qkvLayout = QKVLayoutArgument.auto

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How many tensor-parallel ranks a tool put together in each file, where their rows of "
        + "query, key "
        + "and value lie in thirds.", valueName: "n"))
  var mergedRanks: Int?

  @Flag(
    name: .long,
    help: ArgumentHelp(
      "Take tensor-parallel ranks that hold the same partition, which no two ranks do after "
        + "training.")
  )
  var acceptDuplicatedShards = false

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp("Fill in or correct a training argument.", valueName: "key=value"))
  var set: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A JSON file of training arguments to fill in or correct.", valueName: "file"),
    completion: .file(extensions: ["json"]))
  var config: String?

  @Option(
    name: .long,
    help: ArgumentHelp("How the checkpoint is laid out, where a folder holds several."))
  var layout = Auto<CheckpointLayout>.auto

  @Option(
    name: .long,
    help: ArgumentHelp("The weights of the model, or their float32 masters in the optimizer."))
  var weights: WeightSource?

  @Option(name: .long, help: "Which of the recorded checksums to check.")
  var crc = CRCMode.auto

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "Raise a limit on what a file may ask for: "
        + TorchLimits.names.map(\.name).joined(separator: ", ") + ".", valueName: "key=value"))
  var limits: [String] = []

  @OptionGroup var records: RecordOptions

  /// The order that was given; `nil` to go by the evidence.
  ///
  /// - Throws: `Failure` 64 where all of them are asked for.
  func order() throws(Failure) -> QKVOrder? {
    guard qkvLayout != .each else {
      throw Failure(
        .usageArguments, "--qkv-layout each compares losses, which is for \"meg2hf loss\" alone",
        hint: "meg2hf loss CHECKPOINT --file TEXT --qkv-layout each")
    }
    return qkvLayout.order
  }

  /// Puts what is known of the checkpoint into the options of the library.
  func apply(to options: inout ConversionOptions) throws(Failure) {
    try apply(to: &options, order: try order())
  }

  /// The same with an order of query, key and value that is known, or that is not asked for.
  func apply(to options: inout ConversionOptions, order: QKVOrder?) throws(Failure) {
    options.qkvLayout = order
    options.mergedRanks = mergedRanks
    options.acceptsDuplicatedShards = acceptDuplicatedShards
    options.records = records.isTemplate ? nil : try records.read()
  }

  /// The flags that were given, for models that are no checkpoint.
  var given: [String] {
    let flags: [(String, Bool)] = [
      ("--tag", tag != nil), ("--iteration", iteration != nil),
      ("--qkv-layout \(qkvLayout.text)", qkvLayout != .auto),
      ("--merged-ranks", mergedRanks != nil),
      ("--accept-duplicated-shards", acceptDuplicatedShards), ("--set", !set.isEmpty),
      ("--config", config != nil), ("--layout", layout.value != nil), ("--weights", weights != nil),
      ("--limits", !limits.isEmpty), ("--training-script", records.trainingScript != nil),
      ("--training-logs", records.trainingLogs != nil),
    ]
    return flags.filter(\.1).map(\.0)
  }

  func validate() throws {
    guard mergedRanks.map({ (1...ModelBounds.count).contains($0) }) ?? true else {
      throw ValidationError("--merged-ranks is a number of ranks from 1 on.")
    }
    _ = try torchLimits()
    if tag != nil, iteration != nil {
      throw ValidationError("--tag and --iteration both name a step; give one of them.")
    }
  }

  /// The limits with what the user set.
  func torchLimits() throws -> TorchLimits {
    var result = TorchLimits()
    for setting in limits {
      let parts = setting.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, let value = Int(parts[1]), value > 0, value < 1 << 40 else {
        throw ValidationError("\(setting) is not of the form KEY=VALUE with a positive number.")
      }
      guard result.set(String(parts[0]), to: value) else {
        throw ValidationError(
          "There is no limit \(parts[0]); known: "
            + TorchLimits.names.map(\.name).joined(separator: ", ") + ".")
      }
    }
    return result
  }

  /// Finds the checkpoint that is meant.
  func directory(_ path: FilePath) throws(Failure) -> CheckpointFolder {
    try CheckpointFolder(
      scanning: path, choice: tag.map { .tag($0) } ?? iteration.map { .iteration($0) } ?? .latest,
      layout: layout.value)
  }

  /// Finds and reads the checkpoint.
  func index(
    _ path: FilePath, weights fallback: WeightSource = .model,
    settings: JSONObject = JSONObject()
  ) throws(Failure) -> Checkpoint {
    try index(directory(path), weights: fallback, settings: settings)
  }

  /// Reads a checkpoint that was found.
  ///
  /// - Parameters:
  ///   - directory: Where it is.
  ///   - fallback: Which weights are read when the user did not say.
  ///   - settings: Training arguments that were set before; those that the user gives now win.
  /// - Returns: What is known of it.
  /// - Throws: `Failure`.
  func index(
    _ directory: CheckpointFolder, weights fallback: WeightSource = .model,
    settings: JSONObject = JSONObject()
  ) throws(Failure) -> Checkpoint {
    var overrides = ArgumentOverrides(architectures: KnownArchitectures.argumentKeys)
    for setting in set { try overrides.add(setting: setting) }
    if let config {
      let file = Process.path(argument: config)
      if config.hasSuffix(".yml") || config.hasSuffix(".yaml") {
        let members = try SettingsText(file).values.map {
          JSONObject.Member(key: $0.key, value: $0.value.json)
        }
        try overrides.add(
          config: JSONObject(members.sorted { $0.key < $1.key }), file: config)
      } else {
        guard let object = try JSONFile.read(file).object else {
          throw Failure(.argumentsConfig, "a JSON object was expected", file: config)
        }
        try overrides.add(config: object, file: config)
      }
    }
    if !settings.members.isEmpty {
      try overrides.add(config: settings, file: OutputTransaction.manifestName)
    }
    return try Checkpoint(
      reading: directory, overrides: overrides, weights: weights ?? fallback,
      limits: (try? torchLimits()) ?? TorchLimits())
  }
}
