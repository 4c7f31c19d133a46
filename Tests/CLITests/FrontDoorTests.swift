import JSON
import SystemPackage
import TestSupport
import Testing

/// What is said to words that are nearly a command line.
@Suite struct FrontDoorTests {
  private let dump = fixture("dumps/bs_tp1pp1_fp16_z1/ckpt").string

  @Test func theRemedyIsGivenWhereTheGuessIsClear() throws {
    let folder = try TemporaryFolder()
    try copy(FilePath(dump), to: folder.path.appending("run"))
    for name in ["a", "b", "c", "d"] { try folder.write("step/\(name).pt", [1]) }
    let cases: [(arguments: [String], words: String)] = [
      (["run", "out"], "meg2hf convert run out"), (["run"], "meg2hf inspect run"),
      (["conver", "run", "out"], "did you mean convert?"),
      (["help", "nosuch"], "there is no command"),
      (["help", "convrt"], "did you mean convert?"),
      (["convert", "run"], "meg2hf convert run OUTPUT"),
      (["convert", "step/a.pt", "step/b.pt", "step/c.pt", "step/d.pt", "out"], "one more"),
      (
        ["convert", "step/a.pt", "step/b.pt", "step/c.pt", "step/d.pt", "step/e.pt"],
        "meg2hf convert step OUTPUT"
      ),
      (["convert", "run", "out", "--force"], "--overwrite"),
      (["convert", "run", "out", "--dry-run"], "meg2hf plan"),
      (["convert", "run", "out", "--overwite"], "did you mean --overwrite?"),
      (["inspect", "run", "--dtpe", "x"], "did you mean --dtype?"),
      (["convert", "run", "out", "--set", "heads=4"], "num_attention_heads"),
      (
        ["convert", "run", "out", "--set", "num_atention_heads=4"],
        "did you mean num_attention_heads?"
      ),
      (["convert", "run", "out", "--part", "4/3"], "counts from 1"),
      (["convert", "run", "out", "--vocab-size", "-5"], "a vocabulary of -5 rows"),
      (["convert", "run", "out", "--max-shard-size", "5"], "a unit is missing"),
      (["convert", "run", "out", "--max-shard-size", "0"], "a unit is missing"),
      (["convert", "run", "/"], "OUTPUT must be"),
      (["convert", "runn", "out"], "did you mean run?"),
    ]
    for (arguments, words) in cases {
      let outcome = try meg2hf(arguments, in: folder.path)
      #expect(outcome.status != 0, "\(arguments)")
      #expect(outcome.output == "")
      #expect(outcome.errors.hasPrefix("meg2hf: error: "), "\(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
    }
  }

  @Test func wordsOfOtherToolsWork() throws {
    let folder = try TemporaryFolder()
    for arguments in [["version"], ["-V"], ["--version"]] {
      #expect(try meg2hf(arguments).output.hasPrefix("0.1.0"))
    }
    for (name, dtype) in [("a", "FP16"), ("b", "torch.float16"), ("c", "half")] {
      let outcome = try meg2hf(
        ["convert", dump, name, "--dtype", dtype, "-q"], in: folder.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    #expect(try folder.names() == ["a", "b", "c"])
  }

  @Test func warningsSurviveQuiet() throws {
    let folder = try TemporaryFolder()
    let diverged = fixture("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt").string
    let outcome = try meg2hf(["convert", diverged, "out", "-q"], in: folder.path)
    #expect(outcome.errors.contains("the copies of"))
    #expect(outcome.errors.contains("14 more of this kind (replicas/differ)"))
    #expect(outcome.output.contains("17, shown above and in the manifest"))
  }

  @Test func aListOfABatchMayHaveQuotesAndAHome() throws {
    let folder = try TemporaryFolder()
    try copy(FilePath(dump), to: folder.path.appending("run"))
    try folder.write("list.txt", Array("\"run\"\t'a'\n~/run\t~/b\n".utf8))
    let outcome = try meg2hf(
      ["batch", "list.txt", "-q"], in: folder.path, shell: "HOME='\(folder.path.string)' \"$@\"")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try folder.names() == ["a", "b", "list.txt", "run"])
    let runs = try meg2hf(["batch", ".", "--output", "{name}"], in: folder.path)
    #expect(runs.status == 66)
    #expect(runs.errors.contains("a run is in it"))
  }

  /// What follows a misspelt option is no argument.
  @Test(arguments: [
    (["convert", "a", "b", "--dtyp", "fp16"], "unknown option '--dtyp'", "did you mean --dtype?"),
    (["convert", "--itteration", "10", "a", "b"], "'--itteration'", "did you mean --iteration?"),
    (["convert", "a", "b", "--vocab_size", "trim"], "'--vocab_size'", "--vocab-size"),
    (["convert", "a", "b", "--dtype", "fp8"], "expected: auto, float32", "convert --help"),
    (["inspect", "a", "--columns", "foo"], "expected: dtype", "inspect --help"),
    (["inspect"], "PATH is missing", "inspect --help"),
    (["inspect", "a.pt", "b.pt"], "b.pt", "one file or folder at a time"),
    (["conv"], "there is no command", "did you mean convert?"),
    (["convert", "a", "b", "--max-shard-size", "60000"], "a unit is missing", "convert --help"),
  ]) func whatIsMisspeltIsNamed(row: (words: [String], message: String, hint: String)) throws {
    let outcome = try meg2hf(row.words)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains(row.message), "\(outcome.errors)")
    #expect(outcome.errors.contains(row.hint), "\(outcome.errors)")
  }

