import ByteIO
public import Safetensors
public import SystemPackage

/// Checks a GPT-2 directory of transformers, whoever wrote it: the safetensors rules, the index, and
/// every name, shape and type against `config.json`.
public struct OutputVerifier {
  public let directory: OutputDirectory
  /// What breaks a rule, or loads silently wrong.
  public private(set) var faults: [Finding]
  /// What deserves to be known.
  public private(set) var notes: [Finding]
  /// What was concluded of the checkpoint that the output was compared with.
  public internal(set) var decisions: [Decision] = []
  /// The configuration; `nil` when there is none that can be read.
  public private(set) var config: JSONObject?

  /// Reads headers and `config.json`, no tensor but an embedding with a copy of it beside.
  ///
  /// - Throws: ``ConversionError`` 66 when there is no output.
  public init(_ path: FilePath) throws(ConversionError) {
    directory = try OutputDirectory(reading: path)
    faults = directory.faults
    notes = directory.notes
    guard directory.isFolder else {
      note("output/single-file", "one file was given, so there is no config.json to compare with")
      return
    }
    do {
      let value = try JSONFile.read(path.appending("config.json"))
      guard let object = value.object else {
        fault("config/syntax", "a JSON object was expected", file: "config.json")
        return
      }
      config = object
      let resolved = resolvingAliases(object)
      checkFields(resolved)
      checkTensors(resolved)
      checkTokenizer(path, rows: resolved["vocab_size"]?.int)
    } catch {
      fault(error.code, error.message, file: "config.json")
    }
    checkManifest(path)
  }

  /// What was checked, in a few words each.
  public var rules: [String] {
    var rules = ["safetensors headers"]
    if directory.index != nil { rules.append("index") }
    if config != nil { rules += ["config.json", "names, shapes and types"] }
    let path = directory.path
    if directory.isFolder,
      ["tokenizer.json", "vocab.json"].contains(where: { FileSystem.exists(path.appending($0)) })
    {
      rules.append("tokenizer")
    }
    if manifest != nil { rules.append("manifest") }
    return rules
  }

  /// What the conversion that made the output wrote down, if it did.
  public var manifest: ConversionManifest? {
    let path = directory.path.appending(OutputFolder.manifestName)
    return FileSystem.exists(path) ? try? ConversionManifest(reading: path) : nil
  }

  /// Adds a fault.
  mutating func fault(
    _ code: String, _ message: String, file: String? = nil, tensor: String? = nil
  ) {
    faults.append(Finding(code, message, file: file, tensor: tensor))
  }

  /// Adds a note.
  mutating func note(
    _ code: String, _ message: String, file: String? = nil, tensor: String? = nil
  ) {
    notes.append(Finding(code, message, file: file, tensor: tensor))
  }

  // MARK: - Fields

  /// The kinds of values that transformers 5 accepts in a field, or that other consumers need.
  private enum FieldType {
    case size, real, truth, text, token
  }

  // swift-format-ignore
  private static let fields: [(key: String, type: FieldType, isNeeded: Bool)] = [
    ("model_type",                      .text,  true),
    ("n_embd",                          .size,  true),
    ("n_layer",                         .size,  true),
    ("n_head",                          .size,  true),
    ("n_positions",                     .size,  true),
    ("vocab_size",                      .size,  true),
    ("activation_function",             .text,  false),
    ("layer_norm_epsilon",              .real,  false),
    ("initializer_range",               .real,  false),
    ("n_inner",                         .size,  false),
    ("scale_attn_weights",              .truth, false),
    ("scale_attn_by_inverse_layer_idx", .truth, false),
    ("reorder_and_upcast_attn",         .truth, false),
    ("tie_word_embeddings",             .truth, false),
    ("use_cache",                       .truth, false),
    ("bos_token_id",                    .token, false),
    ("eos_token_id",                    .token, false),
  ]

  /// The names that transformers takes for those of GPT-2, too (`GPT2Config.attribute_map`).
  private static let aliases = [
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
  ]

  /// A configuration under GPT-2's own names.
  private mutating func resolvingAliases(_ config: JSONObject) -> JSONObject {
    var result = config
    for (alias, name) in OutputVerifier.aliases.sorted(by: { $0.key < $1.key }) {
      guard let value = config[alias] else { continue }
      if let own = config[name], own != value {
        fault(
          "config/disagrees",
          "\(name) is \(JSONWriter.text(own, .compact)), but \(alias), which means the same, is "
            + JSONWriter.text(value, .compact), file: "config.json")
      }
      result[name] = value
      if config[name] == nil {
        note(
          "config/alias", "\(name) is given as \(alias), which llama.cpp and MLX do not read",
          file: "config.json")
      }
    }
    return result
  }

