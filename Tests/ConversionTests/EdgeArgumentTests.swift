import Architectures
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// What checkpoints record in unusual ways, what they leave open, and what changes the function.
@Suite struct EdgeArgumentTests {
  /// A scalar of numpy, as a pickle has it.
  private static func numpy(
    _ code: String, _ bytes: [UInt8], module: String = "numpy.core.multiarray"
  ) -> @Sendable (inout PickleWriter) -> Void {
    { pickle in
      pickle.global(module, "scalar")
      pickle.tuple { pickle in
        dtype(&pickle, code)
        pickle.raw([0x43, UInt8(bytes.count)] + bytes)
      }
      pickle.code("R")
    }
  }

  private static func dtype(_ pickle: inout PickleWriter, _ code: String) {
    pickle.global("numpy", "dtype")
    pickle.tuple { pickle in
      pickle.string(code)
      pickle.bool(false)
      pickle.bool(true)
    }
    pickle.code("R")
    pickle.tuple { pickle in
      pickle.int(3)
      pickle.string("<")
      for _ in 0..<3 { pickle.none() }
      pickle.int(-1)
      pickle.int(-1)
      pickle.int(0)
    }
    pickle.code("b")
  }

  /// Version 1 in forms that are not a number of Python's own.
  static let versions: [(form: String, write: @Sendable (inout PickleWriter) -> Void)] = [
    ("text", { $0.string("1.0") }), ("text of an integer", { $0.string(" 1 ") }),
    ("float64", numpy("f8", [0, 0, 0, 0, 0, 0, 0xF0, 0x3F])),
    ("float32", numpy("f4", [0, 0, 0x80, 0x3F], module: "numpy._core.multiarray")),
    ("float16", numpy("f2", [0, 0x3C])), ("int64", numpy("i8", [1, 0, 0, 0, 0, 0, 0, 0])),
    (
      "an array of one element",
      { pickle in
        pickle.global("numpy.core.multiarray", "_reconstruct")
        pickle.tuple { pickle in
          pickle.global("numpy", "ndarray")
          pickle.ints([0])
          pickle.raw([0x43, 1, 0x62])
        }
        pickle.code("R")
        pickle.tuple { pickle in
          pickle.int(1)
          pickle.tuple { _ in }
          dtype(&pickle, "f8")
          pickle.bool(false)
          pickle.raw([0x43, 8, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F])
        }
        pickle.code("b")
      }
    ),
  ]

