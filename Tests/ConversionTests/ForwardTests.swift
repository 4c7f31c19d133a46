import ByteIO
import Diagnostics
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Inference
@testable import Megatron
@testable import TorchArchive

/// Converted models that are run, compared with the live Megatron model and with transformers
/// (`Tests/Fixtures/forward.json`).
@Suite struct ForwardTests {
  private static let dumps = [
    "bs_classic_tp2_fp16", "bs_tp1pp1_fp16_z1", "bs_tp2pp2dp1_bf16", "bs_tp2pp2dp1_fp32_z1",
    "ds_nopp_tp2dp2_fp16_z2", "ds_tp2pp2dp2_fp16_z1", "dsold_tp1pp1_bf16_z1",
    "mlm_d763_tp2_fp32_ckptv1", "mlm_v1_0_tp1_fp32_ckptv0", "mlm_v2_4_tp2pp2_fp32_ckptv3",
  ]

  /// A genuine dump after its conversion.
  private func converted(_ dump: String, in folder: TemporaryFolder) throws -> FilePath {
    let output = folder.path.appending(dump)
    _ = try Conversion(of: index(fixture("dumps/\(dump)/ckpt"))).run(to: output)
    return output
  }

  private func network(
    _ folder: FilePath, threads: Int = 1
  ) throws -> Network {
    try Network(
      of: ModelDirectory(reading: folder), options: Network.Options(threads: threads))
  }

  private func tokens(_ dump: String) throws -> [[Int]] {
    try TokenFile(fixture("dumps/\(dump)/truth/tokens.json")).texts
  }

  /// What transformers gave.
  private func golden(_ dump: String) throws -> JSONObject {
    let all = try JSONParser.parse(bytes(of: fixture("forward.json")))
    return try #require(all.object?[dump]?.object)
  }

  /// A genuine dump as its trainer computed it.
  private func source(
    _ dump: String, _ options: Network.Options = Network.Options()
  ) throws -> Network {
    let model = try RunnableCheckpoint(index(fixture("dumps/\(dump)/ckpt")))
    return try Network(
      of: model.checkpoint, order: model.qkv.get().layout, mergedRanks: model.mergedRanks,
      options: options)
  }

  @Test(arguments: dumps) func logitsAreThoseOfTheLiveModel(dump: String) throws {
    let folder = try TemporaryFolder()
    try expectLiveLogits(of: network(converted(dump, in: folder)), dump, tokens(dump))
  }

  @Test(arguments: dumps)
  func theCheckpointItselfGivesTheLogitsOfTheLiveModel(dump: String) throws {
    let network = try source(dump)
    #expect(network.ranks == (dump.contains("tp2") ? 2 : 1))
    try expectLiveLogits(of: network, dump, tokens(dump))
  }

  @Test func ranksWhoseReplicasDriftedApartGoOnWithTheirOwn() throws {
    let dump = "ds_tp2pp2dp1_fp16_z1_tpdiverged"
    // The tokens are the same as those of its sister.
    try expectLiveLogits(of: source(dump), dump, tokens("ds_tp2pp2dp2_fp16_z1"))
  }

  @Test(arguments: ["bs_tp2pp2dp1_bf16", "mlm_d763_tp2_fp32_ckptv1", "dsold_tp1pp1_bf16_z1"])
  func weightsThatAreReadEachTimeGiveTheSameBits(dump: String) throws {
    let folder = try TemporaryFolder()
    let path = try converted(dump, in: folder)
    let text = try tokens(dump)[0]
    for make in [
      { options in try Network(of: ModelDirectory(reading: path), options: options) },
      { options in try source(dump, options) },
    ] {
      let resident = try make(Network.Options())
      let expected = try resident.logits(of: text)
      #expect(resident.streamedBytes == 0)
      for memory in [0, resident.residentBytes / 2] {
        for threads in [1, 2, 3] {
          let network = try make(Network.Options(threads: threads, memory: memory))
          #expect(network.residentBytes <= memory && network.streamedBytes > 0)
          let logits = try network.logits(of: text)
          for row in text.indices {
            #expect(logits[row].map(\.bitPattern) == expected[row].map(\.bitPattern))
          }
        }
      }
    }
  }

