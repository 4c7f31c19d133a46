import Diagnostics
import JSON
import LaunchScript
import SystemPackage
import TestSupport
import Testing

@Suite struct LaunchScriptTests {
  static let samples = [
    "1_slurm_single_quotes", "2_slurm_double_quotes", "3_conditions_eval", "4_arrays_defaults",
    "5_functions_loops", "6_resubmit_wrapper", "7_unknown_values", "8_argparse_corners",
    "9_disagrees",
  ]

  private func expected(_ sample: String) throws -> JSONObject {
    let path = fixture("launch/\(sample)/expected.json")
    return try #require(try JSONFile.read(path).object)
  }

  private func check(
    _ script: LaunchScript, _ wanted: JSONValue?, _ name: String,
    isAlone: Bool = true
  ) throws {
    let wanted = try #require(wanted?.object)
    #expect(script.ways == wanted["ways_through"]?.int, "\(name)")
    #expect(script.conditions == wanted["conditions"]?.array?.compactMap(\.string), "\(name)")
    var exact = JSONObject()
    var open = JSONObject()
    for option in script.options.sorted(by: { $0.name < $1.name }) {
      if let values = option.values {
        exact[option.name] = .array(values.map { .string($0) })
      } else {
        open[option.name] = .null
      }
    }
    let names = wanted["not_exact"]?.object?.members.map(\.key) ?? []
    #expect(.object(exact) == wanted["exact"], "\(name)")
    #expect(open.members.map(\.key) == names.sorted(), "\(name)")
    #expect(
      script.mayBeOptions == wanted["words_that_may_be_options"]?.array?.compactMap(\.string),
      "\(name)")
    // Arguments that were given are known, those that are missing, too.
    let assumed = wanted["assumed"]?.array?.compactMap(\.string) ?? []
    #expect(
      script.assumptions.sorted().filter { !$0.contains("repeat") }
        == assumed.filter { isAlone || $0.first?.isNumber == false }, "\(name)")
  }

  @Test(arguments: samples) func whatBashPassesOnIsFound(sample: String) throws {
    let expected = try expected(sample)
    let path = fixture("launch/\(sample)/\(expected["script"]?.string ?? "")")
    try check(LaunchScript(path), expected["reader_alone"], sample)
    let bash = try #require(expected["bash"]?.object)
    var environment: [String: String] = [:]
    for member in bash["env"]?.object?.members ?? [] {
      environment[member.key] = member.value.string
    }
    let arguments = bash["args"]?.array?.compactMap(\.string) ?? []
    let given = try LaunchScript(path, arguments: arguments, environment: environment)
    try check(given, expected["reader_given_args_and_env"], "\(sample), given all", isAlone: false)
  }

  private func known(_ script: LaunchScript) -> [String: [String]] {
    Dictionary(
      script.options.compactMap { option in option.values.map { (option.name, $0) } },
      uniquingKeysWith: { a, _ in a })
  }

  private func script(_ text: String, _ arguments: [String]? = nil) throws -> LaunchScript {
    try LaunchScript(Array(text.utf8), arguments: arguments)
  }

  private func hostile(_ name: String) throws -> LaunchScript {
    try LaunchScript(fixture("launch/hostile/\(name).sh"))
  }

  @Test(arguments: ["canary", "doubling", "endless", "fork", "many_ways", "self"])
  func aHostileScriptIsReadSoonAndWhatItPassesOnIsFound(name: String) throws {
    var found: LaunchScript?
    let seconds = try ContinuousClock().measure { found = try hostile(name) }
    // Much less without the checks of a debug build.
    #expect(seconds < .seconds(5))
    let script = try #require(found)
    let values = known(script)
    #expect(values["num-layers"] == ["24"])
    #expect(values["hidden-size"] == ["1024"])
    #expect(values["num-attention-heads"] == ["16"])
    for open in ["seed", "note", "a", "b"] { #expect(values[open] == nil) }
  }

  @Test(arguments: ["deep", "deep_if", "crlf", "broken", "not_a_script"])
  func whatIsNoScriptIsAnErrorWithItsLine(name: String) throws {
    let error = #expect(throws: Failure.self) { try hostile(name) }
    #expect(error?.code.kind == .malformed)
    #expect(name == "not_a_script" || error?.message.contains("line 1") == true)
  }

  @Test func scriptsThatAreSubmittedAreNamed() throws {
    let script = try hostile("no_launch")
    #expect(script.launches.isEmpty)
    #expect(script.submitted == ["train_1.slurm", "train_2.slurm"])
  }

  @Test func aVariableThatIsNotExportedIsNotSeenByAnotherShell() throws {
    let inner = "bash -c 'python train.py --num-layers $N --hidden-size $H'"
    let values = known(try script("N=4; export H=8\n\(inner)\n"))
    #expect(values == ["hidden-size": ["8"]])
    #expect(known(try script("set -a\nN=4; H=8\n\(inner)\n"))["num-layers"] == ["4"])
  }

  @Test func anOptionBeforeAnUnknownWordIsAssumed() throws {
    let script = try script("python train.py --num-layers 4 $MORE --hidden-size 8\n")
    #expect(script.mayBeOptions == ["<environment variable MORE>"])
    let assumed = script.options.filter { !$0.assumptions.isEmpty }.map(\.name)
    #expect(assumed == ["num-layers"])
  }

  @Test func aFileThatWasSourcedMayHaveChangedWhatWasSetBefore() throws {
    let script = try script(
      "N=4\n. env.sh\nH=8\npython train.py --num-layers $N --hidden-size $H\n")
    #expect(script.options.map { $0.assumptions.isEmpty } == [false, true])
    #expect(script.assumptions == ["env.sh does not change what was set before"])
  }

  @Test func aJSONThatTheScriptWritesIsKept() throws {
    let script = try script(
      "S=1\nF=ds.json\ncat <<EOT > $F\n{\"zero_optimization\": {\"stage\": $S}}\nEOT\n"
        + "deepspeed train.py --num-layers 4 --deepspeed_config $F\n")
    #expect(
      script.launches.first?.deepSpeedConfiguration == "{\"zero_optimization\": {\"stage\": 1}}\n")
  }

  @Test func everyPrefixAndEveryFlippedBitOfAScriptGivesAValueOrAnError() throws {
    let text = try bytes(of: fixture("launch/8_argparse_corners/go.sh"))
    withEveryDamage(text) { damaged in _ = try? LaunchScript(damaged) }
  }
}