  /// The functions that transformers 5 knows (`transformers/activations.py`, `ACT2CLS`).
  private static let activations: Set<String> = [
    "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python",
    "gelu_python_tanh", "gelu_pytorch_tanh", "laplace", "leaky_relu", "linear", "mish",
    "prelu", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh", "xielu",
  ]

  private mutating func checkActivation(_ config: JSONObject) {
    switch config["activation_function"] {
    case nil: break
    case .string(let name) where OutputVerifier.activations.contains(name): break
    case let value?:
      fault(
        "config/activation",
        "activation_function is \(JSONWriter.text(value, .compact)), which transformers does not know",
        file: "config.json")
    }
  }

  private mutating func checkFields(_ config: JSONObject) {
    for key in config.repeatedKeys {
      fault("config/field", "\(key) occurs twice", file: "config.json")
    }
    for (key, type, isNeeded) in OutputVerifier.fields {
      guard let value = config[key], value != .null else {
        if isNeeded { fault("config/missing-field", "\(key) is missing", file: "config.json") }
        continue
      }
      let fits: Bool =
        switch (type, value) {
        case (.size, .int(let size)): size > 0
        case (.real, .double), (.truth, .bool), (.text, .string): true
        case (.token, .int), (.token, .array): true
        default: false
        }
      if !fits {
        fault(
          "config/type",
          "\(key) is \(JSONWriter.text(value, .compact)), which transformers refuses",
          file: "config.json")
      }
    }
    checkActivation(config)
    if let type = config["model_type"]?.string, type != "gpt2" {
      fault("config/model-type", "model_type is \(type), not gpt2", file: "config.json")
    }
    if let width = config["n_embd"]?.int, let heads = config["n_head"]?.int, heads > 0,
      !width.isMultiple(of: heads)
    {
      fault("config/heads", "\(width) cannot be divided into \(heads) heads", file: "config.json")
    }
    for key in ["bos_token_id", "eos_token_id"] {
      if let id = config[key]?.int, let rows = config["vocab_size"]?.int, id >= rows || id < 0 {
        fault("config/token", "\(key) is \(id) of \(rows) tokens", file: "config.json")
      }
    }
    for key in ["dtype", "torch_dtype"] {
      if let name = config[key]?.string, name.hasPrefix("torch.") {
        fault(
          "config/dtype", "\(key) is \(name); transformers 5 knows no prefix", file: "config.json")
      }
    }
    if config["n_ctx"] == nil {
      note("config/n-ctx", "n_ctx is missing, which llama.cpp and MLX need", file: "config.json")
    } else if let size = config["n_ctx"], size != config["n_positions"] {
      note(
        "config/n-ctx",
        "n_ctx, which llama.cpp and MLX read, is \(JSONWriter.text(size, .compact)), but n_positions is "
          + (config["n_positions"].map { JSONWriter.text($0, .compact) } ?? "missing"),
        file: "config.json")
    }
    if config["architectures"]?.array?.first?.string != "GPT2LMHeadModel" {
      note(
        "config/architectures", "architectures is not [\"GPT2LMHeadModel\"], which llama.cpp needs",
        file: "config.json")
    }
  }

  // MARK: - Tensors

  /// The sizes that `config.json` states.
  private struct Sizes {
    let layers: Int
    let hidden: Int
    let inner: Int
    let vocabulary: Int
    let positions: Int

    init?(_ config: JSONObject) {
      guard let layers = config["n_layer"]?.int, let hidden = config["n_embd"]?.int,
        let vocabulary = config["vocab_size"]?.int, let positions = config["n_positions"]?.int,
        layers > 0, (1...1 << 40).contains(hidden)
      else { return nil }
      self.layers = layers
      self.hidden = hidden
      self.vocabulary = vocabulary
      self.positions = positions
      inner = config["n_inner"]?.int ?? 4 * hidden
    }

    func shape(_ rule: GPT2Rule) -> [Int] {
      let shape = rule.shape.map { dimension in
        switch dimension {
        case .hidden: hidden
        case .qkv: 3 * hidden
        case .feedForward: inner
        case .vocabulary: vocabulary
        case .positions: positions
        }
      }
      return rule.arrangement == .transposed || rule.arrangement == .qkvTransposed
        ? shape.reversed() : shape
    }
  }

