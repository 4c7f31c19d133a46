import JSON
import SystemPackage
import TestSupport
import Testing

/// What tells that a conversion is right, as processes: `verify --forward`, `loss --qkv-layout
/// each` and `convert --prove`.
@Suite struct ProofTests {
  private let tokens = fixture("arbitration/tokens.json").string

  private func dump(_ name: String) -> String { fixture("arbitration/\(name)").string }

  @Test func theOutputComputesWhatItsCheckpointDoes() throws {
    let folder = try TemporaryFolder()
    let source = fixture("dumps/bs_tp2pp2dp1_fp32_z1/ckpt").string
    #expect(try meg2hf(["convert", source, "hf"], in: folder.path).status == 0)
    let verify = ["verify", "hf", "--against", source, "--forward"]
    let result = try meg2hf(verify, in: folder.path)
    #expect(result.status == 0, "\(result.errors)")
    let line = result.output.split(separator: "\n").first { $0.contains("forward") } ?? ""
    #expect(line.contains("equal to ") && line.contains("on 32 x 512 logits"), "\(line)")
    #expect(line.contains("(source: tp 2, heads-3-hn, Linear; output: Conv1D)"))
    let some = try meg2hf(verify + ["--ids", "1 2 3", "--json"], in: folder.path)
    let document = try #require(JSONParser.parse(Array(some.output.utf8)).object)
    let forward = try #require(document["forward"]?.object)
    #expect(forward["passes"] == true && forward["ids"] == [1, 2, 3])
    #expect(forward["positions"] == [0, 19, 39] && forward["seed"] == .null)
    // An output with other numbers.
    let config = String(
      decoding: try bytes(of: folder.path.appending("hf/config.json")), as: UTF8.self)
    try folder.write("hf/config.json", Array(config.replacing("1e-05", with: "1e-03").utf8))
    let other = try meg2hf(verify, in: folder.path)
    #expect(other.status == 1 && other.output.contains("DIFFERENT"), "\(other.output)")
    #expect(other.output.contains("beginning with attention of layer 0"), "\(other.output)")
  }

