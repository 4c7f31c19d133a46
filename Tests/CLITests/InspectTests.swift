import Foundation
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

/// The questions of someone who verifies, each answered by one command.
@Suite struct InspectTests {
  private let dump = fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")

  private func json(_ arguments: [String], in folder: FilePath? = nil) throws -> JSONObject {
    try #require(
      try JSONParser.parse(meg2hf(arguments + ["--json"], in: folder).output.utf8).object)
  }

  /// Copies the dump into a folder and changes a file of its step.
  private func changed(_ name: String, _ change: (inout [UInt8]) -> Void) throws -> TemporaryFolder
  {
    let folder = try TemporaryFolder()
    try copy(dump, to: folder.path.appending("run"))
    var file = try bytes(of: dump.appending("global_step10").appending(name))
    change(&file)
    try folder.write("run/global_step10/\(name)", file)
    return folder
  }

  @Test func equalLayersAreOneRow() throws {
    let text = try meg2hf(["inspect", dump.string]).output
    #expect(text.contains("layers.0-3.self_attention.dense.weight"))
    #expect(text.contains("transformer.h.0-3.attn.c_proj.weight"))
    #expect(!text.contains("layers.1."))
    let all = try meg2hf(["inspect", dump.string, "--all"]).output
    #expect(all.contains("layers.1.self_attention.dense.weight") && !all.contains("layers.0-3"))
  }

  @Test func tensorsAreFilteredAndSorted() throws {
    let filtered = try meg2hf(["inspect", dump.string, "--tensors", "layers.1.*bias"]).output
    let rows = filtered.split(separator: "\n").filter { $0.contains("bfloat16  2 x") }
    #expect(rows.count == 6)
    #expect(rows.allSatisfy { $0.contains("layers.1.") && $0.contains("bias") })
    let sorted = try meg2hf(["inspect", dump.string, "--sort", "size", "--columns", "bytes"]).output
    let first = sorted.split(separator: "\n").first { $0.contains("kB") && $0.contains(".weight") }
    #expect(first?.contains("word_embeddings") == true)
    #expect(
      try meg2hf(["inspect", dump.string, "--tensors", "nothing*"]).output.contains(
        "no tensor fits"))
  }

  @Test func whichRankAndFileHoldATensorIsShown() throws {
    let text = try meg2hf([
      "inspect", dump.string, "--tensors", "layers.2.mlp.dense_h_to_4h.weight", "--columns",
      "rank,file,bytes",
    ]).output
    #expect(text.contains("layer_05-model_00-model_states.pt"))
    #expect(text.contains("layer_05-model_01-model_states.pt"))
    let classic = fixture("dumps/mlm_v2_4_tp2pp2_fp32_ckptv3/ckpt").string
    let stages = try meg2hf([
      "inspect", classic, "--tensors", "layers.3.*.bias", "--columns", "rank,stage,file",
    ]).output
    #expect(stages.contains("mp_rank_01_001/model_optim_rng.pt"))
    let document = try json(["inspect", classic])
    let shards = document["tensors"]?.array?.last?.object?["shards"]?.array
    #expect(shards?.count == 2)
    #expect(shards?.last?.object?["stage"] == 1)
  }

  @Test func totalsAndAllArgumentsAreInTheDocument() throws {
    let document = try json(["inspect", dump.string])
    #expect(document["parameters"] == 68544)
    #expect(document["parameters_without_embeddings"] == .int(68544 - (512 + 40) * 32))
    #expect(document["arguments"]?.object?.members.count == 212)
    #expect(document["unknown_arguments"] == [])
    #expect(document["optimizer"]?.object?["complete"] == true)
    let names = document["decisions"]?.array?.compactMap { $0.object?["name"]?.string }
    #expect(names?.contains("qkv_layout") == true)
    let plan = try json(["plan", dump.string])
    #expect(plan["decisions"] == document["decisions"])
  }

  @Test func theTableFitsATerminal() throws {
    for width in [40, 80, 120] {
      let outcome = try meg2hf(
        ["inspect", dump.string],
        shell: "script -qec \"stty cols \(width); $* 2>&1\" /dev/null")
      let lines = outcome.output.split(whereSeparator: \.isNewline)
      #expect(lines.count > 20)
      let start = lines.firstIndex { $0.contains("TENSOR") } ?? 0
      #expect(lines[start...].allSatisfy { $0.count <= max(width, 40) }, "\(width)")
    }
  }

  @Test func anOptimizerThatIsNotCompleteIsSaid() throws {
    let folder = try changed("mp_rank_00_model_states.pt") { _ in }
    try remove(
      folder.path.appending("run/global_step10/bf16_zero_pp_rank_0_mp_rank_02_optim_states.pt"))
    let document = try json(["inspect", "run"], in: folder.path)
    #expect(document["optimizer"]?.object?["complete"] == false)
    let text = try meg2hf(["inspect", "run"], in: folder.path).output
    #expect(text.contains("data-parallel rank 0 of model-parallel rank 2 is missing"))
  }

  // MARK: - Reading to the end

  @Test func aCheckOfAGoodCheckpointSaysWhatItCompared() throws {
    let document = try json(["inspect", dump.string, "--check"])
    let check = try #require(document["check"]?.object)
    #expect(check["damaged"] == 0)
    #expect(check["tensors_compared"] == 52)
    #expect((check["checksums_verified"]?.int ?? 0) > 104)
    #expect(document["exit_code"] == 0)
  }

  @Test func aFlippedBitIsFoundWhereverItIs() throws {
    for name in [
      "layer_04-model_01-model_states.pt", "bf16_zero_pp_rank_0_mp_rank_01_optim_states.pt",
    ] {
      let folder = try changed(name) { file in
        let entries = TestZip.entries(of: file)
        let largest = entries.max { $0.size < $1.size }
        file[(largest?.offset ?? 0) + 5] ^= 4
      }
      let outcome = try meg2hf(["inspect", "run", "--check", "--json"], in: folder.path)
      #expect(outcome.status == 65)
      let errors = try JSONParser.parse(outcome.output.utf8).object?["errors"]?.array
      #expect(errors?.count == 1)
      #expect(errors?.first?.object?["code"] == "zip/crc-mismatch")
      #expect(errors?.first?.object?["file"]?.string?.hasSuffix(name) == true)
    }
  }

  @Test func replicasThatDifferAndOddValuesAreSaid() throws {
    let diverged = fixture("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt").string
    let document = try json(["inspect", diverged, "--check"])
    let codes = document["warnings"]?.array?.compactMap { $0.object?["code"]?.string } ?? []
    #expect(codes.filter { $0 == "replicas/differ" }.count == 17)
    #expect(document["exit_code"] == 0)
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.change = { name, _, tensor in
      if name == "layers.1.mlp.dense_h_to_4h.bias" { tensor.values[3] = .nan }
    }
    try writer.write(to: folder)
    let odd = try meg2hf(["inspect", folder.path.string, "--check"])
    #expect(odd.output.contains("1 tensor with NaN"))
    #expect(odd.errors.contains("h.1.mlp.c_fc.bias"))
  }

  // MARK: - Other things than checkpoints

  @Test func convertedFoldersAndTheirFilesAreShown() throws {
    let folder = try TemporaryFolder()
    #expect(try meg2hf(["convert", dump.string, "out", "-q"], in: folder.path).status == 0)
    for (path, kind) in [("out", "directory"), ("out/model.safetensors", "safetensors-file")] {
      let document = try json(["inspect", path, "--sha256"], in: folder.path)
      #expect(document["kind"] == .string(kind))
      #expect(document["tensors"]?.array?.count == 52)
      #expect(document["parameters"] == 68544)
      let wte = document["tensors"]?.array?.compactMap(\.object).first {
        $0["name"] == "transformer.wte.weight"
      }
      #expect(wte?["dtype"] == "bfloat16")
      #expect(wte?["sha256"]?.string?.count == 64)
    }
    #expect(
      try meg2hf(["inspect", "out"], in: folder.path).output.contains("transformer.h.0-3.ln_1.bias")
    )
  }

  @Test func digestsAreShownForPeopleAndForMasters() throws {
    let text = try meg2hf(["inspect", dump.string, "--sha256", "--tensors", "final*"]).output
    #expect(text.contains("SHA-256"))
    #expect(text.matches(of: /[0-9a-f]{64}/).count == 4)
    let document = try json(["inspect", dump.string, "--sha256", "--weights", "fp32-master"])
    let digests = document["tensors"]?.array?.compactMap { $0.object?["sha256"]?.array?.count }
    #expect(digests?.count == 52)
    #expect(digests?.allSatisfy { $0 == 2 } == true)
  }

  @Test func aBloomIsCalledBloom() throws {
    let bloom = fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt").string
    let whole = try json(["inspect", bloom])
    #expect(whole["convertible"] == true)
    let family = whole["decisions"]?.array?.first { $0.object?["name"] == "family" }
    #expect(family?.object?["value"] == "BLOOM")
    let document = try json(["inspect", bloom, "--set", "embed_layernorm=false"])
    let codes = document["reasons"]?.array?.compactMap { $0.object?["code"]?.string } ?? []
    #expect(codes.contains("model/embedding-layernorm"))
    #expect(!codes.contains("model/gpt-neox"))
    #expect(!codes.contains("checkpoint/missing-tensor"))
  }

  // MARK: - Differences

  @Test func anyTwoThingsAreCompared() throws {
    let folder = try TemporaryFolder()
    #expect(try meg2hf(["convert", dump.string, "out", "-q"], in: folder.path).status == 0)
    try copy(dump, to: folder.path.appending("copy"))
    for (a, b) in [
      (dump.string, "copy"), (dump.string, "out"), ("out", "copy"),
      ("out/model.safetensors", "copy"),
      (fixture("torch/small.pt").string, fixture("torch/small.pt").string),
      (fixture("torch/mixed_protocol2.pt").string, fixture("torch/mixed_protocol5.pt").string),
    ] {
      let outcome = try meg2hf(["diff", a, b], in: folder.path)
      #expect(outcome.status == 0, "\(a) \(b) \(outcome.output) \(outcome.errors)")
    }
    let other = fixture("dumps/dsold_tp1pp1_bf16_z1/ckpt").string
    let different = try json(["diff", dump.string, other], in: folder.path)
    #expect(different["exit_code"] == 1)
    #expect(different["a"] == "checkpoint" && different["b"] == "checkpoint")
    let wte = different["tensors"]?.array?.compactMap(\.object).first { $0["name"] == "wte.weight" }
    #expect(wte?["status"] == "values")
  }
}

