import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace

@Suite struct TokenizerTests {
  private func tokenizer() throws -> ModelTokenizer {
    try ModelTokenizer(folder: fixture("tokenizer"))
  }

  @Test func fiveFilesAreWrittenTwoOfThemUnchanged() throws {
    let tokenizer = try self.tokenizer()
    #expect(tokenizer.size == 501)
    let files = tokenizer.files(positions: 40)
    #expect(
      files.map(\.name) == [
        "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json",
      ])
    #expect(files[0].bytes == (try bytes(of: fixture("tokenizer/vocab.json"))))
    #expect(files[1].bytes == (try bytes(of: fixture("tokenizer/merges.txt"))))
    let fast = try JSONParser.parse(files[2].bytes).object
    let vocabulary = try JSONParser.parse(files[0].bytes)
    #expect(fast?["model"]?.object?["vocab"] == vocabulary)
    #expect(fast?["model"]?.object?["merges"]?.array?.first?.string?.contains(" ") == true)
  }

  @Test func itsIdsGoIntoTheConfiguration() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter(TestModel(vocabulary: 512))
    writer.ranks = 1
    try writer.write(to: folder)
    let tokenizer = try self.tokenizer()
    let converter = try Conversion(of: index(folder.path), tokenizer: tokenizer)
    #expect(converter.plan.configuration.config["eos_token_id"] == .int(tokenizer.eos ?? -1))
    #expect(converter.plan.configuration.generation["bos_token_id"] == .int(tokenizer.eos ?? -1))
    var options = ConversionOptions()
    options.vocabulary = .rows(400)
    #expect(
      failure { _ = try Conversion(of: index(folder.path), options: options, tokenizer: tokenizer) }
        == "78 tokenizer/size")
  }

  @Test func aTokenizerThatContradictsItselfIsRefused() throws {
    let merges = Array("#version: 0.2\na b\n".utf8)
    let cases: [(String, [UInt8])] = [
      (#"{"a":0,"b":1,"ab":3,"<|endoftext|>":2,"x":3}"#, merges),
      (#"{"a":0,"b":1,"c":2,"<|endoftext|>":3}"#, merges),
      (#"{"a":0,"b":1,"ab":2,"<|endoftext|>":3}"#, Array("a b c\n".utf8)),
      (#"{"a":0,"a":1,"ab":2,"<|endoftext|>":3}"#, merges), ("[]", merges), ("{", merges),
    ]
    for (vocabulary, merges) in cases {
      let folder = try TemporaryFolder()
      try folder.write("vocab.json", Array(vocabulary.utf8))
      try folder.write("merges.txt", merges)
      #expect(
        failure { _ = try ModelTokenizer(folder: folder.path) }.hasPrefix("65 "), "\(vocabulary)")
    }
    let empty = try TemporaryFolder()
    #expect(failure { _ = try ModelTokenizer(folder: empty.path) } == "66 tokenizer/missing")
  }

  // MARK: - Folders that transformers made

  private static let vocabulary = #"{"a":0,"b":1,"ab":2,"<|endoftext|>":3}"#
  private static let merges = "#version: 0.2\na b\n"

  private func folder(_ files: [String: String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (name, text) in files { try folder.write(name, Array(text.utf8)) }
    return folder
  }

  private func tokenizer(_ files: [String: String]) throws -> ModelTokenizer {
    let folder = try folder(files)
    defer { withExtendedLifetime(folder) {} }
    return try ModelTokenizer(folder: folder.path)
  }

  private func text(_ name: String, _ tokenizer: ModelTokenizer) -> String? {
    tokenizer.files(positions: 5).first { $0.name == name }.map {
      String(decoding: $0.bytes, as: UTF8.self)
    }
  }

  @Test func whatAFolderSaysIsKeptAsItIs() throws {
    let given = [
      "vocab.json": TokenizerTests.vocabulary, "merges.txt": TokenizerTests.merges,
      "added_tokens.json": #"{"<|im_start|>": 4, "<pad>": 5}"#,
      "special_tokens_map.json": #"{"eos_token": {"content": "<|im_start|>", "lstrip": false}}"#,
      "tokenizer_config.json": #"{"chat_template": "{{ messages }}", "pad_token": "<pad>"}"#,
      "chat_template.jinja": "{{ messages }}",
    ]
    let tokenizer = try self.tokenizer(given)
    for (name, text) in given { #expect(self.text(name, tokenizer) == text, "\(name)") }
    #expect(tokenizer.size == 6)
    #expect(tokenizer.eos == 4)
    #expect(tokenizer.bos == nil)
    // What is derived knows the added tokens, too.
    let fast = try #require(text("tokenizer.json", tokenizer))
    let added = try JSONParser.parse(fast.utf8).object?["added_tokens"]?.array?.compactMap(\.object)
    #expect(added?.map { $0["content"] } == ["<|endoftext|>", "<|im_start|>", "<pad>"])
    #expect(added?.map { $0["special"] } == [true, true, true])
  }

  @Test func theOneFileOfNewReleasesIsEnough() throws {
    for merges in [#"["a b"]"#, #"[["a", "b"]]"#] {
      let fast =
        #"{"version":"1.0","added_tokens":[{"id":3,"content":"</s>","special":true}],"#
        + #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"}]},"#
        + #""model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":"# + merges + "}}"
      let tokenizer = try self.tokenizer(["tokenizer.json": fast])
      #expect(tokenizer.size == 4)
      #expect(text("tokenizer.json", tokenizer) == fast)
      #expect(text("merges.txt", tokenizer) == "#version: 0.2\na b\n")
      #expect(text("vocab.json", tokenizer) == #"{"a":0,"b":1,"ab":2}"#)
      #expect(text("tokenizer_config.json", tokenizer)?.contains("GPT2Tokenizer") == true)
      #expect(tokenizer.eos == nil)
    }
  }

  @Test func aTokenizerOfAnotherKindIsKept() throws {
    let files = [
      "tokenizer.json":
        #"{"model":{"type":"Unigram","vocab":[["<s>",0],["a",-1]]},"added_tokens":[]}"#,
      "tokenizer_config.json": #"{"bos_token":"<s>","tokenizer_class":"T5Tokenizer"}"#,
      "spiece.model": "x",
    ]
    let tokenizer = try self.tokenizer(files)
    #expect(tokenizer.size == 2)
    #expect(
      Set(tokenizer.files(positions: 5).map(\.name))
        == Set(files.keys).union(["special_tokens_map.json"]))
  }

  @Test func byteOrderMarksAreLeftOut() throws {
    let tokenizer = try self.tokenizer([
      "vocab.json": "\u{FEFF}" + TokenizerTests.vocabulary,
      "merges.txt": "\u{FEFF}" + TokenizerTests.merges,
    ])
    #expect(text("vocab.json", tokenizer) == TokenizerTests.vocabulary)
    #expect(text("merges.txt", tokenizer) == TokenizerTests.merges)
  }

  @Test func megatronsOwnNamesAreFoundInAFolder() throws {
    let tokenizer = try self.tokenizer([
      "gpt2-vocab.json": TokenizerTests.vocabulary, "gpt2-merges.txt": TokenizerTests.merges,
    ])
    #expect(text("vocab.json", tokenizer) == TokenizerTests.vocabulary)
    #expect(tokenizer.eos == 3)
  }

  @Test func aTokenThatTheEmbeddingLacksIsRefused() throws {
    let world = try TemporaryFolder()
    try RankWriter().write(to: world)
    let tokenizer = try self.tokenizer([
      "vocab.json": TokenizerTests.vocabulary, "merges.txt": TokenizerTests.merges,
      "added_tokens.json": #"{"<far>": 16}"#,
    ])
    let outcome = try convert(world.path, tokenizer: tokenizer)
    #expect(outcome.status == "78 tokenizer/size")
  }
}