  @Test func roundedOutputsAreCloseAndAveragesAreMeasured() throws {
    let folder = try TemporaryFolder()
    for (name, dtype) in [
      ("bs_tp2pp2dp1_fp32_z1", "bf16"), ("ds_tp2pp2dp1_fp16_z1_tpdiverged", "auto"),
    ] {
      let source = fixture("dumps/\(name)/ckpt").string
      #expect(
        try meg2hf(["convert", source, name, "--dtype", dtype], in: folder.path).status == 0)
      let result = try meg2hf(["verify", name, "--against", source, "--forward"], in: folder.path)
      #expect(result.status == 0 && result.output.contains("close, not equal"), "\(result.output)")
    }
  }

  @Test func aWrongStampIsFoundByTheLoss() throws {
    let loss = ["--tokens", tokens, "--qkv-layout", "each"]
    let honest = try meg2hf(["loss", dump("honest")] + loss)
    #expect(
      honest.status == 0
        && honest.output == """
          heads-3-hn is confirmed by 254 predictions
            heads-3-hn  2.0412  lowest, what the checkpoint names
            heads-hn-3  3.4044
            thirds      3.1334

          """,
      "\(honest.output) \(honest.errors)")
    let wrong = try meg2hf(["loss", dump("misstamped_thirds"), "--json"] + loss)
    #expect(wrong.status == 78)
    let document = try #require(JSONParser.parse(Array(wrong.output.utf8)).object)
    #expect(document["verdict"] == "evidence is wrong" && document["best"] == "thirds")
    #expect(document["evidence"] == "heads-3-hn")
    #expect(document["losses"]?.object?["thirds"]?.number.map { abs($0 - 2.04119) < 1e-5 } == true)
    let short = try meg2hf(
      ["loss", dump("honest"), "--max-tokens", "100"] + loss)
    #expect(short.status == 0 && short.output.hasPrefix("this text does not tell"))
    // In a folder of transformers the order is settled; other commands take one order.
    let folder = try TemporaryFolder()
    #expect(try meg2hf(["convert", dump("honest"), "hf"], in: folder.path).status == 0)
    for words in [
      ["loss", "hf"] + loss, ["plan", dump("honest"), "--qkv-layout", "each"],
      ["convert", dump("honest"), "b", "--qkv-layout", "each"],
      ["inspect", dump("honest"), "--qkv-layout", "each"],
      ["generate", dump("honest"), "--ids", "1", "--qkv-layout", "each"],
      ["verify", "hf", "--against", dump("honest"), "--qkv-layout", "each"],
    ] {
      let result = try meg2hf(words, in: folder.path)
      #expect(result.status == 64 && result.errors.contains("each"), "\(words) \(result.errors)")
    }
  }

  @Test func aMisstampedDumpIsRefusedBeforeAnythingIsWritten() throws {
    let folder = try TemporaryFolder()
    for (name, order) in [("misstamped_thirds", "thirds"), ("misstamped_hn3", "heads-hn-3")] {
      let refused = try meg2hf(
        ["convert", dump(name), "hf", "--prove", tokens], in: folder.path)
      #expect(refused.status == 78 && refused.errors.contains("--qkv-layout \(order)"))
      #expect(refused.errors.contains("2.0412 as \(order)"), "\(refused.errors)")
      #expect(try !folder.names().contains("hf"))
      let right = try meg2hf(
        ["convert", dump(name), name, "--prove", tokens, "--qkv-layout", order], in: folder.path)
      #expect(right.status == 0 && right.output.contains("2.0412 as \(order)"), "\(right.errors)")
    }
    // All of them are the same model.
    #expect(
      try meg2hf(["convert", dump("honest"), "honest", "--prove", tokens], in: folder.path).status
        == 0)
    let (a, b) = (
      try bytes(of: folder.path.appending("honest/model.safetensors")),
      try bytes(of: folder.path.appending("misstamped_hn3/model.safetensors"))
    )
    #expect(a == b)
  }

  @Test func aTextThatProvesNothingIsAWarning() throws {
    let folder = try TemporaryFolder()
    try folder.write("t.txt", Array("Hello, my dog is cute".utf8))
    let words = ["convert", dump("honest"), "hf", "--prove", "t.txt"]
    let none = try meg2hf(words, in: folder.path)
    #expect(none.status == 66 && none.errors.contains("--tokenizer"), "\(none.errors)")
    #expect(try folder.names() == ["t.txt"])
    let files = [
      "--vocab-file", fixture("arbitration/tokenizer/vocab.json").string, "--merge-file",
      fixture("arbitration/tokenizer/merges.txt").string,
    ]
    let short = try meg2hf(words + files, in: folder.path)
    #expect(short.status == 0 && short.errors.contains("does not tell"), "\(short.errors)")
    let speaks = try meg2hf(["generate", dump("honest"), "Hello, my dog is cute", "-q"] + files)
    #expect(speaks.output.hasPrefix("Hello, my dog is cutes a string the"), "\(speaks.errors)")
  }

  @Test func theCardShowsWhatTheModelSays() throws {
    let folder = try TemporaryFolder()
    let files = [
      "--vocab-file", fixture("arbitration/tokenizer/vocab.json").string, "--merge-file",
      fixture("arbitration/tokenizer/merges.txt").string,
    ]
    let words = ["convert", dump("honest"), "hf", "--sample", "Hello, my \"dog\" is cute"]
    let none = try meg2hf(words, in: folder.path)
    #expect(none.status == 66 && none.errors.contains("--tokenizer"), "\(none.errors)")
    #expect(try meg2hf(words + files, in: folder.path).status == 0)
    let card = String(
      decoding: try bytes(of: folder.path.appending("hf/README.md")), as: UTF8.self)
    let text = try meg2hf(
      ["generate", "hf", "Hello, my \"dog\" is cute", "-q", "--max-new-tokens", "40"],
      in: folder.path
    ).output
    for line in text.split(separator: "\n") { #expect(card.contains("\n    \(line)"), "\(card)") }
    #expect(card.contains(#"tokenizer("Hello, my \"dog\" is cute", return_tensors="pt")"#))
    // The same again is nothing to do; another sample is another output.
    #expect(try meg2hf(words + files, in: folder.path).output.contains("up to date"))
    let other = ["convert", dump("honest"), "hf", "--sample", "Other"] + files
    #expect(try meg2hf(other, in: folder.path).status == 73)
  }
}
