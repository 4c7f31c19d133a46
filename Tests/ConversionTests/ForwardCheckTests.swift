import Architectures
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

/// Outputs that are run beside the checkpoint they were made of: as they are, and with one fault
/// each, as a wrong rule would put it there.
@Suite struct ForwardCheckTests {
  /// An output that a fault can be put into.
  struct Output {
    let folder: TemporaryFolder
    let checkpoint: Checkpoint
    var tensors: [String: SafetensorsFile.NewTensor] = [:]

    init(_ dump: String, _ options: ConversionOptions = ConversionOptions()) throws {
      try self.init(index(fixture(dump)), options)
    }

    init(_ checkpoint: Checkpoint, _ options: ConversionOptions = ConversionOptions()) throws {
      folder = try TemporaryFolder()
      self.checkpoint = checkpoint
      _ = try Conversion(of: checkpoint, options: options).run(to: folder.path.appending("hf"))
      let file = try SafetensorsFile(
        opening: folder.path.appending("hf/model.safetensors"))
      for tensor in file.header.tensors {
        tensors[tensor.name.replacing("transformer.", with: "")] = SafetensorsFile.NewTensor(
          tensor.name, tensor.dtype, tensor.shape, try file.bytes(of: tensor))
      }
    }

    /// The place that one half of some rows or columns has in the other.
    static func halves(_ index: Int, of count: Int) -> Int { (index + count / 2) % count }

    /// Rewrites the elements of a matrix: each comes from the place that is given.
    mutating func move(
      _ name: String, _ from: (_ row: Int, _ column: Int) -> (row: Int, column: Int)
    ) throws {
      let old = try #require(tensors[name])
      let size = old.dtype.bits / 8
      let (rows, columns) = old.shape.count == 1 ? (1, old.shape[0]) : (old.shape[0], old.shape[1])
      var bytes: [UInt8] = []
      for row in 0..<rows {
        for column in 0..<columns {
          let place = from(row, column)
          let start = (place.row * columns + place.column) * size
          bytes += old.bytes[start..<start + size]
        }
      }
      tensors[name] = SafetensorsFile.NewTensor(old.name, old.dtype, old.shape, bytes)
    }

    mutating func exchange(_ a: String, _ b: String) throws {
      let (first, second) = (try #require(tensors[a]), try #require(tensors[b]))
      tensors[a] = SafetensorsFile.NewTensor(first.name, first.dtype, first.shape, second.bytes)
      tensors[b] = SafetensorsFile.NewTensor(second.name, second.dtype, second.shape, first.bytes)
    }

    /// Changes a text in `config.json`.
    func configure(_ old: String, _ new: String) throws {
      let text = String(
        decoding: try TestSupport.bytes(of: folder.path.appending("hf/config.json")), as: UTF8.self)
      #expect(text.contains(old))
      try folder.write("hf/config.json", Array(text.replacing(old, with: new).utf8))
    }

    /// Runs both sides.
    func check(order: QKVOrder? = nil, isExact: Bool = true) throws -> ForwardCheck {
      let new = folder.path.appending("new.safetensors")
      try? remove(new)
      try SafetensorsFile.write(
        tensors.values.sorted { $0.name < $1.name },
        to: new)
      try folder.write("hf/model.safetensors", TestSupport.bytes(of: new))
      let options = Network.Options(threads: 2, memory: 0)
      let output = try Network(
        of: ModelDirectory(reading: folder.path.appending("hf")), options: options)
      let model = try Recognition(checkpoint)
      let source = try Network(
        of: checkpoint, order: order ?? model.qkv.get().layout,
        mergedRanks: checkpoint.mergedRanks, options: options)
      return try ForwardCheck(
        output, source, ids: ForwardCheck.tokens(32, below: 501), isExact: isExact)
    }
  }

