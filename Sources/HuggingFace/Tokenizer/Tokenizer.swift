import ByteIO
public import Diagnostics
import JSON
public import SystemPackage

/// A byte-level BPE, from text to ids and back, exactly as the tokenizers library does it.
///
/// ```swift
/// let tokenizer = try Tokenizer(folder: "hf/gpt2")
/// let ids = try tokenizer.encode("Hello, my dog is cute")
/// print(ids, tokenizer.decode(ids))
/// ```
public struct Tokenizer: Sendable {
  /// One more than the highest id.
  public let size: Int
  /// What is worth knowing of the files.
  public let warnings: [Diagnostic]
  private let merges: MergeTable
  /// The id of each byte; `nil` for one that the vocabulary lacks.
  private let byteIDs: [Int?]
  /// What each token stands for.
  private let tokens: [Int: [UInt8]]
  /// Tokens at which a text is cut before anything else: first everywhere at those that are not
  /// normalized, then what is left at the others. Each longest first, by their first byte.
  private let added: [[UInt8: [Added]]]
  private let special: Set<Int>
  private let file: String

  private struct Added: Sendable {
    let content: [UInt8]
    let id: Int
  }

  /// Reads the tokenizer of a folder: `tokenizer.json`, else vocabulary and merges.
  ///
  /// - Throws: `Failure` 66 when the folder has no tokenizer, 65 when its files
  ///   contradict each other, 69 for a tokenizer that is not a plain byte-level BPE.
  public init(folder: FilePath) throws(Failure) {
    let fast = folder.appending("tokenizer.json")
    let pair = ModelTokenizer.pairs.first {
      FileSystem.exists(folder.appending($0.0)) && FileSystem.exists(folder.appending($0.1))
    }
    if FileSystem.exists(fast) {
      guard let object = try JSONFile.read(fast).object else {
        throw Failure(.tokenizerInconsistent, "a JSON object was expected", file: fast.string)
      }
      if let reason = Tokenizer.refusal(object) {
        throw Failure(.tokenizerUnsupported, reason, file: fast.string)
      }
      guard let pairs = try BytePairs(object, fast) else {
        throw Failure(
          .tokenizerUnsupported, "it is not a byte-level BPE", file: fast.string)
      }
      var warnings: [Diagnostic] = []
      if let pair,
        let other = try? BytePairs(
          vocabulary: folder.appending(pair.0), merges: folder.appending(pair.1)),
        other.vocabulary.members.count != pairs.vocabulary.members.count
      {
        warnings.append(
          Diagnostic(
            .tokenizerOtherSize,
            "tokenizer.json has \(pairs.vocabulary.members.count) tokens, but \(pair.0) "
              + "\(other.vocabulary.members.count); tokenizer.json is taken"))
      }
      try self.init(
        pairs, AddedToken.all(fast: object, config: nil, plain: nil), fast.string, warnings)
    } else if let pair {
      let path = folder.appending(pair.0)
      let pairs = try BytePairs(vocabulary: path, merges: folder.appending(pair.1))
      func json(_ name: String) throws(Failure) -> JSONObject? {
        let path = folder.appending(name)
        return FileSystem.exists(path) ? try JSONFile.read(path).object : nil
      }
      let config = try json("tokenizer_config.json")
      let hasEnd = pairs.vocabulary[ModelTokenizer.endOfText] != nil
      let names = SpecialNames(
        config: config, map: try json("special_tokens_map.json"), endOfText: hasEnd)
      var added = AddedToken.all(
        fast: nil, config: config, plain: try json("added_tokens.json"))
      for name in names.names where !added.contains(where: { $0.content == name }) {
        guard let id = pairs.vocabulary[name]?.int else { continue }
        added.append(AddedToken(id: id, content: name, isSpecial: true))
      }
      for index in added.indices where names.names.contains(added[index].content) {
        added[index].isSpecial = true
      }
      try self.init(pairs, added, path.string, [])
    } else {
      let inside = ((try? FileSystem.list(folder)) ?? []).map(\.string)
      throw Failure(
        .tokenizerMissing,
        "there is neither a tokenizer.json nor a vocab.json next to a merges.txt; it holds "
          + PathAdvice.listed(inside), file: folder.string)
    }
  }

  /// Reads Megatron's own files: a vocabulary, and merges with a pair on each line.
  ///
  /// - Throws: `Failure` 66 for a file that cannot be read, 65 for one that is damaged.
  public init(vocabulary: FilePath, merges: FilePath) throws(Failure) {
    let pairs = try BytePairs(vocabulary: vocabulary, merges: merges)
    let end = pairs.vocabulary[ModelTokenizer.endOfText]?.int
    try self.init(
      pairs,
      end.map { [AddedToken(id: $0, content: ModelTokenizer.endOfText, isSpecial: true)] } ?? [],
      vocabulary.string, [])
  }