  @Test(arguments: [
    "convert", "plan", "inspect", "verify", "diff", "batch", "tokenize", "generate", "loss", "",
  ])
  func aShortHelpFitsAScreenAndALongOneHasAll(command: String) throws {
    let words = command.isEmpty ? [] : [command]
    let short = try meg2hf(words + ["-h"])
    #expect(short.status == 0)
    #expect(short.output.contains("USAGE: meg2hf \(command)"))
    #expect(short.output.split(separator: "\n", omittingEmptySubsequences: false).count < 48)
    #expect(!short.output.contains("--quiet"))
    guard !command.isEmpty else { return }
    #expect(try meg2hf(words + ["--help"]).output.contains("--quiet"))
  }

  @Test(arguments: ["bash", "zsh", "fish"]) func valuesAreCompleted(shell: String) throws {
    let script = try meg2hf(["--generate-completion-script", shell]).output
    for value in ["bfloat16", "heads-hn-3", "deepspeed-pipeline", "trim", "rank0"] {
      #expect(script.contains(value), "\(value)")
    }
  }

  @Test(arguments: [
    ("{\n  \"num_layers\": 3,\n  \"hidden_size\" 4\n}", "line 3, column 17"),
    ("", "line 1, column 1"),
    ("{\"ä\": 1,}", "line 1, column 9"),
  ]) func aMistakeInASettingsFileIsNamedByLineAndColumn(text: String, place: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("settings.json", Array(text.utf8))
    let outcome = try meg2hf(["plan", dump, "--config", "settings.json"], in: folder.path)
    #expect(outcome.status == 65)
    #expect(outcome.errors.contains("settings.json"))
    #expect(outcome.errors.contains(place), "\(outcome.errors)")
  }

  @Test func checkIsNotPassedOverInSilence() throws {
    let folder = try TemporaryFolder()
    for (name, bytes) in plainModel { try folder.write("model/\(name)", bytes) }
    for path in ["model", "model/model.safetensors"] {
      let outcome = try meg2hf(["inspect", path, "--check"], in: folder.path)
      #expect(outcome.status == 64)
      #expect(outcome.errors.contains("meg2hf verify"))
    }
  }

  @Test func theListOfADocumentIsFilteredLikeThatOfATable() throws {
    let dump = fixture("dumps/bs_tp1pp1_fp16_z1/ckpt").string
    let outcome = try meg2hf(["inspect", dump, "--tensors", "layers.1.*", "--json"])
    #expect(outcome.output.contains("layers.1.mlp.dense_h_to_4h.bias"))
    #expect(!outcome.output.contains("layers.2.mlp.dense_h_to_4h.bias"))
  }
}
