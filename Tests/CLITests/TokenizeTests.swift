import JSON
import TestSupport
import Testing

/// `meg2hf tokenize` as a process.
@Suite struct TokenizeTests {
  private let tokenizer = fixture("tokenizer").string

  @Test func textBecomesIdsAndIdsBecomeText() throws {
    let ids = try meg2hf(["tokenize", tokenizer, "Hello <|endoftext|>"])
    #expect(ids.status == 0)
    let text = try meg2hf(["tokenize", tokenizer, "--decode", ids.output])
    #expect(text.output == "Hello \n")
    let special = try meg2hf(["tokenize", tokenizer, "--decode", "--keep-special", ids.output])
    #expect(special.output == "Hello <|endoftext|>\n")
    let printed = try meg2hf(["tokenize", tokenizer, "Hello", "--json"])
    let document = try #require(JSONParser.parse(Array(printed.output.utf8)).object)
    #expect(document["schema"] == "meg2hf.tokenize/1" && document["text"] == "Hello")
    #expect(document["ids"]?.array?.isEmpty == false)
  }

  @Test func eachLineIsAValueOfItsOwn() throws {
    let folder = try TemporaryFolder()
    try folder.write("in.jsonl", Array("\"Hello\"\r\n\"a\\nb\"\n\n\"\"".utf8))
    let ids = try meg2hf(
      ["tokenize", tokenizer, "--file", "in.jsonl", "--json-lines"], in: folder.path)
    #expect(ids.output.split(separator: "\n").count == 3 && ids.output.hasSuffix("[]\n"))
    try folder.write("ids.jsonl", Array(ids.output.utf8))
    let text = try meg2hf(
      ["tokenize", tokenizer, "--file", "ids.jsonl", "--json-lines", "--decode"],
      in: folder.path)
    #expect(text.output == "\"Hello\"\n\"a\\nb\"\n\"\"\n")
  }

  @Test func whatIsNotTextIsNamed() throws {
    let folder = try TemporaryFolder()
    try folder.write("bad", [0x61, 0xC3, 0xA9, 0xFF, 0x62])
    let broken = try meg2hf(["tokenize", tokenizer, "--file", "bad"], in: folder.path)
    #expect(broken.status == 65 && broken.errors.contains("byte 3"), "\(broken.errors)")
    try folder.write("lines", Array("\"a\"\n[1]\n".utf8))
    let line = try meg2hf(
      ["tokenize", tokenizer, "--file", "lines", "--json-lines"], in: folder.path)
    #expect(line.status == 65 && line.errors.contains("line 2"), "\(line.errors)")
    let word = try meg2hf(["tokenize", tokenizer, "--decode", "1 two"])
    #expect(word.status == 65 && word.errors.contains("\"two\""), "\(word.errors)")
    #expect(try meg2hf(["tokenize", tokenizer]).status == 64)
    #expect(try meg2hf(["tokenize", tokenizer, "a", "--file", "b"]).status == 64)
    #expect(try meg2hf(["tokenize", folder.path.string, "a"]).status == 66)
  }
}