  private init(
    _ pairs: BytePairs, _ added: [AddedToken], _ file: String, _ warnings: [Diagnostic]
  ) throws(Failure) {
    if let odd = added.first(where: { $0.stripsLeft || $0.stripsRight || $0.isSingleWord }) {
      throw Failure(
        .tokenizerUnsupported,
        "the token \"\(odd.content)\" takes white space along or stands for whole words only",
        file: file)
    }
    var ids: [UTF8Key: Int] = [:]
    var tokens: [Int: [UInt8]] = [:]
    for member in pairs.vocabulary.members {
      guard let id = member.value.int else { continue }
      ids[UTF8Key(member.key)] = id
      tokens[id] = ByteAlphabet.bytes(of: member.key)
    }
    for token in added { tokens[token.id] = Array(token.content.utf8) }
    var merges = MergeTable()
    for merge in pairs.merges {
      // Both halves, and that they make a token, were looked at when the file was read.
      let parts = merge.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, let made = ids[UTF8Key(parts[0] + parts[1])] else { continue }
      guard let left = ids[UTF8Key(parts[0])], let right = ids[UTF8Key(parts[1])] else {
        throw Failure(
          .tokenizerInconsistent,
          "the merge \"\(merge)\" is of a token that the vocabulary lacks", file: file)
      }
      merges.add(left, right, makes: made)
    }
    self.merges = merges
    self.tokens = tokens
    self.warnings = warnings
    self.file = file
    size = (tokens.keys.max() ?? -1) + 1
    byteIDs = ByteAlphabet.characters.map { ids[UTF8Key(String(Character($0)))] }
    special = Set(added.filter(\.isSpecial).map(\.id))
    self.added = [false, true].map { isNormalized in
      Dictionary(
        grouping: added.filter { !$0.content.isEmpty && $0.isNormalized == isNormalized }.map {
          Added(content: Array($0.content.utf8), id: $0.id)
        }, by: { $0.content[0] }
      ).mapValues { $0.sorted { $0.content.count > $1.content.count } }
    }
  }

  /// Why a `tokenizer.json` is not one that is carried out here; `nil` for a plain byte-level BPE.
  private static func refusal(_ object: JSONObject) -> String? {
    func isSet(_ value: JSONValue?) -> Bool {
      ![nil, .null, .bool(false), .string(""), .int(0), .double(0)].contains(value)
    }
    guard let model = object["model"]?.object else { return "it has no \"model\"" }
    if let type = model["type"]?.string, type != "BPE" {
      return "its model is a \(type), not a BPE"
    }
    for key in [
      "dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback",
      "ignore_merges",
    ] where isSet(model[key]) {
      return "\(key) is set"
    }
    if isSet(object["normalizer"]) { return "it has a normalizer" }
    guard let step = object["pre_tokenizer"]?.object, step["type"]?.string == "ByteLevel" else {
      return "its pre-tokenizer is not ByteLevel"
    }
    if step["add_prefix_space"]?.bool == true { return "add_prefix_space is true" }
    if step["use_regex"]?.bool == false { return "use_regex is false" }
    if let last = object["post_processor"]?.object, last["type"]?.string != "ByteLevel" {
      return "its post-processor adds tokens (\(last["type"]?.string ?? "of an unknown kind"))"
    }
    return nil
  }

  // MARK: - Ids

  /// The ids of a text; those of added tokens where their content stands in it.
  ///
  /// - Throws: `Failure` 65 for a byte that the vocabulary lacks.
  public func encode(_ text: String) throws(Failure) -> [Int] {
    let bytes = Array(text.utf8)
    var ids: [Int] = []
    // Words come again and again.
    var known: [ArraySlice<UInt8>: [Int]] = [:]
    for (outer, token) in cut(bytes, 0..<bytes.count, at: added[0]) {
      for (inner, token) in cut(bytes, outer, at: added[1]) {
        try encode(bytes, inner, &ids, &known)
        if let token { ids.append(token) }
      }
      if let token { ids.append(token) }
    }
    return ids
  }

  /// The parts of a text between tokens, each with the token after it; the last has none.
  private func cut(
    _ bytes: [UInt8], _ range: Range<Int>, at tokens: [UInt8: [Added]]
  ) -> [(part: Range<Int>, token: Int?)] {
    var parts: [(Range<Int>, Int?)] = []
    var (start, place) = (range.lowerBound, range.lowerBound)
    while place < range.upperBound {
      let rest = bytes[place..<range.upperBound]
      if let token = tokens[bytes[place]]?.first(where: { rest.starts(with: $0.content) }) {
        parts.append((start..<place, token.id))
        place += token.content.count
        start = place
      } else {
        place += 1
      }
    }
    return parts + [(start..<range.upperBound, nil)]
  }

  private func encode(
    _ bytes: [UInt8], _ range: Range<Int>, _ ids: inout [Int],
    _ known: inout [ArraySlice<UInt8>: [Int]]
  ) throws(Failure) {
    var scanner = PieceScanner(bytes, range)
    while let piece = scanner.next() {
      let slice = bytes[piece]
      if let found = known[slice] {
        ids += found
        continue
      }
      var tokens: [Int] = []
      tokens.reserveCapacity(piece.count)
      for byte in slice {
        guard let id = byteIDs[Int(byte)] else {
          throw Failure(
            .tokenizerInconsistent, "the vocabulary has no token of the byte \(byte)", file: file)
        }
        tokens.append(id)
      }
      let merged = merges.apply(to: tokens)
      if piece.count <= 64 { known[slice] = merged }
      ids += merged
    }
  }

  /// The text that ids stand for. Bytes that are not UTF-8 become U+FFFD, ids beyond the vocabulary
  /// nothing.
  ///
  /// - Parameters:
  ///   - ids: The ids.
  ///   - keepsSpecial: Whether tokens such as the end of a text are shown.
  /// - Returns: The text.
  public func decode(_ ids: [Int], keepingSpecial keepsSpecial: Bool = false) -> String {
    var bytes: [UInt8] = []
    for id in ids where keepsSpecial || !special.contains(id) { bytes += tokens[id] ?? [] }
    return String(decoding: bytes, as: UTF8.self)
  }
}