  private static let dumps = [
    "bs_classic_tp2_fp16", "bs_tp1pp1_fp16_z1", "bs_tp2pp2dp1_bf16", "bs_tp2pp2dp1_fp32_z1",
    "ds_nopp_tp2dp2_fp16_z2", "ds_tp2pp2dp2_fp16_z1", "ds_tp2pp2dp1_fp16_z1_universal",
    "dsold_tp1pp1_bf16_z1", "mlm_d763_tp2_fp32_ckptv1", "mlm_v1_0_tp1_fp32_ckptv0",
    "mlm_v2_4_tp2pp2_fp32_ckptv3",
  ]

  @Test(arguments: dumps) func anOutputComputesWhatItsCheckpointDoes(dump: String) throws {
    let check = try Output("dumps/\(dump)/ckpt").check()
    #expect(check.passes && check.largest < 2e-6 && check.place == nil, "\(check.largest)")
    #expect(check.agreement == 1 && check.divergence < 1e-9)
    // First and last rows of the position embedding are among those that were run.
    #expect(check.positions.first == 0 && check.positions.last == 39)
    #expect(Set(check.ids).count > 25)
  }

  // MARK: Mutants

  /// A fault, and where it must be found.
  struct Mutant: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var dump = "bs_tp2pp2dp1_fp32_z1"
    let place: ForwardCheck.Place?
    let mutate: @Sendable (inout Output) throws -> Void
  }

  private static func at(_ layer: Int?, _ part: String) -> ForwardCheck.Place {
    ForwardCheck.Place(layer: layer, part: part)
  }

  // 4 layers, hidden 32, 4 heads of 8.
  static let mutants: [Mutant] = [
    Mutant(testDescription: "a square c_proj is not transposed", place: at(1, "attention")) {
      try $0.move("h.1.attn.c_proj.weight") { ($1, $0) }
    },
    Mutant(
      testDescription: "query, key and value are left head by head", place: at(2, "attention")
    ) {
      try $0.move("h.2.attn.c_attn.weight") { row, column in
        (row, column / 8 % 3 * 32 + column / 24 * 8 + column % 8)
      }
    },
    Mutant(testDescription: "their bias alone is", place: at(0, "attention")) {
      try $0.move("h.0.attn.c_attn.bias") { row, column in
        (row, column / 8 % 3 * 32 + column / 24 * 8 + column % 8)
      }
    },
    Mutant(testDescription: "ranks are in reverse order", place: at(0, "the feed-forward layer")) {
      try $0.move("h.0.mlp.c_fc.weight") { ($0, Output.halves($1, of: 128)) }
      try $0.move("h.0.mlp.c_fc.bias") { ($0, Output.halves($1, of: 128)) }
    },
    Mutant(testDescription: "row-parallel parts are exchanged", place: at(3, "attention")) {
      try $0.move("h.3.attn.c_proj.weight") { (Output.halves($0, of: 32), $1) }
    },
    Mutant(testDescription: "two heads of the queries are exchanged", place: at(1, "attention")) {
      try $0.move("h.1.attn.c_attn.weight") { ($0, $1 < 16 ? Output.halves($1, of: 16) : $1) }
      try $0.move("h.1.attn.c_attn.bias") { ($0, $1 < 16 ? Output.halves($1, of: 16) : $1) }
    },
    Mutant(testDescription: "two layers are exchanged", place: at(1, "attention")) {
      for name in $0.tensors.keys.filter({ $0.hasPrefix("h.1.") }) {
        try $0.exchange(name, "h.2." + name.dropFirst(4))
      }
    },
    Mutant(testDescription: "ln_1 and ln_2 are exchanged", place: at(1, "attention")) {
      for kind in ["weight", "bias"] { try $0.exchange("h.1.ln_1.\(kind)", "h.1.ln_2.\(kind)") }
    },
    Mutant(testDescription: "a row bias is added twice", place: at(2, "attention")) {
      try $0.scale("h.2.attn.c_proj.bias", by: 2)
    },
    Mutant(testDescription: "the bias of c_fc is lost", place: at(2, "the feed-forward layer")) {
      try $0.scale("h.2.mlp.c_fc.bias", by: 0)
    },
    Mutant(testDescription: "positions are shifted by a row", place: at(nil, "the embedding")) {
      try $0.move("wpe.weight") { (($0 + 1) % 40, $1) }
    },
    Mutant(testDescription: "rows of the vocabulary are shifted", place: at(nil, "the embedding")) {
      try $0.move("wte.weight") { (Output.halves($0, of: 512), $1) }
    },
    Mutant(
      testDescription: "the last part of the vocabulary is lost", place: at(nil, "the embedding")
    ) {
      try $0.change("wte.weight") { $0 < 256 * 32 ? $1 : 0 }
    },
    Mutant(testDescription: "half the heads", place: at(0, "attention")) {
      try $0.configure("\"n_head\": 4", "\"n_head\": 2")
    },
    Mutant(testDescription: "another epsilon", place: nil) {
      try $0.configure("1e-05", "1e-06")
    },
    Mutant(testDescription: "the exact gelu for the other", place: nil) {
      try $0.configure("\"gelu_fast\"", "\"gelu\"")
    },
    Mutant(
      testDescription: "the other gelu for the exact one", dump: "mlm_d763_tp2_fp32_ckptv1",
      place: nil
    ) {
      try $0.configure("\"gelu\"", "\"gelu_new\"")
    },
    Mutant(testDescription: "attention is scaled by layer", place: nil) {
      try $0.configure(
        "\"scale_attn_by_inverse_layer_idx\": false", "\"scale_attn_by_inverse_layer_idx\": true")
    },
    Mutant(testDescription: "one weight is off by a thousandth", place: nil) {
      try $0.nudge("h.3.mlp.c_proj.weight")
    },
  ]