/// Event files, as people look at them.
@Suite struct InspectLogsTests {
  @Test func theCurvesOfARunOverItsRestartsAreShown() throws {
    let outcome = try meg2hf(["inspect", fixture("logs/restarts").string])
    #expect(
      outcome.output.contains(
        """
          trainer         Megatron-LM
          jobs            3 jobs, 781 records read
          begun again     at 21, 41
          computed twice  16 values, 0.03097 apart at most

          CURVE               VALUES  STEPS     FIRST    LAST     LOWEST   HIGHEST
          learning-rate       60      1 to 60   2.5e-05  2e-05    2e-05    0.0002
          batch-size          60      1 to 60   8        8        8        8
          lm loss             60      1 to 60   10.077   2.9281   2.8935   10.077
        """))
    #expect(outcome.errors.isEmpty && outcome.status == 0)
    // A plot is for people: on a terminal, or where it is asked for.
    #expect(!outcome.output.contains("\u{2800}"))
    let drawn = try meg2hf(["inspect", fixture("logs/restarts").string, "--draw"]).output
    #expect(drawn.contains("  2.893 ") && drawn.contains("\u{2800}"))
  }

  @Test func damageWarnsWithItsPlaceAndCostsOneRecord() throws {
    let outcome = try meg2hf(["inspect", fixture("logs/flipped_payload").string])
    #expect(outcome.status == 0)
    #expect(outcome.errors.contains("the checksum of a record is wrong"))
    #expect(outcome.errors.contains("byte 12208"))
    // What every job leaves that is killed does not warn.
    #expect(try meg2hf(["inspect", fixture("logs/truncated_payload").string]).errors.isEmpty)
  }

  @Test func foldersOfOneTrainingAreShownAsOne() throws {
    let text = try meg2hf(["inspect", fixture("logs/jobs_in_folders").string]).output
    #expect(text.contains("3 runs that are pieces of one training"))
    #expect(text.contains("begun again     at 13, 27"))
  }

  @Test func aCheckpointWithLogsBesideItIsACheckpoint() throws {
    let folder = try TemporaryFolder()
    try copy(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt"), to: folder.path.appending("run"))
    try copy(fixture("logs/restarts/run"), to: folder.path.appending("run/tensorboard"))
    #expect(try meg2hf(["inspect", folder.path.appending("run").string]).output.contains("layers"))
    let logs = try meg2hf(["inspect", folder.path.appending("run/tensorboard").string]).output
    #expect(logs.contains("computed twice"))
  }
}

