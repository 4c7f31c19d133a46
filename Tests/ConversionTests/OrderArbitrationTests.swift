import Architectures
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Inference

/// A small trained model, stamped as it is and twice otherwise (`Tests/Fixtures/arbitration`).
@Suite struct OrderArbitrationTests {
  private func arbitrate(
    _ dump: FilePath, _ tokens: FilePath, evidence: QKVOrder? = .heads3HN, maximum: Int = 65_536
  ) throws -> OrderArbitration {
    let checkpoint = try index(dump)
    let texts = try TokenFile(tokens).texts
    let losses = try QKVOrder.allCases.map { order in
      let network = try Network(of: checkpoint, order: order)
      return (order, try TextLoss(of: texts, by: network, maximum: maximum))
    }
    return OrderArbitration(losses, evidence: evidence, vocabulary: 256)
  }

  private let tokens = fixture("arbitration/tokens.json")

  @Test func aTrainedModelTellsTheOrderItWasTrainedIn() throws {
    let cases: [(String, QKVOrder, OrderArbitration.Verdict)] = [
      ("honest", .heads3HN, .confirmed), ("misstamped_thirds", .thirds, .wrong),
      ("misstamped_hn3", .headsHN3, .wrong),
    ]
    for (dump, best, verdict) in cases {
      let result = try arbitrate(fixture("arbitration/\(dump)"), tokens)
      #expect(result.best == best && result.verdict == verdict, "\(dump): \(result.words)")
      let lowest = try #require(result.losses.first { $0.order == best }).loss
      #expect(abs(lowest.padded - 2.04119) < 1e-5 && lowest.predictions == 254)
      #expect((result.failure(file: "x")?.code == .qkvRefuted) == (verdict == .wrong))
      let silent = OrderArbitration(result.losses, evidence: nil, vocabulary: 256)
      #expect(silent.verdict == .silent && silent.failure(file: "x")?.code == .qkvAmbiguous)
      #expect(
        silent.failure(file: "x")?.hint?.contains("--qkv-layout \(best.rawValue)") == true)
    }
  }

  @Test func tooFewTokensDoNotTell() throws {
    let result = try arbitrate(fixture("arbitration/misstamped_thirds"), tokens, maximum: 249)
    #expect(result.verdict == .doesNotTell && result.failure(file: "x") == nil)
  }

  // Their lowest loss is that of a wrong order in most of them.
  @Test(arguments: ["bs_tp2pp2dp1_fp32_z1", "mlm_d763_tp2_fp32_ckptv1", "ds_tp2pp2dp2_fp16_z1"])
  func modelsThatHaveLearntNothingDoNotTell(dump: String) throws {
    let folder = try TemporaryFolder()
    let ids = (0..<10).map { text in
      "[" + (0..<40).map { "\(($0 * 37 + text * 11) % 501)" }.joined(separator: ",") + "]"
    }
    let path = try folder.write("t.json", Array("[\(ids.joined(separator: ","))]".utf8))
    let result = try arbitrate(fixture("dumps/\(dump)/ckpt"), path)
    #expect(result.verdict == .doesNotTell, "\(result.words)")
    #expect(result.losses.allSatisfy { $0.loss.predictions == 390 })
  }

  @Test func ordersThatAreTheSameAreBothRight() {
    func loss(_ value: Double) -> TextLoss {
      TextLoss(padded: value, trimmed: value, perWindow: [value], predictions: 300, length: 300)
    }
    let losses: [(order: QKVOrder, loss: TextLoss)] = [
      (.heads3HN, loss(2)), (.headsHN3, loss(4)), (.thirds, loss(2)),
    ]
    for order in [QKVOrder.heads3HN, .thirds] {
      let result = OrderArbitration(losses, evidence: order, vocabulary: 256)
      #expect(result.verdict == .confirmed && result.best == order)
      #expect(result.alike == [.heads3HN, .thirds])
    }
    #expect(OrderArbitration(losses, evidence: .headsHN3, vocabulary: 256).verdict == .wrong)
    // One nat below a model that has learnt nothing, and a quarter between the best two.
    #expect(OrderArbitration(losses, evidence: .thirds, vocabulary: 20).verdict == .doesNotTell)
    let close = [(QKVOrder.heads3HN, loss(2)), (.headsHN3, loss(2.24)), (.thirds, loss(3))]
    #expect(OrderArbitration(close, evidence: .thirds, vocabulary: 256).verdict == .doesNotTell)
  }
}
