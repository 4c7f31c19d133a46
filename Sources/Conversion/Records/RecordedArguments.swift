import Architectures
import EventLog
import JSON
import LaunchScript

/// Training arguments as a record of the run says them, by Megatron's names.
public struct RecordedArguments: Hashable, Sendable {
  /// One argument.
  public struct Argument: Hashable, Sendable {
    /// The value; `nil` where the record has it, but not its value.
    public let value: ArgumentValue?
    /// As it was written.
    public let text: String
    /// What has to be true so that it is so.
    public var assumptions: [String] = []
    /// Whether it holds under assumptions only.
    public var isAssumed: Bool { !assumptions.isEmpty }
    /// Where it stands in a script.
    public var line: Int?
  }

  /// By Megatron's names, with underscores; those without a known value, too.
  public private(set) var arguments: [String: Argument] = [:]

  /// The value of an argument, if it is known.
  public subscript(name: String) -> Argument? {
    arguments[name].flatMap { $0.value == nil ? nil : $0 }
  }

  /// How many arguments are there without a value that is known.
  public var unknownCount: Int { arguments.values.count { $0.value == nil } }

  // MARK: - Event files

  /// What the texts of a run say, which trainers write at the start of each job: those of the last
  /// job that began at or before an iteration.
  init(_ run: EventRun, upTo iteration: Int?) {
    let suffix = "/text_summary"
    for named in run.texts where named.tag.hasSuffix(suffix) {
      let name = String(named.tag.dropLast(suffix.count))
      let text = named.texts.last { $0.step <= iteration ?? .max }
      guard let text else { continue }
      arguments[name] = Argument(
        value: RecordedArguments.value(printed: text.text), text: text.text)
    }
  }

  /// A value as Python's `str()` writes it.
  private static func value(printed text: String) -> ArgumentValue {
    guard text != "" else { return .string("") }
    let parsed = ArgumentValue(parsing: text)
    guard parsed == .string(text) else { return parsed }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let areNames = parts.allSatisfy { part in
      part.first.map { $0.isLetter || $0 == "_" } == true
        && part.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }
    }
    guard parts.count == 2, areNames else { return parsed }
    return parts[0] == "torch"
      ? .name(text) : .member(type: String(parts[0]), value: String(parts[1]))
  }

  // MARK: - Launch scripts

  /// What the options of a launch script say. Only what it says counts: a missing option says
  /// nothing, since defaults changed from fork to fork.
  init(_ script: LaunchScript) {
    for option in script.options {
      let written = option.name.map { $0 == "-" ? "_" : $0 }
      let name = RecordedArguments.fullName(String(written))
      func add(_ name: String, _ value: ArgumentValue?, _ text: String) {
        arguments[name] = Argument(
          value: value, text: text, assumptions: option.assumptions, line: option.line)
      }
      guard let values = option.values else {
        add(RecordedArguments.older[name] ?? name, nil, option.reason ?? "")
        continue
      }
      if let (target, value) = RecordedArguments.flags[name], values.isEmpty {
        add(target, value, "--\(option.name)")
      } else if values.isEmpty {
        add(name, .bool(true), "--\(option.name)")
      } else {
        let target = RecordedArguments.older[name] ?? name
        let value =
          values.count == 1
          ? RecordedArguments.value(word: values[0])
          : .list(values.map(RecordedArguments.value(word:)))
        add(target, value, values.joined(separator: " "))
      }
    }
    readDeepSpeed(script)
  }

  /// What the JSON says that DeepSpeed reads, where the script writes it.
  private mutating func readDeepSpeed(_ script: LaunchScript) {
    let texts = Set(script.launches.map(\.deepSpeedConfiguration))
    guard texts.count == 1, let text = texts.first ?? nil,
      let object = (try? JSONParser.parse(text.utf8))?.object
    else { return }
    func add(_ name: String, _ value: JSONValue?) {
      guard arguments[name] == nil, let value, let found = ArgumentValue(value) else { return }
      arguments[name] = Argument(value: found, text: found.text)
    }
    for name in ["fp16", "bf16"] where object[name]?.object?["enabled"]?.bool == true {
      add("params_dtype", .string(name == "fp16" ? "torch.float16" : "torch.bfloat16"))
    }
    add("zero_stage", object["zero_optimization"]?.object?["stage"])
    add("global_batch_size", object["train_batch_size"])
    add("micro_batch_size", object["train_micro_batch_size_per_gpu"])
    add("clip_grad", object["gradient_clipping"])
  }

  /// A word as Python's `int` and `float` read it: `1_000` is a thousand.
  private static func value(word: String) -> ArgumentValue {
    let parts = word.split(separator: "_", omittingEmptySubsequences: false)
    let isGrouped =
      parts.count > 1 && parts.allSatisfy { $0.last?.isNumber == true || $0 == parts[0] }
    let bare = isGrouped ? word.filter { $0 != "_" } : word
    if let number = Int(bare) { return .int(number) }
    let isNumber = bare.contains { $0.isNumber } && !bare.lowercased().hasPrefix("0x")
    if isNumber, let number = Double(bare) { return .double(number) }
    return .string(word)
  }

  /// The only known name that a shortened one can stand for, as argparse takes it.
  private static func fullName(_ name: String) -> String {
    if KnownArguments.names.contains(name) || flags[name] != nil || older[name] != nil {
      return name
    }
    let fitting = KnownArguments.names.filter { $0.hasPrefix(name) }
    return fitting.count == 1 ? fitting.first ?? name : name
  }

  /// Names of older versions.
  private static let older = [
    "model_parallel_size": "tensor_model_parallel_size", "batch_size": "micro_batch_size",
    "intermediate_size": "ffn_hidden_size", "warmup": "lr_warmup_fraction",
    "rotary_position_embeddings": "use_rotary_position_embeddings",
  ]

  /// Options without a value that set an argument of another name, or to something else than True.
  private static let flags: [String: (String, ArgumentValue)] = [
    "fp16": ("params_dtype", .name("torch.float16")),
    "bf16": ("params_dtype", .name("torch.bfloat16")),
    "no_bias_gelu_fusion": ("bias_gelu_fusion", .bool(false)),
    "no_bias_swiglu_fusion": ("bias_swiglu_fusion", .bool(false)),
    "no_bias_dropout_fusion": ("bias_dropout_fusion", .bool(false)),
    "no_masked_softmax_fusion": ("masked_softmax_fusion", .bool(false)),
    "no_query_key_layer_scaling": ("apply_query_key_layer_scaling", .bool(false)),
    "no_position_embedding": ("add_position_embedding", .bool(false)),
    "no_layer_norm_1p": ("apply_layernorm_1p", .bool(false)),
    "disable_bias_linear": ("add_bias_linear", .bool(false)),
    "rotary_embeddings": ("use_rotary_position_embeddings", .bool(true)),
  ]
}
