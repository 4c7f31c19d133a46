import ByteIO
import Conversion
import Diagnostics
import JSON
import SystemPackage

/// What is said to words that are not a valid command line: what was probably meant.
enum FrontDoor {
  /// The machine that this program was built for.
  static var target: String {
    #if arch(x86_64)
    "linux x86-64"
    #elseif arch(arm64)
    "linux arm64"
    #else
    "linux"
    #endif
  }

  /// The version, the machine that this was built for, and what of the processor is used.
  static var version: String {
    let sets = Processor.instructionSets
    return "\(toolVersion) (\(target)\(sets.isEmpty ? "" : "; \(sets.joined(separator: ", "))"))"
  }

  /// The same for programs.
  static var versionJSON: JSONValue {
    [
      "schema": "meg2hf.version/1", "version": .string(toolVersion), "target": .string(target),
      "instruction_sets": .array(Processor.instructionSets.map { .string($0) }),
    ]
  }

  /// The beginning of a help text: what the command does, examples, usage and arguments, without
  /// options.
  static func brief(_ help: String) -> String {
    let lines = help.split(separator: "\n", omittingEmptySubsequences: false)
    let known = ["OVERVIEW", "EXAMPLES", "EXIT STATUS", "USAGE", "ARGUMENTS", "SUBCOMMANDS"]
    let options = lines.firstIndex { line in
      line.hasSuffix(":") && !line.hasPrefix(" ") && !known.contains { line.hasPrefix($0) }
    }
    let text = lines[..<(options ?? lines.endIndex)].joined(separator: "\n")
    return text + (options == nil ? "" : "\nOPTIONS: shown by --help\n")
  }

  /// Words of other tools for ours.
  static func translated(_ words: [String]) -> [String] {
    switch words {
    case ["version"], ["-V"]: ["--version"]
    default: words
    }
  }

  /// Why the first word is not a command, and which one was probably meant; `nil` when it is one.
  static func refusal(_ words: [String], commands: [String]) -> Failure? {
    guard let first = words.first, !first.hasPrefix("-") else { return nil }
    let known = commands + ["help", "version"]
    if first == "help", let second = words.dropFirst().first, !second.hasPrefix("-"),
      !commands.contains(second)
    {
      return unknown(second, commands)
    }
    guard !known.contains(first) else { return nil }
    let paths = words.filter { !$0.hasPrefix("-") }
    guard FileSystem.exists(FilePath(first)) || first.contains("/") else {
      return unknown(first, known)
    }
    return Failure(
      .usageCommand, "\"\(first)\" is not a command",
      hint: paths.count == 2
        ? "to convert it: meg2hf convert \(words.joined(separator: " "))"
        : "to look at it: meg2hf inspect \(first)")
  }

  private static func unknown(_ word: String, _ commands: [String]) -> Failure {
    Failure(
      .usageCommand, "there is no command \"\(word)\"",
      hint: (Spelling.nearest(to: word, in: commands)
        ?? commands.first { word.count > 1 && $0.hasPrefix(word) })
        .map { "did you mean \($0)?" }
        ?? "the commands are \(commands.joined(separator: ", "))")
  }

  /// Flags that other tools have, and what does it here.
  // swift-format-ignore
  private static let habits: [String: String] = [
    "--force":       "--overwrite replaces an earlier output",
    "-f":            "--overwrite replaces an earlier output",
    "--yes":         "nothing is asked; --overwrite replaces an earlier output",
    "--dry-run":     "meg2hf plan shows what would be written",
    "-n":            "meg2hf plan shows what would be written",
    "--fp16":        "--dtype float16",
    "--bf16":        "--dtype bfloat16",
    "--fp32":        "--dtype float32",
    "--precision":   "--dtype float16, bfloat16 or float32",
    "--input":       "the checkpoint is the first argument: meg2hf convert CHECKPOINT OUTPUT",
    "-i":            "the checkpoint is the first argument: meg2hf convert CHECKPOINT OUTPUT",
    "--checkpoint":  "the checkpoint is the first argument: meg2hf convert CHECKPOINT OUTPUT",
    "--step":        "--iteration names a step, --tag its folder",
    "--threads":     "--jobs",
    "--num-workers": "--jobs",
    "--heads":       "--set num_attention_heads=N",
    "--num-heads":   "--set num_attention_heads=N",
    "--num-attention-heads": "--set num_attention_heads=N",
    "--vocab":       "--vocab-file and --merge-file, or --tokenizer DIR",
    "--merges":      "--merge-file",
    "--silent":      "--quiet",
    "--debug":       "--verbose",
    "--no-check":    "--check none",
    "--input_folder": "the checkpoint is the first argument: meg2hf convert CHECKPOINT OUTPUT",
    "--load-dir":    "the checkpoint is the first argument: meg2hf convert CHECKPOINT OUTPUT",
    "--output_folder": "OUTPUT is the second argument: meg2hf convert CHECKPOINT OUTPUT",
    "--save-dir":    "OUTPUT is the second argument: meg2hf convert CHECKPOINT OUTPUT",
    "--output":      "OUTPUT is the second argument: meg2hf convert CHECKPOINT OUTPUT",
    "-o":            "OUTPUT is the second argument: meg2hf convert CHECKPOINT OUTPUT",
    "--target_tp":   "the output is one model: leave it out",
    "--target_pp":   "the output is one model: leave it out",
    "--tp":          "the degrees of parallelism are read from the checkpoint",
    "--pp":          "the degrees of parallelism are read from the checkpoint",
  ]