  /// How the names begin; told by the embedding.
  public var keyStyle: KeyStyle {
    directory["transformer.wte.weight"] == nil && directory["wte.weight"] != nil
      ? .bare : .transformer
  }

  private mutating func checkTensors(_ config: JSONObject) {
    guard let sizes = Sizes(config) else {
      if let hidden = config["n_embd"]?.int, hidden > 1 << 40 {
        fault("config/field", "no model has a hidden size of \(hidden)", file: "config.json")
      }
      return
    }
    let isTied = config["tie_word_embeddings"]?.bool ?? true
    let style = keyStyle
    // Layers that are claimed or there by the hundred would be as many faults: one says it.
    let found = layerCount(style)
    if found != sizes.layers {
      fault(
        "output/layers",
        "config.json asks for \(sizes.layers) layers, but the tensors have \(found): they are of another "
          + "model, or some are missing", file: "config.json")
    }
    if let words = directory[style.name("wte.weight")]?.declared.shape, words.count == 2,
      words[1] != sizes.hidden
    {
      fault(
        "output/another-model",
        "the tensors are of another model than config.json: a hidden size of \(words[1]) against "
          + "\(sizes.hidden)", tensor: style.name("wte.weight"))
      return
    }
    let layers = min(sizes.layers, found)
    checkCrossAttention(config, layers, style)
    let rules = GPT2Rules.applied(blocks: layers, untied: !isTied, dividedPositions: false)
    var expected: Set<String> = []
    for applied in rules {
      let name = style.name(applied.target)
      expected.insert(name)
      guard let tensor = directory[name] else {
        fault(
          "output/missing-tensor",
          "it is missing, and transformers would fill it with random numbers", tensor: name)
        continue
      }
      let shape = sizes.shape(applied.rule)
      if tensor.declared.shape != shape {
        fault(
          "output/shape", "its shape is \(tensor.declared.shape); config.json asks for \(shape)",
          tensor: name)
      }
    }
    for name in directory.names where !expected.contains(name) {
      judgeExtra(name, isTied: isTied, style)
    }
    checkTypes(config, expected)
  }

