import Foundation
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import HuggingFace

/// The command as a process of its own, and all that it prints.
@Suite struct CommandTests {
  private let dump = fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")

  private func json(_ outcome: CommandOutcome) throws -> JSONObject {
    try #require(try JSONParser.parse(outcome.output.utf8).object)
  }

  @Test func aConversionPrintsWhatItMade() throws {
    let folder = try TemporaryFolder()
    try copy(dump, to: folder.path.appending("run"))
    let outcome = try meg2hf(["convert", "run", "model"], in: folder.path)
    #expect(outcome.status == 0)
    let lines = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("  time") }
    #expect(
      lines.joined(separator: "\n") == """
        model
          source      Megatron-DeepSpeed, pipeline module, tp 2, pp 2, iteration 10
          model       4 layers, hidden 32, 4 heads, 40 positions, 512 tokens
          parameters  68.5 k (68,544) in bfloat16
          read        141.3 kB, 104 checksums verified
        DECISIONS
          layout               deepspeed-pipeline  the folder holds \
        layer_01-model_00-model_states.pt
          qkv_layout           heads-3-hn          checkpoint_version 3.0
          dtype                bfloat16            as stored
          vocab_size           512                 keeping all 512 rows, 11 of them padding \
        (original_vocab_size); --vocab-size trim leaves them out
          tie_word_embeddings  true                the checkpoint has no separate output head
          attention_mask       causal              pretrain_causal_attention is True
          activation_function  gelu_fast           bias_gelu_fusion: the tanh form
          layer_norm_epsilon   1e-05               layernorm_epsilon
          bos_token_id         none                512 rows are fewer than GPT-2's own tokenizer has
          eos_token_id         none                512 rows are fewer than GPT-2's own tokenizer has
          tokenizer            none                --tokenizer DIR, or --vocab-file and \
        --merge-file, add it (the run used "GPT2BPETokenizer")
        FILES
          model.safetensors         141.9 kB
          config.json               775 B
          generation_config.json    3 B
          README.md                 960 B
          conversion_manifest.json  20.2 kB
        """)
    // A run that is over in a moment says nothing on the way.
    #expect(outcome.errors == "")
    let again = try meg2hf(["convert", "run", "model", "--quiet"], in: folder.path)
    #expect(again.status == 0)
    #expect(
      again.output
        == "model is up to date (same checkpoint, same options)\n")
    #expect(again.errors == "")
    let verified = try meg2hf(["verify", "model", "--against", "run", "--quiet"], in: folder.path)
    #expect(
      verified.output.hasPrefix(
        """
        model: identical to the checkpoint
          tensors   52 in 1 file
          compared  all bytes with run/global_step10, 104 checksums verified
          rules     safetensors headers, config.json, names, shapes and types, manifest

        DECISIONS
          layout               deepspeed-pipeline  the folder holds \
        layer_01-model_00-model_states.pt
          qkv_layout           heads-3-hn          checkpoint_version 3.0
          dtype                bfloat16            as the output has it

        """))
    // Where progress is asked for, each line of a log says when and where it was written.
    let told = try meg2hf(["convert", "run", "other", "--progress", "plain"], in: folder.path)
    let stamp = #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ meg2hf: /#
    let log = told.errors.replacing(stamp, with: "STAMP ")
      .replacing(/in [\d.]+ s, .*\/s, .* of/, with: "in TIME of")
    #expect(
      log == """
        STAMP converting, 141.3 kB to read
        STAMP wrote model.safetensors, 141.9 kB
        STAMP 141.3 kB read in TIME of memory

        """)
  }

  /// A model of which all layernorms are odd gave a line for each of them.
  @Test func ofManyWarningsOfOneKindOnlyTheFirstAreShown() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.change = { name, _, tensor in
      if name.hasSuffix("layernorm.weight") {
        tensor = TestTensor(tensor.shape, tensor.values.map { _ in 0.01 })
      }
    }
    try writer.write(to: folder)
    let outcome = try meg2hf(["convert", folder.path.string, "out", "--json"], in: folder.path)
    let lines = outcome.errors.split(separator: "\n").filter { $0.contains("layernorm") }
    #expect(lines.count == 4)
    #expect(
      lines.last == "meg2hf: warning: 2 more of this kind (values/layernorm); --json lists all")
    let document = try JSONParser.parse(Array(outcome.output.utf8)).object
    let codes = document?["warnings"]?.array?.map { $0.object?["code"]?.string }
    #expect(codes?.filter { $0 == "values/layernorm" }.count == 5)
  }

  /// A line that says that there is one more would be as long as that one.
  @Test func fourWarningsOfOneKindAreAllShown() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.change = { name, _, tensor in
      if name.hasSuffix("layernorm.weight"), !name.hasPrefix("final") {
        tensor = TestTensor(tensor.shape, tensor.values.map { _ in 0.01 })
      } else if name.hasPrefix("final_layernorm") {
        tensor = TestTensor(tensor.shape, tensor.values.map { _ in 1 })
      }
    }
    try writer.write(to: folder)
    let outcome = try meg2hf(["convert", folder.path.string, "out"], in: folder.path)
    let lines = outcome.errors.split(separator: "\n").filter { $0.contains("warning") }
    #expect(lines.count == 4)
    #expect(lines.allSatisfy { $0.contains("tensor transformer.h.") })
  }

  @Test func everyCommandHasADocument() throws {
    let folder = try TemporaryFolder()
    let run = dump.string
    let out = folder.path.appending("out").string
    for (arguments, schema, status) in [
      (["convert", run, out], "meg2hf.convert/1", "created"),
      (["convert", run, out], "meg2hf.convert/1", "unchanged"),
      (["plan", run], "meg2hf.plan/1", "ok"), (["inspect", run], "meg2hf.inspect/1", "ok"),
      (["inspect", fixture("torch/small.pt").string, "--sha256"], "meg2hf.inspect/1", "ok"),
      (["verify", out], "meg2hf.verify/1", "ok"),
      (["verify", out, "--against", run, "--sha256"], "meg2hf.verify/1", "ok"),
      (["diff", out, out], "meg2hf.diff/1", "equal"),
    ] {
      let outcome = try meg2hf(arguments + ["--json"])
      let document = try json(outcome)
      #expect(outcome.status == 0)
      #expect(document["schema"] == .string(schema))
      #expect(document["status"] == .string(status))
      #expect(document["exit_code"] == 0)
      #expect(document["errors"] == [])
      #expect(document["warnings"]?.array != nil)
    }
  }

  @Test func inspectListsTheTensorsOfAnyFile() throws {
    let outcome = try meg2hf(["inspect", fixture("torch/small.pt").string, "--sha256", "--json"])
    let document = try json(outcome)
    #expect(document["kind"] == "torch-file")
    let expected = try JSONParser.parse(bytes(of: fixture("torch/expected.json")))
    let tensors = try #require(document["tensors"]?.array)
    // The path tells tensors of one name apart.
    #expect(tensors.allSatisfy { $0.object?["path"]?.array?.isEmpty == false })
    let bare = tensors.compactMap(\.object).map { object in
      JSONValue.object(JSONObject(object.members.filter { $0.key != "path" }))
    }
    #expect(.array(bare) == expected.object?["small.pt"])
  }

  @Test func inspectShowsWhatModelCardsShow() throws {
    // The sizes of the first two models, by the formula of their cards.
    let document = try json(meg2hf(["inspect", dump.string, "--json"]))
    #expect(document["convertible"] == true)
    #expect(document["card_parameters"] == 68192)
    #expect(document["parameters_without_embeddings"] == 50880)
    #expect(document["ratio"] == 8)
    #expect(document["parameters"] == 68544)
    #expect(document["tensor_parallel"] == 2)
    #expect(document["qkv"]?.object?["layout"] == "heads-3-hn")
    let first = document["tensors"]?.array?.first?.object
    #expect(first?["name"] == "embedding.word_embeddings.weight")
    #expect(first?["shard_shapes"] == [[256, 32]])
    #expect(first?["merged_shape"] == [512, 32])
    #expect(first?["hf_name"] == "transformer.wte.weight")
    let bloom = try meg2hf([
      "inspect", fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt").string, "--json", "--set",
      "num_experts=2",
    ])
    #expect(bloom.status == 0)
    #expect(try json(bloom)["convertible"] == false)
    #expect(try json(bloom)["reasons"]?.array?.isEmpty == false)
  }

  /// What goes wrong, with the exit status.
  @Test func everyRefusalHasItsExitStatus() throws {
    let folder = try TemporaryFolder()
    try folder.write("empty/.keep", [])
    try folder.write("taken/file", [1])
    try folder.write("bad.pt", Array("hello".utf8))
    let run = dump.string
    let bloom = fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt").string
    let cases: [(arguments: [String], status: Int32, code: String)] = [
      (["convert", "missing", "out"], 66, "io/not-found"),
      (["convert", "empty", "out"], 66, "checkpoint/none"),
      (["convert", "bad.pt", "out"], 65, "format/unknown"),
      (["convert", bloom, "out", "--set", "num_experts=2"], 69, "model/experts"),
      (["convert", run, "taken"], 73, "output/foreign-file"),
      (["convert", run, "bad.pt/out"], 73, "io/not-a-folder"),
      (["convert", run, "/proc/out"], 73, "io/not-found"),
      (["convert", run, "out", "--vocab-size", "600"], 78, "vocabulary/range"),
      (["convert", run, "out", "--set", "num_attention_heads=5"], 78, "arguments/heads"),
      (["convert", run, "out", "--set", "nonsense=5"], 64, "arguments/unknown"),
      (["convert", run, "out", "--tag", "global_step11"], 66, "checkpoint/no-step"),
      (["convert", run, "out", "--tokenizer", "empty"], 66, "tokenizer/missing"),
      (["inspect", "bad.pt"], 65, "format/unknown"), (["inspect", "missing"], 66, "io/not-found"),
      (["verify", "empty"], 66, "output/no-weights"),
      (["convert", run], 64, "usage/arguments"),
      (["convert", run, "out", "--dtype", "int8"], 64, "usage/arguments"),
      (["convert", run, "out", "--max-shard-size", "-1GB"], 64, "usage/arguments"),
      (["convert", run, "out", "--target_tp", "2"], 64, "usage/arguments"),
      (["frobnicate"], 64, "usage/command"),
    ]
    for (arguments, status, code) in cases {
      let outcome = try meg2hf(arguments + ["--json"], in: folder.path)
      #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
      let errors = try json(outcome)["errors"]?.array
      #expect(errors?.first?.object?["code"] == .string(code), "\(arguments)")
      #expect(try json(outcome)["exit_code"] == .int(Int(status)))
      // Without --json nothing goes to the output, and the errors name what is wrong.
      let plain = try meg2hf(arguments, in: folder.path)
      #expect(plain.status == status)
      #expect(plain.output == "", "\(arguments)")
      #expect(!plain.errors.isEmpty)
      #expect(try folder.names() == ["bad.pt", "empty", "taken"], "\(arguments)")
    }
  }

  @Test func aFullDiskLeavesNothingBehind() throws {
    let folder = try TemporaryFolder()
    // The limit stands for a disk: files may not grow beyond 64 blocks of 512 bytes.
    let outcome = try meg2hf(
      ["convert", dump.string, "out"], in: folder.path,
      shell: "ulimit -f 64; exec \"$@\"")
    #expect(outcome.status == 74, "\(outcome.errors)")
    #expect(outcome.errors.contains("io/no-space"))
    #expect(try folder.names().isEmpty)
  }

  @Test func aWarningThatTimeRunsOutAsksForAnotherTry() throws {
    let folder = try TemporaryFolder()
    let outcome = try meg2hf(
      ["convert", dump.string, "out", "-q", "--max-shard-size", "2KB"], in: folder.path,
      shell: "\"$@\" & sleep 0.03; kill -USR1 $! 2>/dev/null; wait $!")
    // It may have been done already, or not have listened yet.
    #expect([0, 75, 138].contains(outcome.status), "\(outcome.status) \(outcome.errors)")
    #expect(outcome.status != 75 || outcome.errors.contains("stopped/warning"))
    #expect(try folder.names().contains("out") == (outcome.status == 0))
  }

  @Test func whatWasSetForAConversionNeedNotBeSetAgainToVerifyIt() throws {
    let folder = try TemporaryFolder()
    let run = fixture("layouts/classic_2019_flat_tp1").string
    let converted = try meg2hf(
      [
        "convert", run, "out", "-q", "--set", "num_attention_heads=4", "--set",
        "apply_layernorm_1p=true",
      ],
      in: folder.path)
    #expect(converted.status == 0, "\(converted.errors)")
    let verified = try meg2hf(["verify", "out", "--against", run, "-q"], in: folder.path)
    #expect(verified.status == 0, "\(verified.output) \(verified.errors)")
    // What is said now counts more than what was said then.
    let other = try meg2hf(
      ["verify", "out", "--against", run, "-q", "--set", "apply_layernorm_1p=false"],
      in: folder.path)
    #expect(other.status == 1)
  }

  @Test func limitsCanBeRaisedAndLowered() throws {
    let file = fixture("torch/small.pt").string
    for limit in ["opcodes=10", "nodes=10", "pickle-bytes=100", "entries=3", "names=1"] {
      let outcome = try meg2hf(["inspect", file, "--limits", limit, "--json"])
      #expect(outcome.status == 65, "\(limit)")
      #expect(outcome.output.contains("\"limit/"), "\(limit)")
    }
    #expect(try meg2hf(["inspect", file, "--limits", "opcodes=1000000"]).status == 0)
    #expect(try meg2hf(["inspect", file, "--limits", "opcode=10"]).status == 64)
    #expect(try meg2hf(["inspect", file, "--limits", "opcodes=-1"]).status == 64)
  }

  @Test func manyFilesNeedFewDescriptors() throws {
    let folder = try TemporaryFolder()
    let outcome = try meg2hf(
      ["convert", dump.string, "out", "-q"], in: folder.path, shell: "ulimit -n 16; exec \"$@\"")
    #expect(outcome.status == 0, "\(outcome.errors)")
    let masters = fixture("dumps/ds_tp2pp2dp2_fp16_z1/ckpt").string
    let compared = try meg2hf(
      ["convert", masters, "masters", "-q", "--weights", "fp32-master"], in: folder.path,
      shell: "ulimit -n 16; exec \"$@\"")
    #expect(compared.status == 0, "\(compared.errors)")
  }

  @Test func faultsAndDifferencesAreStatusOne() throws {
    let folder = try TemporaryFolder()
    for (name, more) in [("a", []), ("b", ["--dtype", "fp32"])] {
      #expect(try meg2hf(["convert", dump.string, name, "-q"] + more, in: folder.path).status == 0)
    }
    #expect(try meg2hf(["diff", "a", "a"], in: folder.path).output == "all 52 tensors are equal\n")
    let diff = try meg2hf(["diff", "a", "b"], in: folder.path)
    #expect(diff.status == 1)
    #expect(diff.output.hasPrefix("52 of 52 tensors differ\n"))
    #expect(diff.output.contains("bfloat16 and float32; equal values"))
    try remove(folder.path.appending("a/model.safetensors"))
    try copy(
      folder.path.appending("b/model.safetensors"), to: folder.path.appending("a/model.safetensors")
    )
    let verified = try meg2hf(["verify", "a", "-q"], in: folder.path)
    #expect(verified.status == 1)
    #expect(verified.output.contains("FAULT"))
  }

  @Test(arguments: [
    ("--input_folder", "CHECKPOINT OUTPUT"), ("--load-dir", "CHECKPOINT OUTPUT"),
    ("--output_folder", "OUTPUT is the second"), ("--save-dir", "OUTPUT is the second"),
    ("--output", "OUTPUT is the second"), ("-o", "OUTPUT is the second"),
    ("--target_tp", "the output is one model"),
  ])
  func flagsOfOtherConvertersLeadToOurs(flag: String, advice: String) throws {
    let outcome = try meg2hf(["convert", dump.string, flag, "out"])
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains(advice), "\(outcome.errors)")
  }

  @Test func theTokenizerAndTheSumsComeAlong() throws {
    let folder = try TemporaryFolder()
    let outcome = try meg2hf(
      [
        "convert", dump.string, "out", "-q", "--sha256", "--tokenizer", fixture("tokenizer").string,
      ],
      in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(
      try contents(folder.path.appending("out")) == [
        "README.md", "SHA256SUMS", "config.json", "conversion_manifest.json",
        "generation_config.json", "merges.txt", "model.safetensors", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.json",
      ])
    let verified = try meg2hf(["verify", "out", "--sha256", "--json"], in: folder.path)
    #expect(verified.status == 0)
    #expect(try json(verified)["sha256"]?.array?.count == 10)
    try folder.write("out/merges.txt", [1])
    #expect(try meg2hf(["verify", "out", "--sha256"], in: folder.path).status == 1)
  }

  @Test func helpShowsExamplesAndStatusAndNothingHidden() throws {
    let help = try meg2hf(["--help"])
    #expect(help.status == 0)
    for word in [
      "EXAMPLES", "EXIT STATUS", "convert", "plan", "inspect", "verify", "diff", "batch",
    ] {
      #expect(help.output.contains(word), "\(word)")
    }
    for command in ["convert", "plan", "inspect", "verify", "diff", "batch"] {
      let help = try meg2hf([command, "--help"])
      #expect(help.status == 0)
      #expect(help.output.contains("EXAMPLES"))
      #expect(!help.output.contains("target_tp"))
    }
    #expect(try meg2hf(["--version"]).output.hasPrefix("0.1.0 (linux "))
    #expect(try meg2hf(["--generate-completion-script", "bash"]).output.contains("meg2hf"))
  }

  @Test func aNameThatIsNotUTF8IsAName() throws {
    let folder = try TemporaryFolder()
    let outcome = try meg2hf(
      ["inspect", fixture("torch/small.pt").string], in: folder.path,
      shell: "cp \"$3\" \"$(printf 'bad\\377.pt')\" && \"$1\" inspect \"$(printf 'bad\\377.pt')\"")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("2 tensors"))
  }
}