  @Test(arguments: mutants) func aFaultOfARuleIsFound(_ mutant: Mutant) throws {
    var output = try Output("dumps/\(mutant.dump)/ckpt")
    try mutant.mutate(&output)
    let check = try output.check()
    #expect(!check.passes && check.largest > 1e-5, "\(check.largest)")
    let place = try #require(check.place)
    if let expected = mutant.place { #expect(place == expected) }
  }

  @Test func theKeysBiasCannotBeSeen() throws {
    // What is the same for all keys, softmax takes out again: bytes have to be compared, too.
    var output = try Output("dumps/bs_tp2pp2dp1_fp32_z1/ckpt")
    try output.shift("h.1.attn.c_attn.bias", 32..<64, by: 0.1)
    #expect(try output.check().passes)
  }

  @Test func anUntiedHeadThatGotLostIsFound() throws {
    let tied = try index(fixture("dumps/bs_tp2pp2dp1_fp32_z1/ckpt"))
    let words = try #require(tied.tensor("embedding.word_embeddings.weight"))
    // A head of its own: the embedding with its two parts exchanged.
    let parts = words.shards.reversed().enumerated().map { rank, part in
      guard case .whole(let file, let tensor) = part.content else { return part }
      return RankPart(rank: rank, file: file, key: part.key, tensor: tensor)
    }
    let head = IndexedTensor(name: "output_layer.weight", shards: parts)
    var output = try Output(tied.changed { $0.tensors.append(head) })
    #expect(try output.check().passes)
    output.tensors["lm_head.weight"] = nil
    try output.configure("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true")
    let check = try output.check()
    #expect(
      !check.passes && check.place == ForwardCheckTests.at(nil, "the last layer norm or the head"))
  }

  @Test func theOrderOfAnotherAgeIsFound() throws {
    let output = try Output("dumps/bs_tp2pp2dp1_fp32_z1/ckpt")
    for order in [QKVOrder.thirds, .headsHN3] {
      #expect(try !output.check(order: order).passes, "\(order)")
    }
  }

  // MARK: Outputs with other numbers