  /// The number of layers by the names of the tensors.
  private func layerCount(_ style: KeyStyle) -> Int {
    let prefix = style.name("h.")
    var numbers: Set<Int> = []
    for name in directory.names where name.hasPrefix(prefix) {
      if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }) {
        numbers.insert(number)
      }
    }
    return numbers.count
  }

  /// Cross attention adds tensors, which transformers would fill with random numbers.
  private mutating func checkCrossAttention(
    _ config: JSONObject, _ layers: Int, _ style: KeyStyle
  ) {
    guard config["add_cross_attention"] == true else { return }
    let name = style.name("h.0.crossattention.c_attn.weight")
    guard directory[name] == nil, layers > 0 else { return }
    fault(
      "output/missing-tensor",
      "add_cross_attention is true, but the tensors of cross attention are missing, and transformers would "
        + "fill them with random numbers", tensor: name)
  }

  /// Ids that the embedding does not have end in an error, or in another token's row, while it runs.
  private mutating func checkTokenizer(_ path: FilePath, rows: Int?) {
    let files = ["tokenizer.json", "vocab.json"].filter { FileSystem.exists(path.appending($0)) }
    guard !files.isEmpty, let rows else { return }
    do {
      let tokenizer = try ModelTokenizer(folder: path)
      if tokenizer.size > rows {
        fault(
          "tokenizer/size",
          "the tokenizer has \(tokenizer.size) tokens, but config.json says \(rows) rows",
          file: files[0])
      }
    } catch {
      fault(
        error.code, error.message, file: error.file.map { FilePath($0).lastComponent?.string ?? $0 }
      )
    }
  }

  /// Tensors of GPT-2 directories that other tools write: masks, and copies of the embedding.
  private mutating func judgeExtra(_ name: String, isTied: Bool, _ style: KeyStyle) {
    let bare = name.hasPrefix("transformer.") ? String(name.dropFirst(12)) : "transformer.\(name)"
    if directory[bare] != nil, name != "lm_head.weight" {
      fault(
        "output/duplicate-tensor",
        "it is there with and without its prefix: loaders take one of them",
        tensor: name)
    } else if name.contains(".crossattention.") || name.contains(".ln_cross_attn."),
      config?["add_cross_attention"] == true
    {
      return
    } else if name.hasPrefix(style.name("h.")),
      let number = Int(
        name.dropFirst(style.name("h.").count).prefix { $0 != "." }),
      let layers = config?["n_layer"]?.int,
      number >= layers
    {
      // Said once for all of them.
      return
    } else if name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") {
      note("output/mask-buffer", "a mask that no release needs any more", tensor: name)
    } else if name == "lm_head.weight", isTied {
      guard let head = directory[name], let words = directory[style.name("wte.weight")],
        head.declared.shape == words.declared.shape,
        let comparison = try? TensorDifference(TensorContent(head), TensorContent(words))
      else {
        fault("output/tied-head", "it cannot be compared with the embedding", tensor: name)
        return
      }
      if comparison.isEqual {
        note("output/tied-head", "a copy of the embedding, to which it is tied", tensor: name)
      } else {
        fault(
          "output/tied-head",
          "it differs from the embedding, yet tie_word_embeddings is true: releases disagree about "
            + "which of the two is used", tensor: name)
      }
    } else {
      fault("output/unexpected-tensor", "GPT-2 has no tensor of this name", tensor: name)
    }
  }

  /// All weights have the type that `config.json` names, if it names one.
  private mutating func checkTypes(_ config: JSONObject, _ expected: Set<String>) {
    let name = config["dtype"]?.string ?? config["torch_dtype"]?.string
    if let a = config["dtype"]?.string, let b = config["torch_dtype"]?.string, a != b {
      fault("config/dtype", "dtype is \(a), but torch_dtype is \(b)", file: "config.json")
    }
    for tensor in expected.sorted() {
      guard let declared = directory[tensor]?.declared else { continue }
      guard let format = FloatFormat(declared.dtype) else {
        if declared.dtype != .f64 {
          fault("output/dtype", "\(declared.dtype.rawValue) is no type for weights", tensor: tensor)
        }
        continue
      }
      if let name, !name.hasPrefix("torch."), format.torchName != name {
        fault(
          "output/dtype", "its type is \(format.torchName); config.json says \(name)",
          tensor: tensor)
      }
    }
  }

  /// The sizes that the manifest of a conversion states.
  private mutating func checkManifest(_ path: FilePath) {
    let manifestPath = path.appending(OutputFolder.manifestName)
    guard FileSystem.exists(manifestPath) else { return }
    do {
      let manifest = try ConversionManifest(reading: manifestPath)
      for output in manifest.outputs {
        let file = path.appending(output.name)
        guard let found = FileSystem.identity(of: file)?.size else {
          fault(
            "output/missing-file", "the manifest names it, but it is not there", file: output.name)
          continue
        }
        let isWeights = output.name.hasSuffix(".safetensors")
        let isNeeded = isWeights || output.name == "config.json"
        if found != output.size, isNeeded {
          fault(
            "output/file-size", "it has \(found) bytes; the manifest says \(output.size)",
            file: output.name)
        } else if found != output.size
          || !isWeights && output.crc != nil && (try? FileDigest.crc32(file)) != output.crc
        {
          if isNeeded {
            fault(
              "output/values", "its bytes are not those that were written", file: output.name)
          } else {
            note("output/file-size", "it was changed since the conversion", file: output.name)
          }
        }
      }
    } catch {
      fault(error.code, error.message, file: OutputFolder.manifestName)
    }
  }
}

extension OutputVerifier {
  /// The SHA-256 of each safetensors file; a `SHA256SUMS` beside them must agree.
  ///
  /// - Throws: ``ConversionError`` when a file cannot be read.
  public mutating func digests() throws -> [(name: String, digest: String)] {
    guard directory.isFolder else {
      return [
        (directory.path.lastComponent?.string ?? "", try FileDigest.sha256(directory.path))
      ]
    }
    let sums = directory.path.appending("SHA256SUMS")
    var recorded: [String: String] = [:]
    if FileSystem.exists(sums) {
      let lines = String(decoding: try JSONFile.bytes(sums), as: UTF8.self).split(separator: "\n")
      for line in lines {
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { continue }
        let name = String(parts[1].drop { $0 == " " || $0 == "*" })
        if !name.contains("/") { recorded[name] = String(parts[0]) }
      }
    }
    var names = directory.files.map(\.name)
    names += recorded.keys.filter { !names.contains($0) }.sorted()
    var result: [(name: String, digest: String)] = []
    for name in names {
      let path = directory.path.appending(name)
      guard FileSystem.exists(path) else {
        fault("output/missing-file", "SHA256SUMS names it, but it is not there", file: name)
        continue
      }
      let digest = try FileDigest.sha256(path)
      result.append((name, digest))
      if let wanted = recorded[name], wanted != digest {
        fault("output/sha256", "its SHA-256 is not the one in SHA256SUMS", file: name)
      }
    }
    return result
  }
}
