import Foundation
import LaunchScript
import SystemPackage
import TestSupport
import Testing

/// What bash itself passes on to a stub, beside what is read: what is called known must be that.
@Suite struct BashTests {
  /// Lines before a launch that passes on `$A`, `"$B"` and `"${C[@]}"`.
  static let scripts = [
    "A='one two'; B=\"it's\"; C=(1 '2 3' 4)",
    "A=$((2 ** 10 + 7 / 2 - 3 % 2)); B=$(( 5 > 3 ? 0x1F : 010 )); C=($((1 << 4)) $((~0)))",
    "x=/a/b.tar.gz; A=${x##*/}; B=${x%.*}; C=(${x%%.*} ${x#*/} ${x/b/c} ${x//a/z})",
    "x=abcdef; A=${x:2}; B=${x:1:3}; C=(${x: -2} ${x:0:-1} ${#x})",
    "x=MiXed; A=${x^^}; B=${x,,}; C=(${x^} ${x,})",
    "unset q; A=${q-none}; q=; B=${q:-empty}; C=(\"${q-not}\" ${q:+never} ${q+set})",
    "for i in 1 2 3; do A+=\"$i \"; done; B=$i; C=()",
    "i=0; while [ $i -lt 5 ]; do i=$((i+1)); [ $i = 3 ] && continue; A=\"$A$i\"; done; B=$i",
    "f() { local x=inner; A=$1; B=$x$#; return 3; }; x=outer; f 'a b' c; C=($x)",
    "case abc in a*c) A=1;; *) A=2;; esac; case x in [a-c]) B=no;; [!a-c]) B=yes;; esac",
    "set -- one 'two three' four; A=$2; shift; B=$#; C=(\"$@\")",
    "set -- a b c; A=\"$*\"; C=(\"${@:2}\"); B=${@:1:1}",
    "x='a b'; y=\"$x\"; A=$y; B=$'tab\\there\\x41'; C=(\"$x\" $x)",
    "A=\"back\\slash \\$x \\\" \\a\"; B='single \\n'; C=(a\\ b)",
    "eval \"A=5; B='\\$A'\"; C=($A)",
    "A=1; (A=2; B=3); { B=4; }; C=($A $B)",
    "echo x | A=2; B=${A:-unset}; false && A=3; true || B=5; A=${A-none}",
    "if [[ abc == a* && ! x == y ]]; then A=1; else A=2; fi; [[ 5 -gt 3 || -z x ]] && B=yes",
    "if [ a = b -o c = c ]; then A=1; fi; if test -n ''; then B=1; else B=2; fi",
    "declare -A m=([k]=v [l]=w); A=${m[k]}; B=${#m[@]}; C=(${m[l]})",
    "C=(a b c); C[1]=X; C+=(d); A=${C[-1]}; B=${C[@]:1:2}",
    "let 'A=3*4' B=A+1; (( C0 = B++ )); C=($C0 $B)",
    "declare -i n=3+4; n+=1; A=$n; readonly B=fixed; C=(x$n)",
    "A=a\nB=b # comment\n# C=(no)\nC=(\n  1 # one\n  2\n)",
    "IFS=,; x=1,2,3; C=($x); A=$x; IFS=' '; B=$x",
    "A=\"\"; B=''; C=(\"\" '' x)",
    "read_it() { A=$((A + 1)); [ $A -lt 4 ] && read_it; }; A=0; read_it; B=$A",
    "until (( A >= 3 )); do (( A++ )); done; B=$((A--)); C=($A)",
    "for i in 1 2 3; do for j in 1 2; do [ $j = 2 ] && continue 2; A=$A$i$j; done; done; B=$j",
    "for i in 1 2 3; do if [ $i = 2 ]; then break; fi; A=$i; done; B=$i",
    "x=5; A=$((x > 3 && x < 10)); B=$((x=7, x+1)); C=($x)",
    "x='$y'; y=1; A=$x; eval B=$x; C=(\"${x}\")",
    "A=${A:=first}; B=${A:=second}; : ${C0:=third}; C=($C0)",
    "x=a.b.c; A=${x//./_}; B=${x/#a/z}; C=(${x/%c/y} ${x/./})",
    "x=\"a  b\"; C=($x \"$x\"); A=$x; B=\"${C[*]}\"",
    "A=$(( 1 ? 2 : 1/0 )); B=$(( 0 && 1/0 )); C=($(( 2#101 )) $((16#ff)))",
    "A=1 B=2; A=3 true; C=($A)",
    "x=\"1 2\"; set -- $x; A=$1; B=${2}x; C=(${1}${2})",
    "A=\"a\\\nb\"; B=a\\\nb",
    "cat > /dev/null <<'E'\nA=9\nE\nA=1; B=2",
    "A=10; A=${A}0; B=${A}_x; C=(\"${A}\"{})",
    "function g { A=$FUNC; B=g; }; g; C=(ok)",
    "x=abc; [[ $x = a?c ]] && A=1; [[ $x = \"a?c\" ]] || B=2; p='a*'; [[ $x = $p ]] && C=(3)",
    "A=${undefined_thing:+x}; B=b; C=(${undefined_list[@]})",
    "x=3; case $x in 1|2) A=low;; 3|4) A=mid;& 5) B=fell;; esac; C=(c)",
    "A=$[3+4]; B=$((  (1+2) * 3 )); C=(`:`x)",
    "A=~x; B=\"~\"; C=(a~)",
    "A=x; unset A; B=${A-gone}; C=(1 2 3); unset 'C[1]'",
    "export A=1 B='two words'; typeset C0=3; C=($C0)",
    "A=abc; B=${A%%[bc]*}; C=(${A##*[ab]})",
    "x=-5; A=$((-x)); B=$((!x)); C=($((x % 3)) $((x / 2)))",
    "n=3; A=; while ((n-- > 0)); do A+=$n; done; B=$n",
    "true && { A=1; } || A=2; ! false && B=3; C=($A$B)",
  ]

