import Architectures
import TestSupport
import Testing

@testable import Conversion
@testable import Megatron

/// The settings of GPT-NeoX: how they are read, and what follows from them.
@Suite struct SettingsTextTests {
  private func values(_ text: String) throws -> [String: ArgumentValue] {
    try SettingsText(Array(text.utf8), named: "run.yml").values
  }

  @Test(
    arguments: [
      (#"{ "rotary_pct": 0.25, }"#, "rotary_pct", ArgumentValue.double(0.25)),
      ("{'norm': 'rmsnorm'}", "norm", .string("rmsnorm")),
      ("{\n  # so far\n  \"a\": 1, # one\n  \"b\": true\n}\n", "b", .bool(true)),
      ("---\nhidden-size: 2048   # wide\nno_weight_tying: True\n", "hidden_size", .int(2048)),
      ("norm: layernorm\r\nseq: 3\r\n", "norm", .string("layernorm")),
      ("a: null\n", "a", .none), ("a: 1e-5\n", "a", .double(1e-5)),
      ("a: \"x # y\"\n", "a", .string("x # y")),
      (#"{"c": [[["global"], 4]]}"#, "c", .list([.list([.list([.string("global")]), .int(4)])])),
      ("o:\n  type: Adam\n  params:\n    lr: 1\nb: 2\n", "b", .int(2)),
      (#"{"o": {"params": {"lr": 1}}, "b": 2}"#, "b", .int(2)),
      ("\"quoted\": \"1\"\n", "quoted", .string("1")),
    ])
  func aSettingIsRead(text: String, name: String, value: ArgumentValue) throws {
    #expect(try values(text)[name] == value)
  }

  @Test func whatIsNestedIsNoSetting() throws {
    #expect(try values("o:\n  lr: 1\nb: 2\n").keys.sorted() == ["b"])
    #expect(try values(#"{"o": {"lr": 1}, "b": 2}"#).keys.sorted() == ["b"])
  }

  @Test(
    arguments: [
      "{", "{\"a\"", "{\"a\": [1", "a\n", "\"a\": \"b\n", "- a\n", "{\"a\": {\"b\"}}",
      "a: " + String(repeating: "[", count: 40),
    ])
  func whatIsNotYAMLOfThisKindIsRefusedWithItsLine(text: String) {
    #expect(failure { _ = try values(text) } == "64 arguments/config")
  }

  @Test func anErrorQuotesWhatItFound() {
    let refusal = #expect(throws: Failure.self) { try values("pos_emb: rotary\n- x\n") }
    #expect(refusal?.message.hasPrefix("\"- x\" at line 2") == true)
  }

  @Test func everyPrefixAndEveryFlippedBitGivesSettingsOrAnError() throws {
    let text = Array(
      "{\n \"pos_emb\": \"rotary\", # x\n 'c': [[[\"global\"], 4]],\n n: {a: 1}, d: .5,\n}\n".utf8)
    for count in 0...text.count {
      _ = try? SettingsText(Array(text.prefix(count)), named: "run.yml")
    }
    for bit in 0..<text.count * 8 {
      var changed = text
      changed[bit / 8] ^= 1 << (bit % 8)
      _ = try? SettingsText(changed, named: "run.yml")
    }
  }

  // MARK: - What follows from them

  private func withoutSettings(_ folder: TemporaryFolder) throws {
    let dump = "dumps/neox_tp2pp1_fp16_z1/ckpt/global_step10"
    for name in try contents(fixture(dump)) where name.hasSuffix(".pt") && !name.contains("zero") {
      try copy(fixture("\(dump)/\(name)"), to: folder.path.appending(name), in: "step/\(name)")
    }
  }

  /// Nothing in the tensors tells parallel from serial, nor which part of a head is turned.
  @Test func aGPTNeoXWithoutItsSettingsIsNotGuessed() throws {
    let folder = try TemporaryFolder()
    try withoutSettings(folder)
    let code = failure {
      _ = try Planner.plan(try index(folder.path.appending("step")))
    }
    #expect(code == "78 arguments/settings")
  }

  @Test(
    arguments: [
      ("gpt_j_residual=false", "use_parallel_residual", "false"),
      ("rotary_pct=0.5", "rotary_pct", "0.5"), ("rotary_emb_base=5000", "rotary_emb_base", "5000"),
    ])
  func aSettingOfTheUserWins(setting: String, field: String, value: String) throws {
    let checkpoint = try index(fixture("dumps/neox_tp2pp1_fp16_z1/ckpt"), [setting])
    let found = try Planner.plan(checkpoint).configuration.config[field]
    #expect(found.map { "\($0)" }?.contains(value) == true, "\(String(describing: found))")
  }

  @Test(
    arguments: [
      ("pos_emb=alibi", "69 model/positions"), ("soft_prompt_tuning=true", "69 model/attention"),
      ("train_impl=rm", "69 model/layers"), ("num_kv_heads=2", "69 model/grouped-query"),
      ("use_qk_layernorm=true", "69 model/query-norm"),
      ("attention_config=[[['local'], 4]]", "69 model/attention"),
    ])
  func whatTransformersGPTNeoXDoesNotHaveIsRefused(setting: String, code: String) throws {
    let checkpoint = try index(fixture("dumps/neox_tp2pp1_fp16_z1/ckpt"), [setting])
    #expect(failure { _ = try Planner.plan(checkpoint) } == code)
  }
}
