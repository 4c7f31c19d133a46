import JSON
import SystemPackage
import TestSupport
import Testing

@testable import HuggingFace

/// Text to ids and back, by what the tokenizers library gives (`Tests/Fixtures/make/tokens.py`).
@Suite struct TokenTests {
  private func cases(_ key: String) throws -> [JSONObject] {
    let json = try JSONParser.parse(bytes(of: fixture("tokens.json")))
    return try #require(json.object?[key]?.array).compactMap(\.object)
  }

  private func ids(_ value: JSONObject) -> [Int] { value["ids"]?.array?.compactMap(\.int) ?? [] }

  @Test func idsAreThoseOfTheTokenizersLibrary() throws {
    let tokenizer = try Tokenizer(folder: fixture("tokenizer"))
    let cases = try cases("encode")
    #expect(cases.count > 150)
    for value in cases {
      let text = try #require(value["text"]?.string)
      #expect(try tokenizer.encode(text) == ids(value), "\(text.debugDescription)")
    }
  }

  @Test func textsAreThoseOfTheTokenizersLibrary() throws {
    let tokenizer = try Tokenizer(folder: fixture("tokenizer"))
    for value in try cases("decode") {
      #expect(tokenizer.decode(ids(value)) == value["text"]?.string)
      #expect(
        tokenizer.decode(ids(value), keepingSpecial: true) == value["special"]?.string)
    }
    #expect(tokenizer.decode([100_000, -1]) == "")
  }

  @Test func aTokenizerOfOneFileGivesTheSameIds() throws {
    let folder = try TemporaryFolder()
    let files = try ModelTokenizer(folder: fixture("tokenizer")).files(positions: 40)
    for file in files where file.name == "tokenizer.json" {
      try folder.write(file.name, file.bytes)
    }
    let (one, two) = (
      try Tokenizer(folder: folder.path), try Tokenizer(folder: fixture("tokenizer"))
    )
    for value in try cases("encode") {
      let text = try #require(value["text"]?.string)
      #expect(try one.encode(text) == two.encode(text))
    }
    #expect(one.size == two.size && one.warnings.isEmpty)
    // Next to files of another size the one is taken, and that is said.
    try folder.write("vocab.json", Array(#"{"a":0}"#.utf8))
    try folder.write("merges.txt", [])
    #expect(
      try Tokenizer(folder: folder.path).warnings.map(\.code.name) == ["tokenizer/other-size"])
  }

  /// Pieces of texts, written with bars between them.
  @Test(arguments: [
    "it|'s| we|'ve| I|'ll| he|'d", "'|S", "don|'t|!!", "''|s", "a|  | b", "a|\n\n|\n|b", "  | x",
    " |\t|x", "x|   ", "12|ab| 34|.|5", "e|\u{301}", "\u{E9}", "\u{A0}|word", " \u{200B}|x",
    "\u{4F60}\u{597D}|,| \u{4E16}", "\u{16D40}|\u{2163}", "²³½|a",
  ])
  func aTextIsCutIntoPieces(text: String) {
    // By bytes: a bar and an accent after it are one character to Swift.
    let wanted = text.utf8.split(separator: UInt8(ascii: "|")).map {
      String(decoding: Array($0), as: UTF8.self)
    }
    let bytes = Array(wanted.joined().utf8)
    var scanner = PieceScanner(bytes, 0..<bytes.count)
    var found: [String] = []
    while let piece = scanner.next() { found.append(String(decoding: bytes[piece], as: UTF8.self)) }
    #expect(found == wanted)
  }

  /// Long and short pieces are merged in two ways, which must agree.
  @Test func aRunWithoutAnEndIsMergedLikeAShortOne() {
    var random = SeededGenerator(5)
    var table = MergeTable()
    for id in 4..<60 {
      table.add(
        Int.random(in: 0..<id, using: &random), Int.random(in: 0..<id, using: &random), makes: id)
    }
    for _ in 0..<300 {
      let count = Int.random(in: 0...90, using: &random)
      let tokens = (0..<count).map { _ in Int.random(in: 0..<4, using: &random) }
      #expect(table.applyByHeap(to: tokens) == table.applyByScan(to: tokens))
    }
    let seconds = ContinuousClock().measure {
      _ = table.apply(to: (0..<50_000).map { $0 % 3 })
    }
    #expect(seconds < .seconds(20))
  }

  private func folder(_ json: String) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("tokenizer.json", Array(json.utf8))
    return folder
  }

  private static let model = #""model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]"#

  @Test(arguments: [
    (#"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"type":"Unigram"}}"#, "Unigram"),
    (#"{"pre_tokenizer":{"type":"Whitespace"},\#(model)}}"#, "not ByteLevel"),
    (#"{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},\#(model)}}"#, "prefix"),
    (#"{"pre_tokenizer":{"type":"ByteLevel","use_regex":false},\#(model)}}"#, "use_regex"),
    (#"{"pre_tokenizer":{"type":"ByteLevel"},"normalizer":{"type":"NFC"},\#(model)}}"#, "normal"),
    (#"{"pre_tokenizer":{"type":"ByteLevel"},\#(model),"dropout":0.1}}"#, "dropout"),
    (#"{"pre_tokenizer":{"type":"ByteLevel"},\#(model),"ignore_merges":true}}"#, "ignore_merges"),
    (
      #"{"pre_tokenizer":{"type":"ByteLevel"},"post_processor":{"type":"TemplateProcessing"},"#
        + #"\#(model)}}"#, "adds tokens"
    ),
    (
      #"{"pre_tokenizer":{"type":"ByteLevel"},"added_tokens":[{"id":3,"content":"x","#
        + #""lstrip":true}],\#(model)}}"#, "white space"
    ),
  ])
  func aTokenizerOfAnotherKindIsRefused(json: String, word: String) throws {
    let folder = try folder(json)
    let error = #expect(throws: (any Error).self) { try Tokenizer(folder: folder.path) }
    #expect("\(try #require(error))".contains(word), "\(error.map { "\($0)" } ?? "")")
    #expect(failure { _ = try Tokenizer(folder: folder.path) } == "69 tokenizer/unsupported")
  }

  /// A tokenizer of the letters a, b, c and of tokens that are merged or added.
  private func letters(_ merges: [String], added: [(String, isNormalized: Bool)] = []) throws
    -> Tokenizer
  {
    var vocabulary = ["a", "b", "c"]
    for merge in merges {
      let token = merge.filter { $0 != " " }
      if !vocabulary.contains(token) { vocabulary.append(token) }
    }
    let ids = vocabulary.enumerated().map { "\"\($0.element)\":\($0.offset)" }
    let tokens = added.enumerated().map { place, token in
      "{\"id\":\(vocabulary.count + place),\"content\":\"\(token.0)\",\"normalized\":\(token.1)}"
    }
    let folder = try folder(
      """
      {"pre_tokenizer":{"type":"ByteLevel"},"added_tokens":[\(tokens.joined(separator: ","))],
      "model":{"type":"BPE","vocab":{\(ids.joined(separator: ","))},
      "merges":[\(merges.map { "\"\($0)\"" }.joined(separator: ","))]}}
      """)
    return try Tokenizer(folder: folder.path)
  }

  // The ids of the next two tests are what tokenizers 0.23 gives.
  @Test func ofAMergeThatComesTwiceTheLastRankCounts() throws {
    #expect(try letters(["a b", "b c", "a b"]).encode("abc") == [0, 4])
    #expect(try letters(["b c", "a b", "b c"]).encode("abc") == [4, 2])
  }

  @Test func addedTokensThatAreNotNormalizedAreCutOutFirst() throws {
    #expect(try letters([], added: [("ab", true), ("bc", false)]).encode("abc") == [0, 4])
    #expect(try letters([], added: [("ab", false), ("bc", true)]).encode("abc") == [3, 2])
    #expect(try letters([], added: [("abc", true), ("bc", false)]).encode("cabc") == [2, 0, 4])
    #expect(try letters([], added: [("ab", true), ("abc", true)]).encode("abcab") == [4, 3])
  }

  @Test func whatTheVocabularyLacksIsAnError() throws {
    let plain = try folder(#"{"pre_tokenizer":{"type":"ByteLevel"},\#(TokenTests.model)}}"#)
    let tokenizer = try Tokenizer(folder: plain.path)
    #expect(try tokenizer.encode("abba") == [2, 1, 0])
    #expect(failure { _ = try tokenizer.encode("abc") } == "65 tokenizer/inconsistent")
    let broken = try folder(
      #"{"pre_tokenizer":{"type":"ByteLevel"},"#
        + #""model":{"type":"BPE","vocab":{"a":0,"ab":1},"merges":["a b"]}}"#)
    #expect(failure { _ = try Tokenizer(folder: broken.path) } == "65 tokenizer/inconsistent")
    let empty = try TemporaryFolder()
    #expect(failure { _ = try Tokenizer(folder: empty.path) } == "66 tokenizer/missing")
  }

  /// Added tokens are found before anything else, the longest first.
  @Test func addedTokensCutTheText() throws {
    let folder = try folder(
      #"{"pre_tokenizer":{"type":"ByteLevel"},"added_tokens":[{"id":7,"content":"<a>"},"#
        + #"{"id":8,"content":"<a>b","special":true}],\#(TokenTests.model)}}"#)
    let tokenizer = try Tokenizer(folder: folder.path)
    #expect(try tokenizer.encode("ab<a>b<a>a") == [2, 8, 7, 0])
    #expect(tokenizer.decode([2, 8, 7]) == "ab<a>")
    #expect(tokenizer.decode([2, 8, 7], keepingSpecial: true) == "ab<a>b<a>")
    #expect(tokenizer.size == 9)
  }
}
