import ByteIO
import JSON
import SystemPackage
import TestSupport
import Testing

/// A checkpoint beside the script that started its training and its event files.
@Suite struct RecordTests {
  private let dump = fixture("dumps/bs_tp2pp2dp1_bf16/ckpt").string
  private let script = fixture("launch/1_slurm_single_quotes/train.slurm").string
  private let logs = fixture("logs/for_bs_tp2pp2dp1_bf16").string

  private func text(_ path: FilePath) throws -> String {
    String(decoding: try bytes(of: path), as: UTF8.self)
  }

  private func document(_ arguments: [String], in folder: FilePath? = nil) throws -> JSONObject {
    try #require(
      try JSONParser.parse(meg2hf(arguments + ["--json"], in: folder).output.utf8).object)
  }

  @Test func theCardSaysHowTheModelWasTrainedAndWhoSaysSo() throws {
    let folder = try TemporaryFolder()
    let flags = ["--training-script", script, "--training-logs", logs]
    for name in ["a", "b"] {
      let outcome = try meg2hf(["convert", dump, name] + flags, in: folder.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let (a, b) = (folder.path.appending("a"), folder.path.appending("b"))
    let card = try text(a.appending("README.md"))
    #expect(card == (try text(fixture("records/card.md"))))
    #expect(try snapshot(a) == snapshot(b))
    #expect(try meg2hf(["verify", "a"], in: folder.path).status == 0)
    let picture = try bytes(of: a.appending("training_loss.png"))
    #expect(picture.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    #expect(Array(picture[16..<24]) == [0, 0, 5, 0xF0, 0, 0, 2, 0xA8], "1520 x 680")
    // Cards are published: no path, host or user of the run is in them.
    for file in ["README.md", "conversion_manifest.json"] {
      let all = try text(a.appending(file))
      for word in ["PELICAN", "node07", "/cwd", "gpt2-vocab", "tfevents"] {
        #expect(!all.contains(word), "\(file): \(word)")
      }
    }
  }

  @Test func withoutRecordsNothingChanges() throws {
    let folder = try TemporaryFolder()
    _ = try meg2hf(["convert", dump, "plain"], in: folder.path)
    let card = try text(folder.path.appending("plain/README.md"))
    let whole = try text(fixture("records/card.md"))
    let start = try #require(whole.firstRange(of: "## Training"))
    let end = try #require(whole.firstRange(of: "`conversion_manifest"))
    #expect(card == whole[..<start.lowerBound] + whole[end.lowerBound...])
    #expect(try !folder.names().contains("plain/training_loss.png"))
  }

  @Test func theArgumentsOfTheScriptAreCompared() throws {
    let expected = try #require(
      try JSONFile.read(fixture("launch/1_slurm_single_quotes/cross_check.json")).object)
    let plan = try document(["plan", dump, "--training-script", script])
    let rows = plan["records"]?.object?["cross_check"]?.array ?? []
    for row in expected["rows"]?.array?.compactMap(\.object) ?? [] {
      let found = rows.compactMap(\.object).first { $0["option"] == row["option"] }
      for field in ["script", "checkpoint", "verdict"] {
        #expect(found?[field] == row[field], "\(row["option"]?.string ?? "") \(field)")
      }
    }
    let words = try meg2hf(["plan", dump, "--training-script", script]).output
    #expect(words.contains("script      train.slurm: 33 options exact, 7 not known\n"), "\(words)")
    #expect(words.contains("arguments   10 the same\n"))
  }

  @Test(arguments: ["plan", "convert", "verify", "inspect", "batch"])
  func aScriptOfAnotherRunIsRefusedWithAllThatContradicts(command: String) throws {
    let folder = try TemporaryFolder()
    let other = fixture("launch/9_disagrees/train.slurm").string
    _ = try meg2hf(["convert", dump, "hf"], in: folder.path)
    try folder.write("list", Array("\(dump)\tout\n".utf8))
    let words =
      switch command {
      case "convert": ["convert", dump, "out"]
      case "verify": ["verify", "hf", "--against", dump]
      case "batch": ["batch", "list"]
      default: [command, dump]
      }
    let outcome = try meg2hf(words + ["--training-script", other], in: folder.path)
    #expect(outcome.status == (command == "inspect" ? 0 : 78), "\(outcome.errors)")
    let shown = outcome.output + outcome.errors
    for row in [
      "hidden_size: checkpoint 32, script 64 (line 37)",
      "ffn_hidden_size: checkpoint 128, script 256 (line 39)",
      "num_attention_heads: checkpoint 4, script 8 (line 38)",
      "max_position_embeddings: checkpoint 40, script 48 (line 41)",
    ] { #expect(shown.contains(row), "\(shown)") }
    #expect(try !folder.names().contains { $0.hasPrefix("out") })
  }

  /// A dump without arguments, whose heads shapes do not tell.
  private func bare(_ folder: TemporaryFolder) throws -> String {
    try copy(
      fixture("dumps/bs_tp2pp2dp1_bf16/ckpt"), to: folder.path.appending("bare"))
    for rank in ["00", "01", "02", "03"] {
      try remove(folder.path.appending("bare/global_step10/mp_rank_\(rank)_model_states.pt"))
    }
    return folder.path.appending("bare").string
  }

  @Test func whatACheckpointDoesNotSayIsFilledInByItsRecords() throws {
    let folder = try TemporaryFolder()
    let bare = try bare(folder)
    #expect(try meg2hf(["plan", bare]).status == 78)
    let order = ["--qkv-layout", "heads-3-hn"]
    for flags in [["--training-script", script], ["--training-logs", logs]] {
      let outcome = try meg2hf(["plan", bare] + flags + order)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("4 layers, hidden 32, 4 heads"))
      #expect(outcome.output.contains("num_attention_heads"), "\(outcome.output)")
    }
    // What was filled in is in the manifest, so that the output can be verified by itself.
    let made = ["convert", bare, "hf", "--training-script", script] + order
    #expect(try meg2hf(made, in: folder.path).status == 0)
    let verified = try meg2hf(["verify", "hf", "--against", bare], in: folder.path)
    #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    // Of the two, the event files are believed; and what the user says before both.
    let plan = try document(
      ["plan", bare, "--training-script", script, "--training-logs", logs] + order)
    let decision = plan["decisions"]?.array?.compactMap(\.object).first {
      $0["name"] == "num_attention_heads"
    }
    #expect(decision?["reason"]?.string?.hasPrefix("event files") == true)
  }

  @Test func aScriptBesideTheEventFilesOfAnotherRunIsNotPassedOver() throws {
    // The checkpoint has no heads, the event files say 4, and the script has 8.
    let folder = try TemporaryFolder()
    let bare = try bare(folder)
    let other = "python pretrain_gpt.py --num-attention-heads 8"
    try folder.write("other.sh", Array(other.utf8))
    let words = ["plan", bare, "--training-logs", logs, "--qkv-layout", "heads-3-hn"]
    let outcome = try meg2hf(words + ["--training-script", "other.sh"], in: folder.path)
    #expect(outcome.status == 78)
    let row =
      "num_attention_heads: checkpoint has no such argument, event files 4, script 8 (line 1)"
    #expect(outcome.errors.contains(row), "\(outcome.errors)")
    // What a script only assumes does not stand against them.
    let open = "python pretrain_gpt.py --num-attention-heads ${HEADS:-8}"
    try folder.write("open.sh", Array(open.utf8))
    let assumed = try meg2hf(words + ["--training-script", "open.sh"], in: folder.path)
    #expect(assumed.status == 0, "\(assumed.errors)")
    #expect(assumed.output.contains("4 layers, hidden 32, 4 heads"), "\(assumed.output)")
  }

  @Test func aModelThatTheScriptSaysIsNoGPT2IsRefusedByItsName() throws {
    // Weights without arguments, and without a table of positions.
    let folder = try TemporaryFolder()
    try copy(fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt"), to: folder.path.appending("bloom"))
    let step = try #require(
      try FileSystem.list(folder.path.appending("bloom")).first {
        $0.string.hasPrefix("global_step")
      })
    let path = folder.path.appending("bloom").appending(step)
    for name in try FileSystem.list(path) where name.string.hasPrefix("mp_rank") {
      try remove(path.appending(name))
    }
    let words = "python train.py --num-layers 4 --num-attention-heads 4 --position-embedding-type"
    try folder.write("alibi.sh", Array("\(words) alibi\n".utf8))
    let outcome = try meg2hf(
      ["plan", path.string, "--training-script", folder.path.appending("alibi.sh").string])
    #expect(outcome.status == 69 && outcome.errors.contains("alibi"), "\(outcome.errors)")
  }

  /// A wrong base or part of a head loads and gives wrong logits; no tensor tells them.
  @Test(arguments: [
    "--rotary-base 500000", "--rotary-percent 0.5", "--rotary-interleaved", "--use-rope-scaling",
    "--qk-layernorm", "--add-qkv-bias",
  ])
  func anotherTurningIsAnotherRun(option: String) throws {
    let folder = try TemporaryFolder()
    let llama = fixture("dumps/mcore020_llama_gqa_tp2_bf16_perrank/ckpt").string
    try folder.write("x.sh", Array("python train.py --num-layers 4 \(option)\n".utf8))
    let outcome = try meg2hf(["plan", llama, "--training-script", "x.sh"], in: folder.path)
    #expect(outcome.status == 78, "\(option): \(outcome.output)")
    #expect(outcome.errors.contains("script/contradicts"), "\(option): \(outcome.errors)")
  }

  @Test(arguments: [
    "--apply-layernorm-1p", "--disable-bias-linear", "--untie-embeddings-and-output-weights",
    "--use-rotary-position-embeddings", "--swiglu", "--position-embedding-type alibi",
  ])
  func whatTensorsOrAllTheArgumentsSayIsNotFilledIn(option: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("x.sh", Array("python train.py --num-layers 4 \(option)\n".utf8))
    let outcome = try meg2hf(["plan", dump, "--training-script", "x.sh"], in: folder.path)
    #expect(outcome.status == 78, "\(option): \(outcome.output)")
    #expect(outcome.errors.contains("script/contradicts"), "\(option): \(outcome.errors)")
  }

  @Test func whatIsFilledInUnderAnAssumptionWarns() throws {
    let folder = try TemporaryFolder()
    let bare = try bare(folder)
    try folder.write(
      "x.sh", Array("python train.py --num-layers 4 --num-attention-heads ${HEADS:-4}\n".utf8))
    let order = ["--qkv-layout", "heads-3-hn"]
    let outcome = try meg2hf(
      ["plan", bare, "--training-script", folder.path.appending("x.sh").string] + order)
    #expect(outcome.status == 0 && outcome.errors.contains("HEADS assumed not set"))
    let given = try meg2hf(
      ["plan", bare, "--training-script", folder.path.appending("x.sh").string] + order
        + ["--script-env", "HEADS=8"])
    #expect(given.output.contains("8 heads") && !given.errors.contains("num_attention_heads"))
    // What the user says beats them.
    let set = try meg2hf(
      ["plan", bare, "--training-script", folder.path.appending("x.sh").string] + order
        + ["--set", "num_attention_heads=2"])
    #expect(set.status == 0 && set.output.contains("2 heads"), "\(set.errors)")
  }

  @Test func aWindowsHeadIsReadAsAnyOther() throws {
    let folder = try TemporaryFolder()
    try folder.write("head", Array("license: mit\r\ntags:\r\n- a\r\n".utf8))
    _ = try meg2hf(["convert", dump, "hf", "--card-header", "head"], in: folder.path)
    let card = try text(folder.path.appending("hf/README.md"))
    #expect(card.contains("- safetensors\n- a\nlicense: mit\n---\n") && !card.contains("\r"))
    try folder.write("head", Array("a: b\r\n---\r\n# more\r\n".utf8))
    let outcome = try meg2hf(["convert", dump, "x", "--card-header", "head"], in: folder.path)
    #expect(outcome.status == 64)
  }

  @Test func theHeadOfTheCardIsTheUsersOwn() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      "head", Array("license: bigscience-openrail-m\ntags:\n- code\nlanguage:\n- fi\n".utf8))
    _ = try meg2hf(["convert", dump, "hf", "--card-header", "head"], in: folder.path)
    let card = try text(folder.path.appending("hf/README.md"))
    #expect(
      card.hasPrefix(
        """
        ---
        library_name: transformers
        pipeline_tag: text-generation
        tags:
        - gpt2
        - megatron-deepspeed
        - safetensors
        - code
        license: bigscience-openrail-m
        language:
        - fi
        ---

        """))
    #expect(!card.contains("licence"))
    for wrong in ["---\n", "\ta: b\n", "a: b\na: c\n", "- x\n"] {
      try folder.write("head", Array(wrong.utf8))
      let outcome = try meg2hf(["convert", dump, "x", "--card-header", "head"], in: folder.path)
      #expect(outcome.status == 64 && outcome.errors.contains("line "), "\(wrong)")
    }
  }

  @Test func theEventFilesAreCopiedWithoutTheirHosts() throws {
    let folder = try TemporaryFolder()
    let flags = ["--training-logs", logs, "--copy-logs"]
    let outcome = try meg2hf(["convert", dump, "hf"] + flags, in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let names = try FileSystem.list(folder.path.appending("hf")).map(\.string)
    let copies = names.filter { $0.contains("tfevents") }
    #expect(
      copies == ["events.out.tfevents.1690000000.0000", "events.out.tfevents.1690003600.0001"])
    let original = fixture("logs/for_bs_tp2pp2dp1_bf16/run")
    let sources = try FileSystem.list(original).map { original.appending($0) }
    for (copy, source) in zip(copies, sources) {
      let same = try bytes(of: folder.path.appending("hf/\(copy)")) == bytes(of: source)
      #expect(same)
    }
    let card = try text(folder.path.appending("hf/README.md"))
    #expect(card.contains("- tensorboard\n"))
    // It can be verified, shown and replaced as any other.
    #expect(try meg2hf(["verify", "hf", "--against", dump], in: folder.path).status == 0)
    #expect(try meg2hf(["inspect", "hf/\(copies[0])"], in: folder.path).status == 0)
    let again = try meg2hf(["convert", dump, "hf", "--overwrite"], in: folder.path)
    #expect(again.status == 0, "\(again.errors)")
    #expect(try meg2hf(["convert", dump, "x", "--copy-logs"], in: folder.path).status == 64)
  }

  @Test func aBatchFindsTheRecordsOfEachRunByItsName() throws {
    let folder = try TemporaryFolder()
    for name in ["a", "b"] {
      try copy(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt"), to: folder.path.appending(name))
      let source = name == "a" ? script : fixture("launch/9_disagrees/train.slurm").string
      try folder.write("\(name).slurm", bytes(of: FilePath(source)))
    }
    try folder.write("list", Array("a\nb\n".utf8))
    let outcome = try meg2hf(
      ["batch", "list", "--output", "hf-{name}", "--training-script", "{name}.slurm"],
      in: folder.path)
    #expect(outcome.status == 78, "\(outcome.errors)")
    #expect(outcome.errors.contains("script/contradicts"))
    let names = try FileSystem.list(folder.path).map(\.string)
    #expect(names.contains("hf-a") && !names.contains("hf-b"), "\(names)")
  }

  @Test func theLossStandsBesideTheTrainersOwn() throws {
    let tokens = fixture("dumps/bs_tp2pp2dp1_bf16/truth/tokens.json").string
    let outcome = try meg2hf(["loss", dump, "--tokens", tokens, "--training-logs", logs])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("\nlogged 5.5724  the trainer's own"), "\(outcome.output)")
  }

  @Test func aFolderWithoutEventFilesIsAnError() throws {
    let outcome = try meg2hf(["plan", dump, "--training-logs", fixture("launch").string])
    #expect(outcome.status == 66 && outcome.errors.contains("logs/none"))
  }
}

