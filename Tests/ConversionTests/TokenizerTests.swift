import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion

@Suite struct TokenizerTests {
  private func tokenizer() throws -> GPT2Tokenizer {
    try GPT2Tokenizer(folder: fixture("tokenizer"))
  }

  @Test func fiveFilesAreWrittenTwoOfThemUnchanged() throws {
    let tokenizer = try tokenizer()
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
    let tokenizer = try tokenizer()
    let converter = try Converter(index(folder.path), tokenizer: tokenizer)
    #expect(converter.config.config.object?["eos_token_id"] == .int(tokenizer.endOfTextID))
    #expect(converter.config.generation.object?["bos_token_id"] == .int(tokenizer.endOfTextID))
    var options = ConversionOptions()
    options.vocabulary = .rows(400)
    #expect(
      failure { _ = try Converter(index(folder.path), options: options, tokenizer: tokenizer) }
        == "78 tokenizer/size")
  }

  @Test func aTokenizerThatContradictsItselfIsRefused() throws {
    let merges = Array("#version: 0.2\na b\n".utf8)
    let cases: [(String, [UInt8])] = [
      (#"{"a":0,"b":1,"ab":2}"#, merges),
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
        failure { _ = try GPT2Tokenizer(folder: folder.path) }.hasPrefix("65 "), "\(vocabulary)")
    }
    let empty = try TemporaryFolder()
    #expect(failure { _ = try GPT2Tokenizer(folder: empty.path) } == "66 tokenizer/missing")
  }
}
