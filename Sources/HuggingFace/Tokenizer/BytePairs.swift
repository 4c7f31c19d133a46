import Diagnostics
import JSON
import SystemPackage

/// Vocabulary and merges of a byte-level BPE.
struct BytePairs {
  let vocabulary: JSONObject
  /// Two tokens a text, with a space between them.
  let merges: [String]
  let vocabularyBytes: [UInt8]
  let mergesBytes: [UInt8]

  /// The highest id.
  var highestID: Int { vocabulary.members.compactMap(\.value.int).max() ?? -1 }

  /// Reads two files and checks that each merge makes a token.
  ///
  /// - Throws: `Failure` 66 for a file that cannot be read, 65 for one that contradicts itself.
  init(vocabulary path: FilePath, merges: FilePath) throws(Failure) {
    vocabularyBytes = try ModelTokenizer.bytes(path)
    mergesBytes = try ModelTokenizer.bytes(merges)
    guard let object = try JSONFile.parse(vocabularyBytes, path).object else {
      throw BytePairs.bad("a JSON object of tokens and ids was expected", path)
    }
    if let key = object.repeatedKeys.first {
      throw BytePairs.bad("the token \"\(key)\" occurs twice", path)
    }
    vocabulary = object
    self.merges = try BytePairs.lines(mergesBytes, merges)
    try check(merges)
  }

  /// Takes them out of a `tokenizer.json`.
  ///
  /// - Returns: `nil` for a tokenizer of another kind.
  init?(_ fast: JSONObject, _ path: FilePath) throws(Failure) {
    let model = fast["model"]?.object
    let steps = [fast["pre_tokenizer"], fast["decoder"]].compactMap { $0?.object }
    let isByteLevel = steps.contains { step in
      let inner = (step["pretokenizers"]?.array ?? step["decoders"]?.array ?? []).compactMap(
        \.object)
      return ([step] + inner).contains { $0["type"]?.string == "ByteLevel" }
    }
    guard isByteLevel, let model, model["type"]?.string ?? "BPE" == "BPE",
      let vocabulary = model["vocab"]?.object, let list = model["merges"]?.array
    else { return nil }
    self.vocabulary = vocabulary
    // Releases since 0.20 write pairs.
    var merges: [String] = []
    for merge in list {
      let pair = merge.array?.compactMap(\.string)
      guard let text = merge.string ?? pair.map({ $0.joined(separator: " ") }) else {
        throw BytePairs.bad("a merge is neither a text nor a pair", path)
      }
      merges.append(text)
    }
    self.merges = merges
    vocabularyBytes = Array(JSONWriter.text(.object(vocabulary), .compact).utf8)
    mergesBytes = Array(("#version: 0.2\n" + merges.map { $0 + "\n" }.joined()).utf8)
    try check(path)
  }

  /// Makes sure that the ids are 0 to n - 1, as in the files that Megatron takes.
  func checkIDs(_ path: FilePath) throws(Failure) {
    var seen = [Bool](repeating: false, count: vocabulary.members.count)
    for member in vocabulary.members {
      guard let id = member.value.int, seen.indices.contains(id), !seen[id] else {
        throw BytePairs.bad(
          "the ids of \(seen.count) tokens must be 0 to \(seen.count - 1), each once; that of "
            + "\"\(member.key)\" is not", path)
      }
      seen[id] = true
    }
  }

  private func check(_ path: FilePath) throws(Failure) {
    for member in vocabulary.members {
      guard let id = member.value.int, id >= 0 else {
        throw BytePairs.bad("the id of \"\(member.key)\" is not a number from 0 on", path)
      }
    }
    for merge in merges {
      let parts = merge.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw BytePairs.bad("\"\(merge)\" is not a pair of tokens", path)
      }
      guard vocabulary[parts.joined()] != nil else {
        throw BytePairs.bad("the merge \"\(merge)\" makes no token of the vocabulary", path)
      }
    }
  }

  /// The rules of a merges file: one a line, after a line with its version.
  private static func lines(
    _ bytes: [UInt8], _ path: FilePath
  ) throws(Failure) -> [String] {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw bad("the file is not UTF-8", path)
    }
    var lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
      String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
    }
    if lines.first?.hasPrefix("#version") == true { lines.removeFirst() }
    return lines.filter { !$0.isEmpty }
  }

  private static func bad(_ message: String, _ file: FilePath) -> Failure {
    Failure(.tokenizerInconsistent, message, file: file.string)
  }
}