  @Test(arguments: versions.indices) func aVersionOfAnyTypeIsRead(row: Int) throws {
    var writer = RankWriter()
    writer.order = .headsHN3
    writer.version = EdgeArgumentTests.versions[row].write
    let outcome = try convert(writer)
    #expect(
      outcome.isExactly(TestModel()), "\(EdgeArgumentTests.versions[row].form) \(outcome.text)")
    #expect(outcome.decision("qkv_layout") == "heads-hn-3")
  }

  @Test func aVersionThatCannotBeReadIsAnErrorThatShowsIt() throws {
    for (write, shown) in [
      ({ (pickle: inout PickleWriter) in pickle.string("three") }, "\"three\" (text)"),
      ({ (pickle: inout PickleWriter) in pickle.ints([3, 0]) }, "[3, 0]"),
      (
        { (pickle: inout PickleWriter) in
          pickle.global("packaging.version", "Version")
          pickle.code(")R")
        }, "packaging.version.Version"
      ),
    ] {
      var writer = RankWriter()
      writer.version = write
      let outcome = try convert(writer)
      #expect(outcome.status == "78 arguments/type")
      #expect(outcome.text.contains(shown), "\(outcome.text)")
      #expect(outcome.text.contains("--set checkpoint_version=VALUE"))
      // What the user says need not be readable in the file.
      #expect(try convert(writer, ["checkpoint_version=3"]).isExactly(TestModel()))
    }
  }

  @Test func argumentsAsTextAreRead() throws {
    var writer = RankWriter()
    writer.arguments = [
      "num_attention_heads": { $0.string("4") }, "layernorm_epsilon": { $0.string("1e-6") },
      "bias_gelu_fusion": { $0.string("True") }, "openai_gelu": { $0.string("False") },
      "hidden_size": { $0.string(" 8") }, "ffn_hidden_size": { $0.string("None") },
      "padded_vocab_size": { $0.double(16) },
    ]
    let outcome = try convert(writer)
    #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
    #expect(outcome.decision("layer_norm_epsilon") == "1e-06")
    #expect(outcome.decision("activation_function") == "gelu_fast")
  }

  @Test func argumentsInSubclassesOfDictionariesAreRead() throws {
    let forms: [(inout PickleWriter, (inout PickleWriter) -> Void) -> Void] = [
      { pickle, body in body(&pickle) },
      // A subclass whose entries are set one by one.
      { pickle, body in
        pickle.global("attrdict", "AttrDict")
        pickle.raw([0x29, 0x81])
        var inner = PickleWriter()
        inner.bytes = []
        body(&inner)
        // The entries of the dictionary, without its beginning.
        pickle.raw(Array(inner.bytes.dropFirst()))
      },
      { pickle, body in
        pickle.global("types", "SimpleNamespace")
        pickle.code(")R")
        body(&pickle)
        pickle.code("b")
      },
      { pickle, body in
        pickle.global("collections", "defaultdict")
        pickle.tuple { pickle in
          pickle.none()
          body(&pickle)
        }
        pickle.code("R")
      },
    ]
    for form in forms {
      var writer = RankWriter()
      writer.namespace = form
      let outcome = try convert(writer)
      #expect(outcome.isExactly(TestModel()), "\(outcome.text)")
      #expect(outcome.warnings.isEmpty)
    }
  }

  @Test func argumentsOfNoKnownFormAreShown() throws {
    var writer = RankWriter()
    writer.namespace = { pickle, _ in pickle.string("--num-layers 2") }
    let outcome = try convert(writer)
    #expect(outcome.status == "78 arguments/type")
    #expect(outcome.text.contains("\"--num-layers 2\" (text)"))
  }

  // MARK: - What is concluded

  @Test func aVersionThatIsEmptyOrWasTakenAwayIsNoFact() throws {
    var writer = RankWriter()
    writer.version = { $0.string("") }
    #expect(try convert(writer).status == "78 arguments/type")
    for version in [nil, { $0.none() }] as [((inout PickleWriter) -> Void)?] {
      writer.version = version
      #expect(try convert(writer).codes == ["qkv/guess"])
    }
  }

  @Test func aNumberOfSinglePrecisionIsWrittenAsItWasTyped() throws {
    var writer = RankWriter()
    writer.arguments["layernorm_epsilon"] = EdgeArgumentTests.numpy("f4", [0xAC, 0xC5, 0x27, 0x37])
    #expect(try convert(writer).decision("layer_norm_epsilon") == "1e-05")
  }

  @Test func twoValuesForOneThingAreAskedAbout() throws {
    var epsilon = RankWriter()
    epsilon.arguments["norm_epsilon"] = { $0.double(1e-6) }
    #expect(try convert(epsilon).status == "78 arguments/contradiction")
    var sizes = RankWriter()
    sizes.entries = { pickle in
      for (key, size) in [("checkpoint_info", 13), ("universal_checkpoint_info", 14)] {
        pickle.string(key)
        pickle.dict { pickle in
          pickle.string("original_vocab_size")
          pickle.int(size)
        }
      }
    }
    #expect(try convert(sizes).status == "78 vocabulary/ambiguous")
    #expect(try convert(sizes, ["original_vocab_size=14"]).status == "ok")
  }

  /// No list of names is whole: one that no trainer has, and that speaks of the function, is shown.
  @Test func anUnfamiliarArgumentOfTheFunctionWarns() throws {
    var writer = RankWriter()
    writer.arguments["my_rotary_flavour"] = { $0.bool(true) }
    writer.arguments["my_attention_is_odd"] = { $0.bool(false) }
    writer.arguments["my_cluster"] = { $0.string("a") }
    let outcome = try convert(writer)
    #expect(outcome.codes == ["arguments/unfamiliar"])
    #expect(outcome.warnings[0].message.contains("my_rotary_flavour is True"))
    #expect(!outcome.warnings[0].message.contains("my_attention_is_odd"))
  }

  @Test(arguments: ["relu", "swish", "geglu", "squared_relu"])
  func anotherActivationIsRefused(name: String) throws {
    var writer = RankWriter()
    writer.arguments["activation"] = { $0.string(name) }
    let outcome = try convert(writer)
    #expect(outcome.status == "69 model/activation")
    #expect(outcome.text.contains("\"\(name)\""))
  }

  @Test func guessesWarnAndFactsDoNot() throws {
    #expect(try convert(RankWriter()).warnings.isEmpty)
    var made = RankWriter()
    made.arguments = [
      "bias_gelu_fusion": nil, "openai_gelu": nil, "orig_vocab_size": { $0.int(16) },
    ]
    let activation = try convert(made)
    #expect(activation.codes == ["arguments/activation"])
    #expect(activation.warnings[0].message.contains("reshaping script"))
    var epsilon = RankWriter()
    epsilon.arguments["layernorm_epsilon"] = nil as ((inout PickleWriter) -> Void)?
    #expect(try convert(epsilon).codes == ["arguments/epsilon"])
    var order = RankWriter()
    order.order = .thirds
    order.version = nil
    order.arguments["bias_gelu_fusion"] = nil as ((inout PickleWriter) -> Void)?
    let version = try convert(order)
    #expect(version.codes == ["qkv/guess", "arguments/activation"])
    #expect(version.isExactly(TestModel()))
    #expect(try convert(epsilon, ["layernorm_epsilon=1e-6"]).warnings.isEmpty)
  }

  @Test func flagsAgainstTheEvidenceWarn() throws {
    let folder = try TemporaryFolder()
    var writer = RankWriter()
    writer.arguments["tokenizer_type"] = { $0.string("NullTokenizer") }
    writer.arguments["vocab_size"] = { $0.int(14) }
    try writer.write(to: folder)
    var options = ConversionOptions()
    options.qkvLayout = .thirds
    options.vocabulary = .rows(14)
    let outcome = try convert(folder.path, ["num_attention_heads=2"], options: options)
    #expect(
      Set(outcome.codes) == ["qkv/overridden", "vocabulary/overridden", "arguments/overridden"])
    // Saying what the checkpoint says is nothing to warn of.
    var same = ConversionOptions()
    same.qkvLayout = .heads3HN
    #expect(try convert(folder.path, ["num_attention_heads=4"], options: same).warnings.isEmpty)
  }

  @Test func aFolderNamedAfterAnotherStepWarns() throws {
    let folder = try TemporaryFolder()
    try DumpWriter().write(to: folder)
    try move(folder.path.appending("global_step10"), to: folder.path.appending("global_step20"))
    try folder.write("latest", Array("global_step20".utf8))
    let outcome = try convert(folder.path)
    #expect(outcome.codes == ["checkpoint/other-iteration"])
    #expect(outcome.warnings[0].message.contains("\"global_step20\""))
  }

  // MARK: - What changes the function

  static let refused: [(key: String, write: @Sendable (inout PickleWriter) -> Void, code: String)] =
    [
      ("window_size", { $0.int(4) }, "attention"),
      ("window_size", { $0.ints([4, 0]) }, "attention"),
      ("softmax_scale", { $0.double(0.5) }, "attention"),
      ("query_pre_attn_scalar", { $0.int(8) }, "attention"),
      ("window_size", { $0.string("(128, 0)") }, "attention"),
      ("parallel_attn", { $0.bool(true) }, "residual"),
      ("use_mup", { $0.bool(true) }, "scale"), ("embedding_multiplier", { $0.double(12) }, "scale"),
      ("final_logit_softcapping", { $0.double(30) }, "scale"),
      ("qk_layernorm", { $0.string("True") }, "query-norm"),
      ("hidden_act", { $0.string("relu") }, "activation"), ("use_rmsnorm", { $0.int(1) }, "norm"),
      ("attn_mask_type", { $0.string("padding") }, "attention-mask"),
      ("prefix_lm", { $0.bool(true) }, "attention-mask"),
      ("use_alibi", { $0.bool(true) }, "positions"),
    ]

  @Test(arguments: refused.indices) func argumentsThatChangeTheFunctionAreRefused(row: Int) throws {
    let (key, write, code) = EdgeArgumentTests.refused[row]
    var writer = RankWriter()
    writer.arguments[key] = write
    let outcome = try convert(writer)
    #expect(outcome.status == "69 model/\(code)", "\(key)")
    #expect(outcome.text.contains(key))
  }

  @Test func thoseThatAreNotInEffectDoNot() throws {
    var writer = RankWriter()
    writer.arguments = [
      "window_size": { $0.none() }, "softmax_scale": { $0.none() },
      "parallel_attn": { $0.bool(false) },
      "use_mup": { $0.bool(false) }, "embedding_multiplier": { $0.double(1) },
      "hidden_act": { $0.string("gelu") }, "qk_layernorm": { $0.int(0) },
      "sliding_window": { $0.ints([-1, -1]) }, "softmax_type": { $0.string("vanilla") },
      "num_moe_experts": { $0.none() }, "logit_scale": { $0.string("None") },
      // Heads of 2 elements.
      "attention_scale": { $0.double(0.7071067) }, "query_pre_attn_scalar": { $0.int(2) },
      "local_window_size": { $0.string("(-1, -1)") },
      "interleave_sliding_window": { $0.string("-1,0") },
    ]
    #expect(try convert(writer).warnings.isEmpty)
    #expect(try convert(writer).isExactly(TestModel()))
  }

  @Test func unknownArgumentsAreListed() throws {
    let folder = try TemporaryFolder()
    var writer = RankWriter()
    writer.arguments["frobnicate_attention"] = { $0.bool(true) }
    try writer.write(to: folder)
    let inspection = try CheckpointInspection(index(folder.path), options: ConversionOptions())
    #expect(inspection.unknownArguments == ["frobnicate_attention"])
  }

  @Test func aMaskThatIsNotCausalIsRefusedWithTheEvidence() throws {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.arguments["glu_activation"] = { $0.none() }
    writer.arguments["universal_checkpoint"] = { $0.bool(false) }
    try writer.write(to: folder)
    let outcome = try convert(folder.path)
    #expect(outcome.status == "69 model/attention-mask")
    #expect(outcome.text.contains("universal_checkpoint"))
    #expect(try convert(folder.path, ["pretrain_causal_attention=true"]).status == "ok")
    writer.arguments["pretrain_causal_attention"] = { $0.bool(false) }
    #expect(try convert(writer).status == "69 model/attention-mask")
    writer.arguments["pretrain_causal_attention"] = { $0.bool(true) }
    #expect(try convert(writer).decision("attention_mask") == "causal")
    // Before July 2022 nothing tells; that is said.
    var older = DumpWriter()
    older.arguments["glu_activation"] = { $0.none() }
    let decisions = try convert(older).decisions
    #expect(decisions.first { $0.name == "attention_mask" }?.reason.contains("July 2022") == true)
  }

  // MARK: - Tokens

  /// A dump with a vocabulary of GPT-2's size, the smallest that can be.
  private func words(_ arguments: [String: ((inout PickleWriter) -> Void)?]) -> RankWriter {
    var writer = RankWriter(
      TestModel(layers: 1, hidden: 2, heads: 1, feedForward: 2, vocabulary: 50304, positions: 2))
    writer.arguments = arguments
    writer.arguments["make_vocab_size_divisible_by"] = { $0.int(128) }
    return writer
  }

  @Test func tokensAreClaimedOnlyForAKnownTokenizer() throws {
    let cases: [([String: ((inout PickleWriter) -> Void)?], String)] = [
      (["tokenizer_type": { $0.string("GPT2BPETokenizer") }], "50256"),
      (
        [
          "tokenizer_type": { $0.string("PretrainedFromHF") },
          "tokenizer_name_or_path": { $0.string("/models/gpt2") },
        ], "50256"
      ),
      (
        [
          "tokenizer_type": { $0.string("PretrainedFromHF") },
          "tokenizer_name_or_path": { $0.string("bigscience/tokenizer") },
        ], "none"
      ),
      (["tokenizer_type": { $0.string("SentencePieceTokenizer") }], "none"),
      (
        [
          "tokenizer_type": { $0.string("GPT2BPETokenizer") },
          "original_vocab_size": { $0.int(50300) },
        ], "none"
      ), ([:], "none"),
    ]
    for (arguments, token) in cases {
      let outcome = try convert(words(arguments))
      #expect(outcome.decision("eos_token_id") == token, "\(arguments.keys) \(outcome.text)")
      #expect(outcome.decision("bos_token_id") == token)
      #expect(outcome.warnings.isEmpty)
    }
  }

  @Test func thePaddingIsCutOnlyWhereItIsKnown() throws {
    var options = ConversionOptions()
    options.vocabulary = .trim
    func trimmed(_ arguments: [String: ((inout PickleWriter) -> Void)?]) throws -> EdgeOutcome {
      let folder = try TemporaryFolder()
      try words(arguments).write(to: folder)
      return try convert(folder.path, options: options)
    }
    let unknown = try trimmed(["tokenizer_type": { $0.string("GPT2BPETokenizer") }])
    #expect(unknown.status == "78 vocabulary/unknown")
    #expect(unknown.text.contains("--vocab-size N") && unknown.text.contains("--tokenizer"))
    #expect(
      try trimmed(["original_vocab_size": { $0.int(50300) }]).decision("vocab_size") == "50300")
    #expect(
      try trimmed(["orig_vocab_size": { $0.string("50257") }]).decision("vocab_size") == "50257")
    // NullTokenizer adds its end of text to what the user types.
    let null = try trimmed([
      "tokenizer_type": { $0.string("NullTokenizer") }, "vocab_size": { $0.int(50299) },
    ])
    #expect(null.decision("vocab_size") == "50300")
  }

  @Test func aTokenizerThatIsGivenTellsThePadding() throws {
    let folder = try TemporaryFolder()
    try RankWriter(TestModel(vocabulary: 512)).write(to: folder)
    var options = ConversionOptions()
    options.vocabulary = .trim
    let outcome = try convert(
      folder.path, options: options, tokenizer: ModelTokenizer(folder: fixture("tokenizer")))
    #expect(outcome.decision("vocab_size") == "501")
    #expect(outcome.tensors["transformer.wte.weight"]?.count == 501 * 8)
  }
}
