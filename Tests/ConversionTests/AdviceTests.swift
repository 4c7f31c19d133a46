import JSON
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import Megatron

/// Before an error says that something is missing, it has looked at what is there.
@Suite struct AdviceTests {
  private func pipeline() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.ranks = 2
    try writer.write(to: folder)
    return folder
  }

  // MARK: - Other kinds of files

  static let files: [(bytes: [UInt8], words: [String])] = [
    (
      Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".utf8),
      ["git-lfs pointer", "git lfs pull"]
    ),
    (Array("<!DOCTYPE html>\n<html><body>Log in".utf8), ["web page", "download it again"]),
    (Array("  <HTML>".utf8), ["web page"]),
    (Array("<?xml version='1.0'?><Error>AccessDenied</Error>".utf8), ["web page"]),
    ([0x1F, 0x8B, 8, 0, 0, 0, 0, 0], ["gzip", "gunzip"]),
    ([0x28, 0xB5, 0x2F, 0xFD, 0, 0, 0, 0], ["zstd", "unzstd"]),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0], ["xz", "unxz"]), (Array("BZh91AY".utf8), ["bzip2"]),
    ([UInt8](repeating: 0, count: 4096), ["zeros"]), ([], ["empty"]),
    (Array("{\"error\": \"not found\"}".utf8), ["JSON"]),
    (Array("Entry not found\n".utf8), ["text file", "\"Entry not found\""]),
    ([0x80, 4, 0x95, 1, 0, 0, 0, 0, 0, 0, 0, 0x4E, 0x2E], ["pickle", "torch.save"]),
  ]

  @Test(arguments: files.indices) func anotherKindOfFileIsNamedWithTheCommandThatHelps(
    row: Int
  ) throws {
    let (bytes, words) = AdviceTests.files[row]
    let folder = try pipeline()
    for name in ["layer_03-model_01-model_states.pt", "mp_rank_00_model_states.pt"] {
      let path = folder.path.appending("global_step10").appending(name)
      let original = try TestSupport.bytes(of: path)
      try folder.write("global_step10/\(name)", bytes)
      let outcome = try convert(folder.path)
      #expect(outcome.status == "65 format/unknown", "\(outcome.status)")
      #expect(outcome.text.contains(name))
      for word in words { #expect(outcome.text.contains(word), "\(word): \(outcome.text)") }
      try folder.write("global_step10/\(name)", original)
    }
  }

  // MARK: - Hugging Face

  @Test func tensorsWithNamesOfHuggingFaceAreCalledThat() throws {
    for names in [
      ["transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"],
      ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"],
      ["gpt_neox.embed_in.weight", "gpt_neox.layers.0.attention.dense.weight"],
    ] {
      let folder = try TemporaryFolder()
      var writer = RankWriter()
      let known = ["embedding.word_embeddings.weight", "embedding.position_embeddings.weight"]
      writer.name = { name in known.firstIndex(of: name).map { names[$0] } ?? name }
      writer.keeps = { known.contains($0) }
      writer.key = "module"
      try folder.write("latest", Array("global_step10".utf8))
      try folder.write("global_step10/mp_rank_00_model_states.pt", writer.file(0))
      let outcome = try convert(folder.path)
      #expect(outcome.status == "65 checkpoint/hugging-face-names")
      #expect(outcome.text.contains("Hugging Face names") && outcome.text.contains("zero_to_fp32"))
    }
  }

  @Test func aFolderOfTransformersIsCalledThat() throws {
    for name in ["model.safetensors", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin"] {
      let folder = try TemporaryFolder()
      try folder.write("config.json", Array("{}".utf8))
      try folder.write(name, [1])
      let outcome = try convert(folder.path)
      #expect(outcome.status == "66 checkpoint/hugging-face")
      #expect(outcome.text.contains("nothing is to be converted"))
    }
  }

  // MARK: - Trackers

  static let trackers: [[UInt8]] = [
    [0xEF, 0xBB, 0xBF] + Array("global_step10\r\n".utf8), Array("global_step10\r\n\r\n".utf8),
    [0xFF, 0xFE] + Array("global_step10\n".utf8).flatMap { [$0, 0] },
    [0xFE, 0xFF] + Array("global_step10".utf8).flatMap { [0, $0] },
    Array("global_step10".utf8).flatMap { [$0, 0] }, Array("\n  \"global_step10\"  \n".utf8),
    Array("./global_step10/".utf8), Array("/elsewhere/run/global_step10".utf8), Array("10".utf8),
    Array("global_step10\u{1A}".utf8), Array("\u{200B}global_step10\u{A0}".utf8),
    Array("C:\\run\\global_step10".utf8),
  ]

  @Test(arguments: trackers.indices) func trackersThatPeopleWroteAreRead(row: Int) throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try folder.write("latest", AdviceTests.trackers[row])
    #expect(try convert(folder.path).isExactly(TestModel()))
  }

  @Test func aTrackerThatLeadsNowhereSaysWhatThereIs() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try folder.write("latest", Array("global_step20".utf8))
    let outcome = try convert(folder.path)
    #expect(outcome.status == "66 checkpoint/no-step")
    #expect(outcome.text.contains("not finished") && outcome.text.contains("--tag: global_step10"))
    try move(folder.path.appending("global_step10"), to: folder.path.appending("step-10-old"))
    #expect(try convert(folder.path).text.contains("--tag: step-10-old"))
    try folder.write("latest", Array("version https://git-lfs.github.com/spec/v1\n".utf8))
    try folder.write(
      "latest_checkpointed_iteration.txt",
      Array("version https://git-lfs.github.com/spec/v1\n".utf8))
    try remove(folder.path.appending("latest"))
    #expect(try convert(folder.path).text.contains("git lfs pull"))
  }

  // MARK: - Files of other runs

  @Test func layersOfADeeperRunAreNamedAsLeftOver() throws {
    for (deep, first) in [(4, 3), (3, 2)] {
      let folder = try TemporaryFolder()
      var deeper = DumpWriter(TestModel(layers: deep))
      deeper.firstBlock = first
      try deeper.write(to: folder)
      var writer = DumpWriter()
      writer.firstBlock = first
      try writer.write(to: folder)
      let outcome = try convert(folder.path)
      #expect(outcome.status == "65 checkpoint/left-over-layers", "\(outcome.text)")
      #expect(outcome.text.contains("num_layers is 2"))
      #expect(
        outcome.text.contains("left over") && outcome.text.contains("move the files of layers"))
    }
  }

  @Test func whatTheMessageNamesIsEnoughToMoveAway() throws {
    let folder = try TemporaryFolder()
    try DumpWriter(TestModel(layers: 4)).write(to: folder)
    try DumpWriter().write(to: folder)
    // The blocks of the shallow run are 3 and 4, its final layernorm is 6, which block 6 lost its
    // place to.
    let outcome = try convert(folder.path)
    #expect(outcome.text.contains("layers 05, 08"), "\(outcome.text)")
    for layer in ["05", "08"] {
      try remove(folder.path.appending("global_step10/layer_\(layer)-model_00-model_states.pt"))
    }
    #expect(try convert(folder.path).isExactly(TestModel()))
  }

  @Test func statesThatHoldAnotherModelAreNotPassedOver() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    var states = RankWriter()
    states.key = "module"
    try folder.write("global_step10/mp_rank_00_model_states.pt", states.file(0))
    let outcome = try convert(folder.path)
    #expect(outcome.status == "78 layout/several")
    #expect(outcome.text.contains("--layout deepspeed-pipeline"))
  }

  @Test func moreBlocksThanTheArgumentsSayAreNotAskedToBeTaken() throws {
    var writer = RankWriter(TestModel(layers: 3))
    writer.arguments["num_layers"] = { $0.int(2) }
    let outcome = try convert(writer)
    #expect(outcome.status == "78 arguments/contradiction")
    #expect(outcome.text.contains("blocks 2 to 2 may be left over"))
  }

  // MARK: - Near the folder

  @Test func aCheckpointOneLevelAwayIsNamed() throws {
    let folder = try TemporaryFolder()
    let inner = try TemporaryFolder()
    try DumpWriter().write(to: inner)
    for place in ["snapshots/abc123", "ckpt", "global_step10/global_step10", "a/b"] {
      try copy(inner.path, to: folder.path.appending("world").appending("x"), in: place)
      let outcome = try convert(folder.path.appending("world"))
      #expect(outcome.status == "66 checkpoint/none", "\(place): \(outcome.text)")
      #expect(outcome.text.contains("give that folder"), "\(place): \(outcome.text)")
      #expect(outcome.text.contains(place.split(separator: "/").last.map(String.init) ?? ""))
      try remove(folder.path.appending("world"))
    }
  }

  @Test func anEmptyStepIsNotSentBackToItself() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try folder.write("global_step20/x", [])
    try remove(folder.path.appending("global_step20/x"))
    try folder.write("latest", Array("global_step20".utf8))
    let outcome = try convert(folder.path)
    #expect(outcome.status == "66 checkpoint/none")
    #expect(outcome.text.contains("the folder of this step is empty"))
    #expect(outcome.text.contains("--tag: global_step10"))
  }

  @Test(arguments: [
    ("", "it is empty"), ("version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    ("<!DOCTYPE html>", "page of HTML"),
  ]) func aTrackerThatIsNoneSaysWhatItIs(row: (text: String, word: String)) throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try folder.write("latest", Array(row.text.utf8))
    let outcome = try convert(folder.path)
    #expect(outcome.status == "65 checkpoint/bad-tracker")
    #expect(outcome.text.contains("/latest |"))
    #expect(outcome.text.contains(row.word))
  }

  @Test func aLinkToNothingIsCalledThat() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    let file = folder.path.appending("global_step10/layer_03-model_00-model_states.pt")
    try remove(file)
    try link(file, to: "../blobs/abc")
    let outcome = try convert(folder.path)
    #expect(outcome.status == "66 io/not-found")
    #expect(outcome.text.contains("symbolic link"))
  }

  @Test func compressedFilesAreCalledThat() throws {
    let folder = try TemporaryFolder()
    try folder.write("layer_03-model_00-model_states.pt.gz", [0x1F, 0x8B])
    let outcome = try convert(folder.path)
    #expect(outcome.status == "66 checkpoint/compressed")
    #expect(outcome.text.contains("gunzip"))
  }

  @Test func aFolderWithinAStepIsSentBackUp() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try folder.write("global_step10/logs/x.txt", [1])
    let outcome = try convert(folder.path.appending("global_step10/logs"))
    #expect(outcome.status == "66 checkpoint/none")
    #expect(outcome.text.contains("give that folder"))
  }

  @Test func anEmptyOrForeignFolderSaysWhatItHolds() throws {
    let folder = try TemporaryFolder()
    try folder.write("a/notes.txt", [1])
    #expect(try convert(folder.path.appending("a")).text.contains("\"notes.txt\""))
    try folder.write("b/run.tar.gz", [1])
    let archive = try convert(folder.path.appending("b"))
    #expect(archive.status == "66 checkpoint/archive")
    #expect(archive.text.contains("tar -xf run.tar.gz"))
    try folder.write("c/x", [1])
    try remove(folder.path.appending("c/x"))
    #expect(try convert(folder.path.appending("c")).text.contains("the folder is empty"))
  }

  @Test func theFolderOfARankWithoutItsFileIsNamed() throws {
    for others in [["distrib_optim.pt"], ["notes.txt"], []] as [[String]] {
      let folder = try TemporaryFolder()
      var writer = RankWriter()
      writer.ranks = 2
      try writer.write(to: folder)
      let rank = folder.path.appending("iter_0000010/mp_rank_01")
      try remove(rank.appending("model_optim_rng.pt"))
      for name in others { try folder.write("iter_0000010/mp_rank_01/\(name)", [1]) }
      let outcome = try convert(folder.path)
      #expect(outcome.status == "65 checkpoint/missing-rank")
      #expect(outcome.text.contains("mp_rank_01"))
      #expect(outcome.text.contains(others.first.map { "\"\($0)\"" } ?? "nothing"))
    }
  }

  @Test func oneRankOfSeveralIsSentToTheFolderAbove() throws {
    let folder = try TemporaryFolder()
    var writer = RankWriter()
    writer.ranks = 2
    try writer.write(to: folder)
    for place in ["iter_0000010/mp_rank_00", "iter_0000010/mp_rank_01/model_optim_rng.pt"] {
      let outcome = try convert(folder.path.appending(place))
      #expect(outcome.status == "66 checkpoint/part", "\(place)")
      #expect(outcome.text.contains("one of several ranks"))
      #expect(
        outcome.text.contains("give the folder above") && outcome.text.contains("iter_0000010"))
    }
    // By itself it is a checkpoint.
    let alone = try TemporaryFolder()
    try RankWriter().write(to: alone)
    for place in ["iter_0000010/mp_rank_00", "iter_0000010/mp_rank_00/model_optim_rng.pt"] {
      #expect(try convert(alone.path.appending(place)).isExactly(TestModel()))
    }
    let pipeline = try self.pipeline()
    let part = try convert(
      pipeline.path.appending("global_step10/layer_03-model_00-model_states.pt"))
    #expect(part.status == "66 checkpoint/part")
    #expect(part.text.contains("give the folder that it is in"))
  }

  @Test func pathsThatLeadNowhereSayWhatIsNearby() throws {
    let folder = try TemporaryFolder()
    try folder.write("global_step1000/x", [1])
    func text(_ name: String) throws -> String { try convert(folder.path.appending(name)).text }
    #expect(try text("global_step100").contains("did you mean"))
    #expect(try text("global_step1000/y/z").contains("holds \"x\""))
    #expect(try convert("s3://bucket/run").text.contains("s3://bucket/run"))
    #expect(try convert("https://host/run").text.contains("download it first"))
    #expect(try convert("openai-community/gpt2").text.contains("hf download openai-community/gpt2"))
  }
}
