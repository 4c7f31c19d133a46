import ByteIO
import Safetensors
public import SystemPackage

/// A byte-level BPE tokenizer of GPT-2's kind, from Megatron's `--vocab-file` and `--merge-file`.
public struct GPT2Tokenizer: Sendable {
  /// The token that ends a text, and begins one.
  public static let endOfText = "<|endoftext|>"

  /// The number of tokens.
  public let size: Int
  /// The id of ``endOfText``.
  public let endOfTextID: Int
  private let vocabularyBytes: [UInt8]
  private let mergesBytes: [UInt8]
  private let vocabulary: JSONObject
  private let merges: [String]

  /// Reads and checks both files.
  ///
  /// - Throws: ``ConversionError`` 66 for a file that cannot be read, 65 when the ids are not 0 to
  ///   n - 1, a merge makes no token, or the end-of-text token is missing.
  public init(vocabulary: FilePath, merges: FilePath) throws(ConversionError) {
    vocabularyBytes = try JSONFile.bytes(vocabulary)
    mergesBytes = try JSONFile.bytes(merges)
    let path = vocabulary
    func bad(_ message: String, _ file: FilePath) -> ConversionError {
      ConversionError(.malformed, "tokenizer/inconsistent", message, file: file.string)
    }
    guard let object = try JSONFile.parse(vocabularyBytes, vocabulary).object else {
      throw bad("a JSON object of tokens and ids was expected", path)
    }
    if let key = object.repeatedKeys.first { throw bad("the token \(key) occurs twice", path) }
    var seen = [Bool](repeating: false, count: object.members.count)
    for member in object.members {
      guard let id = member.value.int, seen.indices.contains(id), !seen[id] else {
        throw bad(
          "the ids of \(seen.count) tokens must be 0 to \(seen.count - 1), each once; that of "
            + "\(member.key) is not", path)
      }
      seen[id] = true
    }
    guard let end = object[GPT2Tokenizer.endOfText]?.int else {
      throw bad("there is no token \(GPT2Tokenizer.endOfText)", path)
    }
    self.vocabulary = object
    size = object.members.count
    endOfTextID = end
    self.merges = try GPT2Tokenizer.lines(mergesBytes, merges)
    for merge in self.merges {
      let parts = merge.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw bad("\"\(merge)\" is no pair of tokens", merges)
      }
      guard object[parts.joined()] != nil else {
        throw bad("the merge \"\(merge)\" makes no token of the vocabulary", merges)
      }
    }
  }

  /// Reads the two files of a folder, under the names of transformers or of Megatron.
  ///
  /// - Throws: ``ConversionError`` 66 when they are not there.
  public init(folder: FilePath) throws(ConversionError) {
    // swift-format-ignore
    let names = [
      ("vocab.json",      "merges.txt"),
      ("gpt2-vocab.json", "gpt2-merges.txt"),
      ("encoder.json",    "vocab.bpe"),
    ]
    for (vocabulary, merges) in names {
      let paths = (folder.appending(vocabulary), folder.appending(merges))
      if FileSystem.exists(paths.0), FileSystem.exists(paths.1) {
        try self.init(vocabulary: paths.0, merges: paths.1)
        return
      }
    }
    throw ConversionError(
      .noInput, "tokenizer/missing", "there is no vocab.json beside a merges.txt",
      file: folder.string, hint: "name the two files with --vocab-file and --merge-file")
  }

  /// The rules of a merges file: one a line, behind a line with its version.
  private static func lines(
    _ bytes: [UInt8], _ path: FilePath
  ) throws(ConversionError) -> [String] {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ConversionError(
        .malformed, "tokenizer/inconsistent", "the file is not UTF-8", file: path.string)
    }
    var lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
      String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
    }
    if lines.first?.hasPrefix("#version") == true { lines.removeFirst() }
    return lines.filter { !$0.isEmpty }
  }

  /// Compares the tokenizer with the embedding of a model.
  ///
  /// - Throws: ``ConversionError`` 78 when it has ids that the embedding lacks.
  func check(rows: Int) throws(ConversionError) {
    guard size <= rows else {
      throw ConversionError(
        .undecided, "tokenizer/size",
        "the tokenizer has \(size) tokens, but the embedding only \(rows) rows",
        hint: "give the tokenizer that the model was trained with")
    }
  }

  /// The five files that every release of transformers finds what it needs in.
  func files(positions: Int) -> [(name: String, bytes: [UInt8])] {
    let special = JSONValue.string(GPT2Tokenizer.endOfText)
    let configuration: JSONValue = [
      "add_bos_token": false, "add_prefix_space": false, "bos_token": special,
      "eos_token": special, "model_max_length": .int(positions),
      "tokenizer_class": "GPT2Tokenizer", "unk_token": special,
    ]
    let map: JSONValue = ["bos_token": special, "eos_token": special, "unk_token": special]
    return [
      ("vocab.json", vocabularyBytes),
      ("merges.txt", mergesBytes),
      ("tokenizer.json", Array(JSONWriter.text(fast, .indented).utf8)),
      ("tokenizer_config.json", Array(JSONWriter.text(configuration, .sorted).utf8)),
      ("special_tokens_map.json", Array(JSONWriter.text(map, .sorted).utf8)),
    ]
  }

  /// `tokenizer.json` of the tokenizers library. Merges are texts: pairs are not read by older
  /// releases.
  private var fast: JSONValue {
    func byteLevel(_ prefix: Bool, _ trim: Bool) -> JSONValue {
      [
        "type": "ByteLevel", "add_prefix_space": .bool(prefix), "trim_offsets": .bool(trim),
        "use_regex": true,
      ]
    }
    return [
      "version": "1.0", "truncation": nil, "padding": nil,
      "added_tokens": [
        [
          "id": .int(endOfTextID), "content": .string(GPT2Tokenizer.endOfText),
          "single_word": false, "lstrip": false, "rstrip": false, "normalized": true,
          "special": true,
        ]
      ],
      "normalizer": nil,
      "pre_tokenizer": byteLevel(false, true),
      "post_processor": byteLevel(true, false),
      "decoder": byteLevel(true, true),
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "vocab": .object(vocabulary),
        "merges": .array(merges.map { .string($0) }),
      ],
    ]
  }
}
