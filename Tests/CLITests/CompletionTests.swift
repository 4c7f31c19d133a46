import TestSupport
import Testing

/// The completions that the command prints for the shells.
@Suite struct CompletionTests {
  /// Every option with a fixed set of values, with a command that has it.
  // swift-format-ignore
  private let options: [(command: String, flag: String, values: [String])] = [
    ("convert", "--check",      ["fast", "full", "none"]),
    ("convert", "--crc",        ["auto", "all", "none"]),
    ("convert", "--dtype",      ["auto", "float32", "float16", "bfloat16", "fp32", "fp16", "bf16"]),
    ("convert", "--key-style",  ["transformer", "bare"]),
    ("convert", "--layout",     ["auto", "deepspeed-pipeline", "deepspeed", "deepspeed-zero3",
                                 "universal", "megatron-classic", "megatron-core"]),
    ("convert", "--replicas",   ["mean", "rank0", "strict"]),
    ("convert", "--vocab-size", ["keep", "trim"]),
    ("convert", "--weights",    ["model", "fp32-master"]),
    ("plan",    "--qkv-layout", ["auto", "each", "heads-3-hn", "heads-hn-3", "thirds"]),
    ("batch",   "--color",      ["auto", "always", "never"]),
    ("verify",  "--progress",   ["auto", "bar", "plain", "none"]),
    ("inspect", "--columns",    ["dtype", "shape", "per-rank", "hf-name", "hf-shape", "bytes",
                                 "rank", "stage", "file", "sha256"]),
    ("inspect", "--sort",       ["file", "name", "size"]),
    ("generate", "--memory",    ["all", "none"]),
    ("loss",    "--token-type", ["json", "uint16", "int32"]),
  ]

  private func script(_ shell: String) throws -> String {
    let run = try meg2hf(["--generate-completion-script", shell])
    #expect(run.status == 0)
    return run.output
  }

  @Test func theTableAboveHasEveryOptionWithValues() throws {
    let text = try script("fish")
    let listed = Set(text.matches(of: /-l '([a-z-]+)' -d .* -rfka '[a-z]/).map { "--\($0.1)" })
    #expect(listed.sorted() == Set(options.map(\.flag)).sorted())
  }

  @Test func bashOffersEveryValue() throws {
    let ask = """
      source <("$1" --generate-completion-script bash)
      offer() {
        COMP_WORDS=(meg2hf "$1" "$2" "") COMP_CWORD=3 COMP_LINE="meg2hf $1 $2 "
        COMP_POINT=${#COMP_LINE} COMPREPLY=()
        _meg2hf meg2hf "" "$2"
        local words=("${COMPREPLY[@]% }")
        echo "$1 $2 ${words[*]}"
      }
      shift
      while [ $# -gt 0 ]; do offer "$1" "$2"; shift 2; done
      """
    let run = try meg2hf(
      [ask] + options.flatMap { [$0.command, $0.flag] },
      shell: #"program="$1"; code="$2"; shift 2; exec bash -c "$code" bash "$program" "$@""#)
    let offered = run.output.split(separator: "\n").map(String.init)
    let expected = options.map { ([$0.command, $0.flag] + $0.values).joined(separator: " ") }
    #expect(offered == expected, "\(run.errors)")
  }

  @Test func zshOffersEveryValue() throws {
    let text = try script("zsh")
    for option in options {
      let name = String(option.flag.dropFirst(2).map { $0 == "-" ? "_" : $0 })
      let values = option.values.map { "'\($0)'" }.joined(separator: " ")
      let function = try #require(text.components(after: "_meg2hf_\(option.command)() {"))
      #expect(function.contains("local -ar ___\(name)=(\(values))\n"), "\(option)")
      let use = try #require(function.components(after: "'\(option.flag)["))
      #expect(use.prefix { $0 != "\n" }.contains("\"${___\(name)[@]}\""), "\(option)")
    }
  }

  @Test func fishOffersEveryValue() throws {
    let lines = try script("fish").split(separator: "\n")
    for option in options {
      let line = try #require(
        lines.first {
          $0.contains("\"meg2hf \(option.command)\"")
            && $0.contains("-l '\(option.flag.dropFirst(2))' ")
        })
      #expect(line.hasSuffix("-rfka '\(option.values.joined(separator: " "))'"), "\(option)")
    }
  }
}

extension StringProtocol {
  /// What follows the first place where `text` stands.
  fileprivate func components(after text: String) -> Substring? {
    var rest = Substring(self)
    while !rest.isEmpty {
      if rest.hasPrefix(text) { return rest.dropFirst(text.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
