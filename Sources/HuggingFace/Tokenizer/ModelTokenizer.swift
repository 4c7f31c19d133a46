import ByteIO
public import Diagnostics
import JSON
public import SystemPackage

/// The tokenizer of a model: Megatron's two files, or a folder that transformers made, which is
/// kept as it is; what releases of transformers look for and is not there is derived.
public struct ModelTokenizer: Sendable {
  /// The token that ends a text in GPT-2's own tokenizer, and begins one.
  static let endOfText = "<|endoftext|>"

  /// One more than the highest id.
  public let size: Int
  /// The ids of the tokens that begin and end a text; `nil` where the tokenizer names none.
  public let bos: Int?
  public let eos: Int?
  /// The files that were given, without byte order marks.
  private let kept: [(name: String, bytes: [UInt8])]
  /// Vocabulary and merges of a byte-level BPE, as far as they are known.
  private let bytePairs: BytePairs?
  private let special: SpecialNames
  /// Tokens that stand next to the vocabulary, by their ids.
  private let added: [AddedToken]

  /// Files of a tokenizer that are kept byte by byte.
  // swift-format-ignore
  package static let keptNames = [
    "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt",
  ]

  /// The two files of a folder under the names of transformers, of Megatron, and of OpenAI.
  static let pairs = [
    ("vocab.json", "merges.txt"), ("gpt2-vocab.json", "gpt2-merges.txt"),
    ("encoder.json", "vocab.bpe"),
  ]

  /// Reads and checks Megatron's two files.
  ///
  /// - Throws: `Failure` 66 for a file that cannot be read, 65 when the ids are not 0 to
  ///   n - 1, or a merge makes no token.
  public init(vocabulary: FilePath, merges: FilePath) throws(Failure) {
    let pairs = try BytePairs(vocabulary: vocabulary, merges: merges)
    try pairs.checkIDs(vocabulary)
    let hasEnd = pairs.vocabulary[ModelTokenizer.endOfText] != nil
    try self.init(
      kept: [("vocab.json", pairs.vocabularyBytes), ("merges.txt", pairs.mergesBytes)], pairs,
      SpecialNames(endOfText: hasEnd), [], highest: pairs.highestID, vocabulary)
  }

  /// Reads a folder: all files of a tokenizer in it are kept.
  ///
  /// - Throws: `Failure` 66 when the folder has no tokenizer, 65 when its files
  ///   contradict each other.
  public init(folder: FilePath) throws(Failure) {
    func has(_ name: String) -> Bool { FileSystem.exists(folder.appending(name)) }
    let names = ModelTokenizer.keptNames.filter(has)
    let pair = ModelTokenizer.pairs.first { has($0.0) && has($0.1) }
    let isPlain = names.allSatisfy { ["vocab.json", "merges.txt"].contains($0) }
    if let pair, isPlain {
      try self.init(vocabulary: folder.appending(pair.0), merges: folder.appending(pair.1))
      return
    }
    if FileSystem.isRegularFile(folder) {
      let above = FileSystem.absolute(folder).removingLastComponent()
      throw Failure(
        .tokenizerMissing, "it is a file; the folder of a tokenizer was expected",
        file: folder.string, hint: "--tokenizer \(above.string)")
    }
    guard pair != nil || has("tokenizer.json") || has("tokenizer.model") || has("vocab.txt") else {
      let inside = ((try? FileSystem.list(folder)) ?? []).map(\.string)
      throw Failure(
        .tokenizerMissing,
        "there is neither a tokenizer.json nor a vocab.json next to a merges.txt; it holds "
          + PathAdvice.listed(inside), file: folder.string,
        hint: "name the two files with --vocab-file and --merge-file")
    }
    var kept: [(name: String, bytes: [UInt8])] = []
    for name in names {
      kept.append((name, try ModelTokenizer.bytes(folder.appending(name))))
    }
    func json(_ name: String) throws(Failure) -> JSONObject? {
      guard let bytes = kept.first(where: { $0.name == name })?.bytes else { return nil }
      let path = folder.appending(name)
      guard let object = try JSONFile.parse(bytes, path).object else {
        throw Failure(
          .tokenizerInconsistent, "a JSON object was expected", file: path.string)
      }
      return object
    }
    let fast = try json("tokenizer.json")
    var pairs: BytePairs?
    if let pair {
      pairs = try BytePairs(
        vocabulary: folder.appending(pair.0), merges: folder.appending(pair.1))
    } else if let fast {
      pairs = try BytePairs(fast, folder.appending("tokenizer.json"))
    }
    let config = try json("tokenizer_config.json")
    let map = try json("special_tokens_map.json")
    var added = AddedToken.all(
      fast: fast, config: config, plain: try json("added_tokens.json"))
    let model = fast?["model"]?.object
    let highest = max(
      pairs?.highestID ?? -1, model?["vocab"]?.object?.members.compactMap(\.value.int).max() ?? -1,
      (model?["vocab"]?.array?.count ?? 0) - 1, added.map(\.id).max() ?? -1)
    let hasEnd =
      pairs?.vocabulary[ModelTokenizer.endOfText] != nil
      || added.contains { $0.content == ModelTokenizer.endOfText }
    let special = SpecialNames(config: config, map: map, endOfText: hasEnd)
    for index in added.indices where special.names.contains(added[index].content) {
      added[index].isSpecial = true
    }
    try self.init(kept: kept, pairs, special, added, highest: highest, folder)
  }