  @Test func theCheckpointSaysWhatItsConversionSays() throws {
    let dump = "bs_tp2pp2dp1_bf16"
    let network = try source(dump, Network.Options(threads: 2, memory: 0))
    var options = GreedyText.Options()
    options.rows = 501
    for prompt in try #require(golden(dump)["greedy"]?.array) {
      let text = try GreedyText(
        after: prompt.object?["prompt"]?.array?.compactMap(\.int) ?? [], by: network,
        options: options)
      #expect(text.steps.map(\.id) == prompt.object?["ids"]?.array?.compactMap(\.int))
    }
  }

  private func expectLiveLogits(
    of network: Network, _ dump: String, _ texts: [[Int]]
  ) throws {
    // NumPy's format: a header of 128 bytes, then binary32 of [2, 24, 512].
    let live = try bytes(of: fixture("dumps/\(dump)/truth/logits_live_fp32.npy")).dropFirst(128)
    let values = stride(from: live.startIndex, to: live.endIndex, by: 4).map { place in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(live[place + $1]) << UInt32(8 * $1) })
    }
    try #require(values.count == 2 * 24 * 512 && texts.map(\.count) == [24, 24])
    var distance: Float = 0
    for (text, tokens) in texts.enumerated() {
      let logits = try network.logits(of: tokens)
      for row in 0..<24 {
        let other = values[(text * 24 + row) * 512..<(text * 24 + row + 1) * 512]
        distance = zip(logits[row], other).reduce(distance) { max($0, abs($1.0 - $1.1)) }
      }
    }
    #expect(distance < 2e-6, "\(dump): \(distance)")
  }

  @Test(arguments: dumps) func lossAndGreedyTokensAreThoseOfTransformers(dump: String) throws {
    let folder = try TemporaryFolder()
    let network = try network(converted(dump, in: folder), threads: 2)
    let golden = try golden(dump)
    #expect(golden["activation"]?.string == network.activation)
    let loss = try TextLoss(of: tokens(dump), by: network, rows: 501)
    let (all, some) = (
      try #require(golden["loss"]?.object?["all_rows"]?.number),
      try #require(golden["loss"]?.object?["rows_501"]?.number)
    )
    #expect(abs(loss.padded - all) < 1e-6 && abs(loss.trimmed - some) < 1e-6)
    #expect(loss.predictions == 46 && loss.perWindow.count == 2)
    var options = GreedyText.Options()
    options.rows = 501
    let prompts = try #require(golden["greedy"]?.array)
    #expect(prompts.count == 2)
    for prompt in prompts {
      let text = try GreedyText(
        after: prompt.object?["prompt"]?.array?.compactMap(\.int) ?? [], by: network,
        options: options)
      #expect(text.steps.map(\.id) == prompt.object?["ids"]?.array?.compactMap(\.int))
    }
  }

  @Test func tokensOneByOneGiveTheBitsOfAllAtOnce() throws {
    let folder = try TemporaryFolder()
    let path = try converted("bs_tp2pp2dp1_bf16", in: folder)
    let (one, two) = (try network(path), try network(path, threads: 2))
    let text = try tokens("bs_tp2pp2dp1_bf16")[0]
    let whole = try one.logits(of: text)
    let cache = KeyValueCache(for: two, capacity: text.count)
    for (row, token) in text.enumerated() {
      let logits = try two.lastLogits(of: [token], after: cache)
      #expect(logits[0].map(\.bitPattern) == whole[row].map(\.bitPattern), "row \(row)")
    }
  }

  // MARK: Checkpoints that lack something

  @Test func aBiasThatGotLostIsNotTakenForZeros() throws {
    let whole = try index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt"))
    #expect(try RunnableCheckpoint(whole).order == .heads3HN)
    let name = "layers.1.self_attention.dense.bias"
    let lacking = whole.changed { $0.tensors.removeAll { $0.name == name } }
    #expect(throws: Failure.self) { _ = try RunnableCheckpoint(lacking) }
  }

  @Test func ranksWithOtherPositionsAreRefused() throws {
    let name = "embedding.position_embeddings.weight"
    let odd = try index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")).changed { builder in
      guard let place = builder.tensors.firstIndex(where: { $0.name == name }),
        let words = builder.tensors.first(where: { $0.name.hasSuffix("word_embeddings.weight") })
      else { return }
      builder.tensors[place] = IndexedTensor(
        name: name, shards: [builder.tensors[place].shards[0], words.shards[1]])
    }
    let failure = #expect(throws: Failure.self) { _ = try Network(of: odd, order: .heads3HN) }
    #expect(failure?.code == .tensorRanksDisagree)
  }

  @Test func aViewThatClaimsMoreThanItsStorageIsRefused() throws {
    let checkpoint = try index(fixture("dumps/bs_tp2pp2dp1_bf16/ckpt"))
    let part = try #require(checkpoint.tensors.first?.shards.first)
    guard case .whole(let file, let tensor) = part.content else { return }
    let view = TorchTensor(
      dtype: tensor.dtype, sizes: [1 << 30, 1 << 30], strides: [0, 0], storageOffset: 0,
      storage: tensor.storage, isBigEndian: false, isConjugate: false, isNegative: false)
    let failure = #expect(throws: Failure.self) {
      _ = try RankElements(
        RankPart(rank: 0, file: file, key: "x", tensor: view), of: "x",
        in: RankFiles(checkpoint))
    }
    #expect(failure?.code == .networkTensor)
  }

  // MARK: What is refused

  /// A converted model whose `config.json` or weights were changed.
  private func refusal(
    config: (String, String)? = nil, weights: ((inout [UInt8]) -> Void)? = nil
  ) throws -> Failure? {
    let folder = try TemporaryFolder()
    let path = try converted("bs_tp1pp1_fp16_z1", in: folder)
    if let config {
      let file = path.appending("config.json")
      let text = String(decoding: try bytes(of: file), as: UTF8.self)
      #expect(text.contains(config.0))
      try folder.write(
        "bs_tp1pp1_fp16_z1/config.json", Array(text.replacing(config.0, with: config.1).utf8))
    }
    if let weights {
      var stored = try bytes(of: path.appending("model.safetensors"))
      weights(&stored)
      try folder.write("bs_tp1pp1_fp16_z1/model.safetensors", stored)
    }
    return #expect(throws: Failure.self) { _ = try network(path) }
  }

  @Test func modelsThatCannotBeRunAreRefused() throws {
    let cases: [(String, String, Diagnostic.Code)] = [
      ("\"model_type\": \"gpt2\"", "\"model_type\": \"llama\"", .networkUnsupported),
      ("\"gelu_fast\"", "\"relu\"", .networkUnsupported),
      ("\"n_layer\": 4", "\"n_layer\": 5", .networkTensor),
      ("\"n_embd\": 32", "\"n_embd\": 64", .networkTensor),
      // No shape tells the heads; transformers would take 12 of them.
      ("\"n_head\": 4,", "", .networkTensor), ("\"n_head\": 4", "\"n_head\": 0", .networkTensor),
      ("\"n_head\": 4", "\"n_head\": 5", .networkTensor),
      ("\"n_head\": 4", "\"n_head\": \"4\"", .networkTensor),
      // What is there has to be understood.
      ("1e-05", "\"1e-05\"", .networkUnsupported),
      ("\"gelu_fast\"", "[\"gelu\"]", .networkUnsupported),
      ("\"scale_attn_weights\": true", "\"scale_attn_weights\": \"no\"", .networkUnsupported),
      ("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": 0", .networkUnsupported),
      ("\"use_cache\"", "\"quantization_config\": {}, \"use_cache\"", .networkUnsupported),
    ]
    for (old, new, code) in cases {
      let failure = try refusal(config: (old, new))
      #expect(failure?.code == code, "\(new): \(String(describing: failure))")
    }
  }

  @Test func aHeadOfItsOwnInATiedModelIsRefused() throws {
    let folder = try TemporaryFolder()
    let path = try converted("bs_tp1pp1_fp16_z1", in: folder)
    let stored = try SafetensorsFile(opening: path.appending("model.safetensors"))
    let tensors = try stored.header.tensors.map {
      SafetensorsFile.NewTensor($0.name, $0.dtype, $0.shape, try stored.bytes(of: $0))
    }
    let words = try #require(tensors.first { $0.name == "transformer.wte.weight" })
    for (isSame, status) in [(true, nil), (false, Diagnostic.Code.networkTensor)] {
      var bytes = words.bytes
      if !isSame { bytes[0] ^= 1 }
      let head = SafetensorsFile.NewTensor("lm_head.weight", words.dtype, words.shape, bytes)
      try SafetensorsFile.write(tensors + [head], to: folder.path.appending("new-\(isSame)"))
      try folder.write(
        "bs_tp1pp1_fp16_z1/model.safetensors",
        TestSupport.bytes(of: folder.path.appending("new-\(isSame)")))
      do {
        _ = try network(path)
        #expect(status == nil)
      } catch let failure as Failure {
        #expect(failure.code == status, "\(failure)")
      }
    }
  }

  @Test func weightsThatAreNotNumbersAreNamed() throws {
    // The last element of the file, as NaN of float16.
    let failure = try refusal { $0.replaceSubrange($0.count - 2..<$0.count, with: [0xFF, 0x7F]) }
    #expect(failure?.code == .networkNotFinite && failure?.tensor != nil)
  }

  @Test func promptsThatAModelCannotTakeAreRefused() throws {
    let folder = try TemporaryFolder()
    let network = try network(converted("bs_tp1pp1_fp16_z1", in: folder))
    let positions = network.sizes.positions
    for prompt in [[], [-1], [network.sizes.vocabulary], Array(repeating: 1, count: positions + 1)]
    {
      let failure = #expect(throws: Failure.self) { _ = try network.logits(of: prompt) }
      #expect(failure?.code == .networkPrompt, "\(prompt.count) tokens")
      #expect(throws: Failure.self) { _ = try GreedyText(after: prompt, by: network) }
    }
    for texts in [[], [[]], [[1]], [[1, network.sizes.vocabulary]]] {
      #expect(throws: Failure.self) { _ = try TextLoss(of: texts, by: network) }
    }
  }

  @Test func aTextEndsWhereItMust() throws {
    let folder = try TemporaryFolder()
    let network = try network(converted("bs_tp1pp1_fp16_z1", in: folder))
    let positions = network.sizes.positions
    var options = GreedyText.Options()
    options.maximum = 10
    let full = try GreedyText(
      after: Array(repeating: 1, count: positions), by: network, options: options)
    #expect(full.end == .positions && full.steps.count == 1)
    let free = try GreedyText(after: [1, 2], by: network, options: options)
    #expect(free.end == .length && free.steps.count == 10)
    options.stop = [free.steps[0].id]
    let stopped = try GreedyText(after: [1, 2], by: network, options: options)
    #expect(stopped.end == .stop && stopped.steps == Array(free.steps.prefix(1)))
    options.maximum = 0
    #expect(try GreedyText(after: [1], by: network, options: options).steps.isEmpty)
  }

  @Test func aTextThatGrowsIsShownByBytes() {
    var screen = GrowingText()
    #expect(screen.next(of: "ae") == "ae")
    // Half of a character is kept back; an accent belongs to the letter before it.
    #expect(screen.next(of: "ae\u{FFFD}") == nil)
    #expect(screen.next(of: "ae\u{301}") == "\u{301}")
    #expect(screen.next(of: "ae\u{301}\r") == "\r")
    #expect(screen.rest(of: "ae\u{301}\r\n!") == "\n!")
  }

  @Test func noMoreTokensArePredictedThanAsked() throws {
    let folder = try TemporaryFolder()
    let network = try network(converted("bs_tp1pp1_fp16_z1", in: folder))
    let texts = try tokens("bs_tp1pp1_fp16_z1")
    let whole = try TextLoss(of: texts, by: network)
    let some = try TextLoss(of: texts, by: network, maximum: 30)
    #expect(some.predictions == 30 && some.perWindow.first == whole.perWindow.first)
  }

  // MARK: Windows and files of tokens

  @Test func windowsAreThoseOfTheTrainer() throws {
    let text = Array(0..<10)
    #expect(
      TextLoss.windows([text], length: 4, stride: 4).map { Array($0) }
        == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]])
    #expect(
      TextLoss.windows([text], length: 4, stride: 5).map { Array($0) }
        == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    #expect(TextLoss.windows([[7, 8], [9], text], length: 9, stride: 1).map(\.count) == [2, 10])
  }

  @Test func tokensAreReadInEveryForm() throws {
    let folder = try TemporaryFolder()
    func texts(_ name: String, _ form: TokenFile.Form? = nil) throws -> [[Int]] {
      try TokenFile(folder.path.appending(name), form).texts
    }
    try folder.write("a.json", Array("[1, 2]".utf8))
    try folder.write("b.json", Array("{\"tokens\": [[1], [2, 3]]}".utf8))
    try folder.write("c.raw", [1, 0, 255, 255])
    #expect(try texts("a.json") == [[1, 2]])
    #expect(try texts("b.json") == [[1], [2, 3]])
    #expect(try texts("c.raw", .uint16) == [[1, 65_535]])
    try folder.write("d.raw", [1, 0, 255, 127])
    #expect(try texts("d.raw", .int32) == [[2_147_418_113]])
    try folder.write("e.bin", [1, 0, 2, 0, 3, 0])
    try folder.write("e.idx", indexFile(type: 8, lengths: [2, 1], starts: [0, 4]))
    #expect(try texts("e.bin") == [[1, 2], [3]])
    #expect(try texts("e.bin", .uint16) == [[1, 2], [3]])
    // The index contradicts the flag.
    #expect(throws: Failure.self) { _ = try texts("e.bin", .int32) }
    try folder.write("lone.bin", [1, 0])
    #expect(try texts("lone.bin", .uint16) == [[1]])
    let failure = #expect(throws: Failure.self) { _ = try texts("lone.bin") }
    #expect(failure?.hint?.contains("--token-type") == true)
  }

  @Test func filesThatAreNoTokensAreRefused() throws {
    let folder = try TemporaryFolder()
    try folder.write("e.bin", [1, 0, 2, 0, 3, 0])
    let indices: [[UInt8]] = [
      [], Array("MMIDIDX".utf8), indexFile(type: 7, lengths: [1], starts: [0]),
      indexFile(type: 8, lengths: [4], starts: [0]),
      indexFile(type: 8, lengths: [1], starts: [6]), indexFile(type: 8, lengths: [-1], starts: [0]),
      indexFile(type: 8, lengths: [1], starts: [-1]),
      // Sequences that overlap could ask for any amount of memory.
      indexFile(type: 8, lengths: [3, 3, 3], starts: [0, 0, 0]),
      indexFile(type: 8, lengths: [1], starts: [0]) + [0],
    ]
    for (number, index) in indices.enumerated() {
      try folder.write("e.idx", index)
      let failure = #expect(throws: Failure.self, "index \(number)") {
        _ = try TokenFile(folder.path.appending("e.bin"))
      }
      #expect(failure?.code == .tokensForm, "index \(number)")
    }
    for text in ["{}", "[1, -1]", "[[1], 2]", "[\"a\"]", "3"] {
      try folder.write("f.json", Array(text.utf8))
      #expect(throws: Failure.self, "\(text)") {
        _ = try TokenFile(folder.path.appending("f.json"))
      }
    }
    try folder.write("g", [1, 0, 0])
    for form in [TokenFile.Form.uint16, .int32] {
      #expect(throws: Failure.self) { _ = try TokenFile(folder.path.appending("g"), form) }
    }
  }

  /// An `.idx` of Megatron's indexed data sets.
  private func indexFile(type: Int, lengths: [Int], starts: [Int]) -> [UInt8] {
    Array("MMIDIDX\0\0".utf8) + little(1, 8) + little(type, 1) + little(lengths.count, 8)
      + little(0, 8) + lengths.flatMap { little($0, 4) } + starts.flatMap { little($0, 8) }
  }
}