/// `meg2hf report`, as a process.
@Suite struct ReportCommandTests {
  private let diverged = fixture("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt").string

  @Test func aDivergedRankIsAFact() throws {
    let folder = try TemporaryFolder()
    _ = try meg2hf(["convert", diverged, "hf"], in: folder.path)
    let outcome = try meg2hf(["report", "hf", "-o", "page.html"], in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("differ from rank to rank, by"), "\(outcome.output)")
    #expect(try meg2hf(["report", "hf", "--strict"], in: folder.path).status == 1)
    // The same page again, and nothing else in its place.
    let first = try bytes(of: folder.path.appending("page.html"))
    #expect(try meg2hf(["report", "hf", "-o", "page.html"], in: folder.path).status == 0)
    let second = try bytes(of: folder.path.appending("page.html"))
    #expect(second == first)
    try folder.write("mine.html", Array("<html>".utf8))
    let refused = try meg2hf(["report", "hf", "-o", "mine.html"], in: folder.path)
    #expect(refused.status == 73 && refused.errors.contains("mine.html"))
    let mine = try bytes(of: folder.path.appending("mine.html"))
    #expect(mine == Array("<html>".utf8))
    #expect(try !folder.names().contains { $0.hasPrefix(".mine") || $0.hasPrefix(".page") })
  }
}
