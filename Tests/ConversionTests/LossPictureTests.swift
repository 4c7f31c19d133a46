import EventLog
import SystemPackage
import TestSupport
import Testing

@testable import Conversion

@Suite struct LossPictureTests {
  private func curves(_ name: String, at step: Int?) throws -> TrainingCurves {
    let logs = try EventLogs(fixture("logs/\(name)"))
    let run = try #require(logs.joined ?? logs.runs.first)
    return try #require(TrainingCurves(run) { _ in step })
  }

  /// All attributes that hold a drawing, without those of axes and texts.
  private func shapes(_ svg: String) -> Set<String> {
    Set(
      svg.matches(of: /<(?:path class="[lrdn][^>]*|circle class="v"[^>]*)/).map { match in
        match.0.matches(of: /(d|cx|cy|r)="([^"]*)"/).map { "\($0.1)=\($0.2)" }.joined(
          separator: " ")
      })
  }

  @Test(arguments: [("restarts", 40), ("for_bs_tp2pp2dp1_bf16", 10)])
  func theDrawingIsThatOfTheReference(name: String, step: Int) throws {
    let drawn = shapes(LossPicture(try curves(name, at: step)).svg)
    let reference = shapes(
      String(decoding: try bytes(of: fixture("records/\(name).svg")), as: UTF8.self))
    #expect(reference.count > 5)
    #expect(drawn == reference)
  }

  @Test func theSameCurvesGiveTheSameBytes() throws {
    let first = LossPicture(try curves("restarts", at: 40))
    let second = LossPicture(try curves("restarts", at: 40))
    #expect(first.svg == second.svg && first.png == second.png)
    #expect(first.png.count < 60_000)
  }

  @Test func aRunThatWentBackForGoodKeepsThePartThatLedToTheCheckpoint() throws {
    let curves = try curves("rewound", at: 40)
    #expect(curves.mark == 40)
    #expect(curves.wentBack == (curves.loss.last?.step == 40))
    #expect(curves.rows(batch: nil, length: nil).count <= 11)
  }

  @Test func aCurveThatEndsBeforeTheCheckpointHasNoMark() throws {
    let curves = try curves("restarts", at: 400)
    #expect(curves.mark == nil)
    #expect(curves.warnings.map(\.code.name) == ["logs/short"])
  }

  @Test(arguments: ["clean_2020", "clean_megatron", "deepspeed_monitor", "jobs_in_folders"])
  func everyTrainersCurvesAreFound(name: String) throws {
    let curves = try curves(name, at: nil)
    #expect(curves.loss.count > 10 && !curves.learningRate.isEmpty)
    // DeepSpeed's monitor has a validation only where the trainer asks for it.
    #expect(curves.validation.isEmpty == (name == "deepspeed_monitor"))
    #expect(curves.rows(batch: 8, length: 24).count == 11)
  }
}