  @Test func roundedWeightsAreCloseAndNotEqual() throws {
    var options = ConversionOptions()
    options.dtype = .bf16
    let check = try Output("dumps/bs_tp2pp2dp1_fp32_z1/ckpt", options).check(isExact: false)
    #expect(check.passes && check.largest > 1e-5 && check.divergence < 1e-3)
  }

  @Test func whatAnAverageOfReplicasCostsIsMeasured() throws {
    let check = try Output("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt").check(isExact: false)
    #expect(check.largest > 1e-2 && check.largest < 0.1, "\(check.largest)")
    #expect(check.divergence > 0 && check.divergence < 1e-3)
  }

  @Test func sizesThatDifferAreRefused() throws {
    let (one, other) = (
      try Output("dumps/bs_tp1pp1_fp16_z1/ckpt"), try Output("layouts/classic_tp2pp2")
    )
    let output = try Network(of: ModelDirectory(reading: one.folder.path.appending("hf")))
    let source = try Network(
      of: ModelDirectory(reading: other.folder.path.appending("hf")))
    #expect(throws: Failure.self) {
      _ = try ForwardCheck(output, source, ids: [1], isExact: true)
    }
    let failure = #expect(throws: Failure.self) {
      _ = try ForwardCheck(
        output, output, ids: Array(repeating: 1, count: 41), isExact: true)
    }
    #expect(failure?.code == .networkPrompt)
  }

  // MARK: Independence

  /// A side that used the rules of the other would share their mistakes.
  @Test func theSideOfTheCheckpointUsesNoRuleOfConversions() throws {
    let sources = FilePath(#filePath).removingLastComponent().removingLastComponent()
      .removingLastComponent().appending("Sources")
    let names = [
      "Inference/Network+Megatron.swift", "Megatron/Elements/RankElements.swift",
      "Inference/Network+Forward.swift",
    ]
    for name in names {
      let text = String(decoding: try bytes(of: sources.appending(name)), as: UTF8.self)
      let words = Set(text.split { !$0.isLetter && !$0.isNumber }.map(String.init))
      for word in [
        "GPT2Rules", "GPT2Config", "GPT2", "GPT2Settings", "RuleTable", "TensorRule",
        "Architecture", "Planner", "Piece", "PartitionMap", "Recognition", "ConversionPlan",
        "TransferPlan", "Transposition", "StridedCopy", "StridedBox", "gather", "transpose",
      ] {
        #expect(!words.contains(word), "\(name) knows \(word)")
      }
      let imports = text.split(separator: "\n").filter { $0.contains("import ") }.map {
        $0.split(separator: " ").last.map(String.init) ?? ""
      }
      #expect(
        Set(imports).isSubset(of: [
          "Architectures", "ByteIO", "Diagnostics", "Megatron", "SystemPackage", "TorchArchive",
        ]), "\(name): \(imports)")
    }
  }
}

extension ForwardCheckTests.Output {
  /// Changes numbers of binary32.
  fileprivate mutating func change(
    _ name: String, _ body: (_ position: Int, _ value: Float) -> Float
  ) throws {
    let old = try #require(tensors[name])
    try #require(old.dtype == .f32)
    let new = FloatFormat.float32.floats(old.bytes).enumerated().flatMap { position, value in
      little(Int(body(position, value).bitPattern), 4)
    }
    tensors[name] = SafetensorsFile.NewTensor(old.name, old.dtype, old.shape, new)
  }

  fileprivate mutating func scale(_ name: String, by factor: Float) throws {
    try change(name) { $1 * factor }
  }

  fileprivate mutating func shift(_ name: String, _ some: Range<Int>, by summand: Float) throws {
    try change(name) { some.contains($0) ? $1 + summand : $1 }
  }

  fileprivate mutating func nudge(_ name: String) throws {
    try change(name) { $0 == 100 ? $1 + 0.001 : $1 }
  }
}
