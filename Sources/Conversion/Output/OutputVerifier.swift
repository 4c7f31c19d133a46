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
      checkFields(object)
      checkTensors(object)
    } catch {
      fault(error.code, error.message, file: "config.json")
    }
    checkManifest(path)
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
        (1...1 << 20).contains(layers), (1...1 << 40).contains(hidden)
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
    directory.tensors["wte.weight"] != nil ? .bare : .transformer
  }

  private mutating func checkTensors(_ config: JSONObject) {
    guard let sizes = Sizes(config) else { return }
    let isTied = config["tie_word_embeddings"]?.bool ?? true
    let style = keyStyle
    // Layers that the config claims without a limit would be as many missing tensors.
    let layers = min(sizes.layers, directory.tensors.count + 1)
    let rules = GPT2Rules.applied(blocks: layers, untied: !isTied, dividedPositions: false)
    var expected: Set<String> = []
    for applied in rules {
      let name = style.name(applied.target)
      expected.insert(name)
      guard let tensor = directory.tensors[name] else {
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
    for name in directory.tensors.keys.sorted() where !expected.contains(name) {
      judgeExtra(name, isTied: isTied, style)
    }
    checkTypes(config, expected)
  }

  /// Tensors of GPT-2 directories that other tools write: masks, and copies of the embedding.
  private mutating func judgeExtra(_ name: String, isTied: Bool, _ style: KeyStyle) {
    if name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") {
      note("output/mask-buffer", "a mask that no release needs any more", tensor: name)
    } else if name == "lm_head.weight", isTied {
      guard let head = directory.tensors[name],
        let words = directory.tensors[style.name("wte.weight")],
        let comparison = try? TensorDifference(head, words)
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
      guard let declared = directory.tensors[tensor]?.declared else { continue }
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
      for (name, size) in manifest.outputs {
        guard let found = FileSystem.identity(of: path.appending(name))?.size else {
          fault("output/missing-file", "the manifest names it, but it is not there", file: name)
          continue
        }
        if found != size, name.hasSuffix(".safetensors") || name == "config.json" {
          fault(
            "output/file-size", "it has \(found) bytes; the manifest says \(size)", file: name)
        } else if found != size {
          note("output/file-size", "it was changed since the conversion", file: name)
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