/// A token that stands next to the vocabulary.
struct AddedToken {
  let id: Int
  let content: String
  var isSpecial: Bool
  var isNormalized = false
  var isSingleWord = false
  var stripsLeft = false
  var stripsRight = false

  /// The token as `tokenizer.json` has it.
  var json: JSONValue {
    [
      "id": .int(id), "content": .string(content), "single_word": .bool(isSingleWord),
      "lstrip": .bool(stripsLeft), "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
      "special": .bool(isSpecial),
    ]
  }

  /// The tokens that the files of a folder name, by their ids; what `tokenizer.json` says counts
  /// most.
  static func all(fast: JSONObject?, config: JSONObject?, plain: JSONObject?) -> [AddedToken] {
    var found: [Int: AddedToken] = [:]
    for member in plain?.members ?? [] {
      guard let id = member.value.int, id >= 0 else { continue }
      found[id] = AddedToken(id: id, content: member.key, isSpecial: false)
    }
    for member in config?["added_tokens_decoder"]?.object?.members ?? [] {
      guard let id = Int(member.key), id >= 0, let fields = member.value.object else { continue }
      found[id] = AddedToken(id, fields) ?? found[id]
    }
    for value in fast?["added_tokens"]?.array ?? [] {
      guard let fields = value.object, let id = fields["id"]?.int, id >= 0 else { continue }
      found[id] = AddedToken(id, fields) ?? found[id]
    }
    return found.values.sorted { $0.id < $1.id }
  }

  private init?(_ id: Int, _ fields: JSONObject) {
    guard let content = fields["content"]?.string else { return nil }
    self.init(
      id: id, content: content, isSpecial: fields["special"]?.bool ?? false,
      isNormalized: fields["normalized"]?.bool ?? false,
      isSingleWord: fields["single_word"]?.bool ?? false,
      stripsLeft: fields["lstrip"]?.bool ?? false, stripsRight: fields["rstrip"]?.bool ?? false)
  }

  init(
    id: Int, content: String, isSpecial: Bool, isNormalized: Bool = false,
    isSingleWord: Bool = false, stripsLeft: Bool = false, stripsRight: Bool = false
  ) {
    self.id = id
    self.content = content
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
    self.isSingleWord = isSingleWord
    self.stripsLeft = stripsLeft
    self.stripsRight = stripsRight
  }
}

/// The texts of the tokens with a meaning of their own.
struct SpecialNames {
  private(set) var bos: String?
  private(set) var eos: String?
  private var others: [(key: String, name: String)] = []

  /// Those of GPT-2's own tokenizer, if it has the token.
  init(endOfText: Bool) {
    guard endOfText else { return }
    bos = ModelTokenizer.endOfText
    eos = ModelTokenizer.endOfText
    others = [("unk_token", ModelTokenizer.endOfText)]
  }

  /// Those that the files of a folder name; where they name none at all, GPT-2's own.
  init(config: JSONObject?, map: JSONObject?, endOfText: Bool) {
    func name(_ key: String) -> String? {
      for object in [config, map] {
        guard let value = object?[key], value != .null else { continue }
        if let text = value.string ?? value.object?["content"]?.string { return text }
      }
      return nil
    }
    self.init(endOfText: endOfText)
    guard config != nil || map != nil else { return }
    others = []
    bos = name("bos_token")
    eos = name("eos_token")
    for key in ["unk_token", "pad_token", "sep_token", "cls_token", "mask_token"] {
      if let text = name(key) { others.append((key, text)) }
    }
  }

  /// All texts.
  var names: Set<String> { Set([bos, eos].compactMap { $0 } + others.map(\.name)) }

  var isEmpty: Bool { names.isEmpty }

  /// The tokens as `special_tokens_map.json` has them.
  var json: JSONValue {
    var object = JSONObject()
    if let bos { object["bos_token"] = .string(bos) }
    if let eos { object["eos_token"] = .string(eos) }
    for (key, name) in others { object[key] = .string(name) }
    return .object(object)
  }
}