  /// Lines of every construct that people use, of which each was once read wrongly or could be.
  private static let constructs: [String] = {
    let path = fixture("launch/constructs.txt").string
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    return text.split(separator: "\n%%%\n").map(String.init)
  }()

  @Test(arguments: scripts) func whatIsCalledKnownIsWhatBashPassesOn(script: String) throws {
    // Each element of an array becomes an option of its own.
    let read = try compare("A=; B=; C=()\nunset A B\n\(script)\n")
    let open = read.options.filter { $0.values == nil }.map { "\($0.name): \($0.reason ?? "")" }
    #expect(open.count < 3, "\(open)")
  }

  @Test func whateverIsWrittenNothingIsCalledKnownThatBashDoesNotPassOn() throws {
    #expect(BashTests.constructs.count > 300)
    var known = 0
    for script in BashTests.constructs {
      let read = try compare("unset A B C\n\(script)\n")
      known += read.options.count { $0.values != nil && $0.assumptions.isEmpty }
    }
    // It would be easy to know nothing.
    #expect(known > 600, "\(known)")
  }

  /// Has bash run a script with a stub in the place of Python, and compares what it passes on with
  /// what is read.
  private func compare(_ start: String) throws -> LaunchScript {
    let folder = try TemporaryFolder()
    let text =
      start.contains(".py")
      ? start : start + "python train.py --a $A --b \"$B\" --c \"${C[@]}\" --end\n"
    try folder.write("script.sh", Array(text.utf8))
    let stub =
      "#!/bin/sh\nfor word do printf '%s\\0' \"$word\"; done >>.words\nprintf '\\1' >>.words\n"
    for name in ["python", "torchrun", "deepspeed"] {
      try folder.write("bin/\(name)", Array(stub.utf8))
    }
    try folder.write("bin/srun", Array("#!/bin/sh\nexec \"$@\"\n".utf8))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = [
      "-c",
      "chmod +x bin/*; PATH=$PWD/bin:/usr/bin:/bin exec timeout 10 bash script.sh >/dev/null 2>&1",
    ]
    process.environment = ["HOME": "/nowhere"]
    process.standardInput = FileHandle.nullDevice
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path.string)
    try process.run()
    process.waitUntilExit()
    let read = try LaunchScript(Array(text.utf8), arguments: [])
    let recorded = (try? bytes(of: folder.path.appending(".words"))) ?? []
    let launches = recorded.split(separator: 1)
    // Of several launches each has options of its own.
    guard launches.count == 1 else { return read }
    let words = launches[0].split(separator: 0, omittingEmptySubsequences: false).dropLast()
      .map { String(decoding: $0, as: UTF8.self) }
    var bash: [String: [String]] = [:]
    var name = ""
    for word in words.drop(while: { !$0.hasSuffix(".py") }).dropFirst() {
      let bare = word.drop { $0 == "-" }
      let isOption =
        word.hasPrefix("-") && Double(word) == nil && !word.contains(" ")
        && bare.first?.isLetter == true
      if isOption {
        name = String(bare.prefix { $0 != "=" }).replacingOccurrences(of: "_", with: "-")
        bash[name] = bare.contains("=") ? [String(bare.drop { $0 != "=" }.dropFirst())] : []
      } else {
        bash[name]?.append(word)
      }
    }
    for option in read.options where option.assumptions.isEmpty {
      guard let values = option.values else { continue }
      #expect(values == bash[option.name], "--\(option.name) of\n\(start)")
    }
    return read
  }
}