  private init(
    kept: [(name: String, bytes: [UInt8])], _ pairs: BytePairs?, _ special: SpecialNames,
    _ added: [AddedToken], highest: Int, _ path: FilePath
  ) throws(Failure) {
    guard highest < 1 << 32 else {
      throw Failure(
        .tokenizerInconsistent, "a token with the id \(highest)", file: path.string)
    }
    self.kept = kept
    bytePairs = pairs
    self.special = special
    self.added = added
    size = highest + 1
    func id(_ name: String?) -> Int? {
      guard let name else { return nil }
      return added.first { $0.content == name }?.id ?? pairs?.vocabulary[name]?.int
    }
    bos = id(special.bos)
    eos = id(special.eos)
  }

  /// The bytes of a file, without a byte order mark, with which transformers would not read it.
  static func bytes(_ path: FilePath) throws(Failure) -> [UInt8] {
    let bytes = try JSONFile.bytes(path)
    return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
  }

  /// Compares the tokenizer with the embedding of a model.
  ///
  /// - Throws: `Failure` 78 when it has ids that the embedding lacks.
  package func check(rows: Int) throws(Failure) {
    guard size <= rows else {
      throw Failure(
        .tokenizerSize,
        "the tokenizer has \(size) tokens, but the embedding only \(rows) rows",
        hint: "give the tokenizer that the model was trained with")
    }
  }

  /// The names of the files that are kept and of those that are derived, for the decision that is
  /// shown.
  package var decision: Decision {
    let own = kept.map(\.name)
    let derived = files(positions: 1).map(\.name).filter { !own.contains($0) }
    return Decision(
      "tokenizer", .int(size),
      "given: \(own.joined(separator: ", ")) as they are"
        + (derived.isEmpty ? "" : "; derived: \(derived.joined(separator: ", "))"))
  }

  // MARK: - Files

  /// The files that are given, and those that every release of transformers finds what it needs in.
  package func files(positions: Int) -> [(name: String, bytes: [UInt8])] {
    var files = kept
    func add(_ name: String, _ bytes: @autoclosure () -> [UInt8]?) {
      guard !files.contains(where: { $0.name == name }), let bytes = bytes() else { return }
      files.append((name, bytes))
    }
    func text(_ value: JSONValue, _ layout: JSONWriter.Layout) -> [UInt8] {
      Array(JSONWriter.text(value, layout).utf8)
    }
    add("vocab.json", bytePairs?.vocabularyBytes)
    add("merges.txt", bytePairs?.mergesBytes)
    add("tokenizer.json", bytePairs.map { text(fast($0), .indented) })
    let isFast = files.contains { $0.name == "tokenizer.json" }
    add("tokenizer_config.json", isFast ? text(configuration(positions), .sorted) : nil)
    add("special_tokens_map.json", special.isEmpty ? nil : text(special.json, .sorted))
    return files
  }

  private func configuration(_ positions: Int) -> JSONValue {
    var object = JSONObject()
    if bytePairs != nil {
      object["add_bos_token"] = false
      object["add_prefix_space"] = false
    }
    for member in special.json.object?.members ?? [] { object[member.key] = member.value }
    object["model_max_length"] = .int(positions)
    object["tokenizer_class"] =
      bytePairs != nil ? "GPT2Tokenizer" : "PreTrainedTokenizerFast"
    return .object(object)
  }

  /// `tokenizer.json` of the tokenizers library. Merges are texts: pairs are not read by older
  /// releases.
  private func fast(_ pairs: BytePairs) -> JSONValue {
    func byteLevel(_ prefix: Bool, _ trim: Bool) -> JSONValue {
      [
        "type": "ByteLevel", "add_prefix_space": .bool(prefix), "trim_offsets": .bool(trim),
        "use_regex": true,
      ]
    }
    var tokens = added
    if let id = pairs.vocabulary[ModelTokenizer.endOfText]?.int,
      !tokens.contains(where: { $0.content == ModelTokenizer.endOfText })
    {
      tokens.append(
        AddedToken(
          id: id, content: ModelTokenizer.endOfText, isSpecial: true, isNormalized: true))
    }
    return [
      "version": "1.0", "truncation": nil, "padding": nil,
      "added_tokens": .array(tokens.sorted { $0.id < $1.id }.map(\.json)),
      "normalizer": nil,
      "pre_tokenizer": byteLevel(false, true),
      "post_processor": byteLevel(true, false),
      "decoder": byteLevel(true, true),
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "vocab": .object(pairs.vocabulary),
        "merges": .array(pairs.merges.map { .string($0) }),
      ],
    ]
  }
}