/// Launch scripts, as people look at them.
@Suite struct InspectScriptTests {
  private let script = fixture("launch/6_resubmit_wrapper/submit.sh").string

  @Test func theOptionsThatAScriptPassesAreShown() throws {
    let outcome = try meg2hf(["inspect", script])
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    #expect(outcome.output.contains("submit.sh: 1 launch, 21 options\n"))
    #expect(outcome.output.contains("  position-embedding-type       alibi\n"))
    #expect(outcome.output.contains("<environment variable HOME>/tokenizers/finnish"))
    let given = try meg2hf(["inspect", script, "--script-env", "HOME=/home/lark"]).output
    #expect(given.contains("/home/lark/tokenizers/finnish\n"))
  }

  @Test func aScriptWithoutALaunchNamesThoseThatItCalls() throws {
    let outcome = try meg2hf(["inspect", fixture("launch/hostile/no_launch.sh").string])
    #expect(outcome.status == 65 && outcome.output.isEmpty)
    #expect(outcome.errors.contains("train_1.slurm, train_2.slurm"))
  }

  @Test func nothingOfAScriptIsRun() throws {
    let folder = try TemporaryFolder()
    let canary = fixture("launch/hostile/canary.sh").string
    #expect(try meg2hf(["inspect", canary], in: folder.path).status == 0)
    #expect(try folder.names().isEmpty)
  }
}
