import JSON
import SystemPackage
import TestSupport
import Testing

/// `meg2hf generate` and `meg2hf loss` as processes.
@Suite struct GenerateTests {
  private let tokenizer = fixture("tokenizer").string

  /// A converted dump, with its tokenizer or without.
  private func model(in folder: TemporaryFolder, withTokenizer: Bool = true) throws -> String {
    let output = folder.path.appending("hf").string
    let dump = fixture("dumps/bs_tp2pp2dp1_fp32_z1/ckpt").string
    let result = try meg2hf(
      ["convert", dump, output] + (withTokenizer ? ["--tokenizer", tokenizer] : []))
    try #require(result.status == 0, "\(result.errors)")
    return output
  }

  @Test func aTextIsContinued() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    let text = try meg2hf(["generate", model, "Hello", "--max-new-tokens", "3"])
    #expect(text.status == 0 && text.output.hasPrefix("Hello") && text.output.hasSuffix("\n"))
    #expect(text.errors.contains("3 tokens"), "\(text.errors)")
    let quiet = try meg2hf(["generate", model, "Hello", "--max-new-tokens", "3", "--quiet"])
    #expect(quiet.errors.isEmpty && quiet.output == text.output)
    let piped = try meg2hf(
      ["generate", model, "--file", "-", "--max-new-tokens", "3"],
      shell: "printf Hello | \"$@\"")
    #expect(piped.output == text.output)
  }

  @Test func onATerminalTheTextEndsBeforeItsSpeedIsSaid() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder, withTokenizer: false)
    let shown = try meg2hf(
      ["generate", model, "--ids", "1", "--max-new-tokens", "2"], in: folder.path,
      shell: "script -qec \"$*\" typescript >/dev/null; sed 1d typescript")
    let lines = shown.output.split(whereSeparator: \.isNewline)
    #expect(lines.first?.hasPrefix("1 ") == true && lines.first?.contains("meg2hf") == false)
    #expect(lines.dropFirst().first?.hasPrefix("meg2hf: 2 tokens") == true, "\(shown.output)")
  }

  @Test func idsAreContinuedAsTransformersDoes() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder, withTokenizer: false)
    let ids = try meg2hf(
      ["generate", model, "--ids", "365,382,322,476,98,230", "--tokenizer", tokenizer, "-j", "2"])
    #expect(
      ids.output == "365 382 322 476 98 230 326 326 326 326 326 326 326 326 113 113 113 113 439 "
        + "172 172 172 172 172 172 172\n")
    let printed = try meg2hf(
      ["generate", model, "--ids", "1", "--ids", "2,3", "--top", "2", "--json"])
    let document = try #require(try JSONParser.parse(Array(printed.output.utf8)).object)
    let results = document["results"]?.array?.compactMap(\.object) ?? []
    #expect(results.map { $0["prompt_ids"] } == [[1], [2, 3]])
    for result in results {
      let steps = result["steps"]?.array?.compactMap(\.object) ?? []
      #expect(result["new_ids"]?.array == steps.compactMap { $0["id"] })
      #expect(steps.allSatisfy { $0["top"]?.array?.count == 2 && $0["logprob"]?.number ?? 1 < 0 })
    }
  }

  @Test func theTokenThatEndsATextIsNotInIt() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    let prompt = ["generate", model, "Hello", "--json", "--max-new-tokens", "4"]
    func result(_ flags: [String]) throws -> JSONObject {
      let printed = try meg2hf(prompt + flags)
      let document = try #require(JSONParser.parse(Array(printed.output.utf8)).object)
      return try #require(document["results"]?.array?.first?.object)
    }
    let first = try #require(result([])["new_ids"]?.array?.first?.int)
    let stopped = try result(["--stop", String(first)])
    #expect(stopped["text"] == "" && stopped["new_ids"] == [.int(first)])
    #expect(stopped["stopped"] == "stop")
  }

  @Test func paddingIsChosenOnlyWhenAsked() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder, withTokenizer: false)
    func ids(_ flags: [String]) throws -> [Int] {
      try meg2hf(["generate", model, "--ids", "1"] + flags).output.split(separator: " ")
        .compactMap { Int($0.filter(\.isNumber)) }
    }
    #expect(try ids(["--vocab-size", "10"]).allSatisfy { $0 < 10 })
    #expect(try ids(["--keep-padding"]) == ids([]))
    #expect(
      try meg2hf(["generate", model, "--ids", "1", "--vocab-size", "9", "--keep-padding"]).status
        == 64)
  }

  @Test func aTokenizerThatCannotBeUsedIsAWarningForIds() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    try folder.write("hf/tokenizer.json", Array("{}".utf8))
    let ids = try meg2hf(["generate", model, "--ids", "1"])
    #expect(ids.status == 0 && ids.errors.contains("warning"), "\(ids.errors)")
    #expect(try meg2hf(["generate", model, "Hello"]).status == 69)
  }

  @Test func aFileThatWasCutOffAndACheckpointAreNamed() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    let weights = try bytes(of: folder.path.appending("hf/model.safetensors"))
    try folder.write("hf/model.safetensors", Array(weights.dropLast(100)))
    let cut = try meg2hf(["generate", model, "Hello"])
    #expect(cut.status == 65 && cut.errors.contains("model.safetensors"), "\(cut.errors)")
  }

  @Test func aCheckpointSpeaksBeforeItIsConverted() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    let dump = fixture("dumps/bs_tp2pp2dp1_fp32_z1/ckpt").string
    for flags in [["Hello"], ["--ids", "365,382"], ["--ids", "1", "--memory", "20kB"]] {
      let words = flags + ["--max-new-tokens", "5", "-q", "--tokenizer", tokenizer]
      let (after, before) = (
        try meg2hf(["generate", model] + words), try meg2hf(["generate", dump] + words)
      )
      #expect(before.status == 0 && before.output == after.output, "\(before.errors)")
    }
    let tokens = fixture("dumps/bs_tp2pp2dp1_fp32_z1/truth/tokens.json").string
    let loss = try meg2hf(["loss", dump, "--tokens", tokens, "-q"])
    #expect(
      loss.output == """
        loss 6.4634  perplexity 641.26  (46 predictions, 2 windows of up to 40)
        loss 6.4520  over the 501 rows before padding

        """, "\(loss.errors)")
    // A text has to be made into ids.
    let text = try meg2hf(["generate", dump, "Hello"])
    #expect(text.status == 66 && text.errors.contains("--tokenizer"), "\(text.errors)")
    let bloom = try meg2hf(
      ["generate", fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt").string, "--ids", "1"])
    #expect(bloom.status == 69, "\(bloom.errors)")
  }

  @Test func aDamagedCheckpointIsNotRun() throws {
    let folder = try TemporaryFolder()
    let dump = fixture("dumps/bs_tp2pp2dp1_fp32_z1/ckpt")
    try copy(dump, to: folder.path.appending("run"))
    let step = try #require(
      try contents(folder.path.appending("run")).first { $0.hasPrefix("global_step") })
    let name = "run/\(step)/layer_03-model_01-model_states.pt"
    var weights = try bytes(of: folder.path.appending(name))
    let storage = try #require(TestZip.entries(of: weights).max { $0.size < $1.size })
    weights[storage.offset + storage.size / 2] ^= 1
    try folder.write(name, weights)
    for words in [["generate", "run", "--ids", "1"], ["loss", "run", "--tokens", "t.json"]] {
      try folder.write("t.json", Array("[1, 2, 3]".utf8))
      let damaged = try meg2hf(words, in: folder.path)
      #expect(damaged.status == 65 && damaged.errors.contains("layer_03-model_01"))
      #expect(damaged.output.isEmpty)
      #expect(try meg2hf(words + ["--crc", "none"], in: folder.path).status == 0)
    }
  }

  @Test func flagsForCheckpointsAreRefusedForFolders() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    for flags in [
      ["--set", "num_attention_heads=2"], ["--qkv-layout", "thirds"], ["--iteration", "3"],
      ["--weights", "fp32-master"],
    ] {
      let result = try meg2hf(["generate", model, "--ids", "1"] + flags)
      #expect(result.status == 64 && result.errors.contains(flags[0]), "\(result.errors)")
    }
  }

  @Test func theLossIsThatOfTheTrainer() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder)
    let tokens = fixture("dumps/bs_tp2pp2dp1_fp32_z1/truth/tokens.json").string
    let loss = try meg2hf(["loss", model, "--tokens", tokens, "--quiet"])
    #expect(
      loss.output == """
        loss 6.4634  perplexity 641.26  (46 predictions, 2 windows of up to 40)
        loss 6.4520  over the 501 rows before padding

        """, "\(loss.errors)")
    for (rows, lines) in [("501", 2), ("padded", 1)] {
      let named = try meg2hf(
        ["loss", model, "--tokens", tokens, "--quiet", "--vocabulary", rows])
      #expect(named.output.split(separator: "\n").count == lines, "\(named.errors)")
    }
    try folder.write("text", Array("Hello Hello Hello".utf8))
    let text = try meg2hf(["loss", model, "--file", "text"], in: folder.path)
    #expect(text.status == 0 && text.output.hasPrefix("loss "), "\(text.errors)")
  }

  @Test func withoutATokenizerThereIsNoLossBeforePadding() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder, withTokenizer: false)
    let tokens = fixture("dumps/bs_tp2pp2dp1_fp32_z1/truth/tokens.json").string
    let printed = try meg2hf(["loss", model, "--tokens", tokens, "--json"])
    #expect(printed.output.contains("\"loss_trimmed\": null"))
  }

  @Test func whatCannotBeRunHasItsStatus() throws {
    let folder = try TemporaryFolder()
    let model = try model(in: folder, withTokenizer: false)
    let cases: [([String], Int32, String)] = [
      (["generate", model], 64, "a prompt is needed"),
      (["generate", model, "a", "--ids", "1"], 64, "leave one of them"),
      (["generate", model, "a"], 66, "--tokenizer"),
      (["generate", model, "--ids", "1,x"], 65, "\"x\""),
      (["generate", model, "--ids", "9999"], 64, "9999"),
      (["generate", "/nowhere", "--ids", "1"], 66, "/nowhere"),
      (["loss", model], 64, "--tokens FILE"),
      (["loss", model, "--tokens", "/nowhere"], 66, "/nowhere"),
      (["loss", model, "--tokens", tokenizer + "/merges.txt"], 65, "merges.txt"),
      (["loss", model, "--tokens", "/dev/null", "--length", "0"], 64, "count from 1"),
    ]
    for (arguments, status, words) in cases {
      let result = try meg2hf(arguments)
      #expect(
        result.status == status && result.errors.contains(words) && result.output.isEmpty,
        "\(arguments.dropFirst(2)): \(result.status) \(result.errors)")
    }
  }
}