  /// An error of the parser in the voice of all others.
  static func usage(_ message: String, _ words: [String], commands: [String]) -> Failure {
    let lines = message.split(separator: "\n")
    var text = lines.first.map(String.init) ?? message
    // The values that an option can have follow on lines of their own.
    if let end = text.range(of: ". Please provide one of") {
      let values = lines.dropFirst().map { $0.drop { " -".contains($0) } }
      text = text[..<end.lowerBound] + "; expected: \(values.joined(separator: ", "))"
    }
    if text.contains("expected argument '<"),
      let name = text.split(separator: "'").dropFirst().first
    {
      text = "\(name.filter { $0 != "<" && $0 != ">" }.uppercased()) is missing"
    }
    // An option that is misspelt is told by what follows it as much as by itself.
    if !text.lowercased().contains("unknown option"),
      let word = words.first(where: { isMisspelt($0) })
    {
      text = "unknown option '\(word)'"
    }
    // Its own guesses go by letters alone.
    if let guess = text.range(of: ". Did you mean") { text = String(text[..<guess.lowerBound]) }
    while text.hasSuffix(".") { text.removeLast() }
    for front in ["Error: ", "error: "] where text.hasPrefix(front) {
      text.removeFirst(front.count)
    }
    // "OUTPUT is missing" stays as it is.
    if text.dropFirst().first?.isLowercase == true || text.dropFirst().first == " " {
      text = text.prefix(1).lowercased() + text.dropFirst()
    }
    let command = words.first { commands.contains($0) }
    var hint = "meg2hf \(command.map { "\($0) " } ?? "")--help"
    if text.contains("nexpected argument") {
      hint = "one file or folder at a time; a folder is read with all files in it"
    }
    if let word = unknownOption(in: text) {
      let flag = String(word.prefix { $0 != "=" })
      if let advice = habits[flag] {
        hint = advice
      } else if let near = Spelling.nearest(to: flag, in: flags) {
        hint = "did you mean \(near)?"
      }
    }
    return Failure(.usageArguments, text, hint: hint)
  }

  private static func isMisspelt(_ word: String) -> Bool {
    let flag = String(word.prefix { $0 != "=" })
    return word.hasPrefix("--") && word.count > 2 && !flags.contains(flag)
      && (habits[flag] != nil || Spelling.nearest(to: flag, in: flags) != nil)
  }

  private static func unknownOption(in text: String) -> Substring? {
    guard text.hasPrefix("unknown option") else { return nil }
    return text.split(separator: "'").dropFirst().first
  }

  // swift-format-ignore
  private static let flags = [
    "--accept-duplicated-shards", "--against", "--all", "--card-header", "--check", "--color",
    "--columns", "--config", "--copy-logs", "--crc", "--decode", "--draw", "--dtype", "--file",
    "--finish", "--forward", "--help", "--ids", "--index", "--iteration", "--jobs", "--json",
    "--json-lines", "--keep-padding", "--keep-special", "--key-style", "--layout", "--length",
    "--limits", "--max-new-tokens", "--max-shard-size", "--max-tokens", "--memory", "--merge-file",
    "--merged-ranks", "--no-resume", "--no-stop", "--of", "--output", "--overwrite", "--part",
    "--points", "--progress", "--prove", "--qkv-layout", "--quiet", "--replicas", "--sample",
    "--script-args", "--script-env", "--set", "--sha256", "--sort", "--status", "--stop",
    "--strict", "--stride", "--tag", "--tensors", "--text", "--token-type", "--tokenizer",
    "--tokens", "--top", "--training-logs", "--training-script", "--verbose", "--version",
    "--vocab-file", "--vocab-size", "--vocabulary", "--weights",
  ]
}

extension String {
  /// The first place where a text stands in this one.
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
