extension LaunchScript {
  /// A command that starts a training, with the options that it passes on.
  public struct Launch: Hashable, Sendable {
    /// One option: the last one of its name.
    public struct Option: Hashable, Sendable {
      /// Without the dashes, and with a dash for each underscore.
      public let name: String
      /// What follows it; in angle brackets, what is not known.
      public internal(set) var values: [String]
      /// Whether all of the values are known.
      public internal(set) var isKnown: Bool
      /// What has to be true so that these are the values.
      public internal(set) var assumptions: [String]
    }

    /// The line of the command.
    public let line: Int
    /// The words before the program: `srun`, `python`, a wrapper.
    public let launcher: [String]
    /// The program, as a rule a Python file.
    public let program: String
    /// Each name once, in the order in which they were met first.
    public let options: [Option]
    /// Words that are not known and stand where an option could stand: they may be any options.
    public let mayBeOptions: [String]
    /// The text of the file that `--deepspeed_config` names, where the script writes it, with what
    /// is not known in angle brackets.
    public let deepSpeedConfiguration: String?
  }
}

extension LaunchScript.Launch {
  /// Commands that only show or look at their words.
  private static let others: Set<String> = [
    "echo", "printf", "cat", "sed", "grep", "test", "[", "export", "awk", "sbatch", "qsub", "ls",
    "tee", "cp", "mv", "rm", "vim", "git", "find",
  ]

  /// Options that take no value, so that an unknown word after them is no value of theirs.
  private static let flags: Set<String> = [
    "fp16", "bf16", "deepspeed", "checkpoint-activations", "recompute-activations",
    "deepspeed-activation-checkpointing", "sequence-parallel", "swiglu", "use-flash-attn",
    "use-distributed-optimizer", "embed-layernorm", "openai-gelu", "onnx-safe", "finetune",
    "untie-embeddings-and-output-weights", "use-rotary-position-embeddings", "disable-bias-linear",
    "override-lr-scheduler", "log-validation-ppl-to-tensorboard", "use-mcore-models",
    "use-cpu-initialization",
  ]

  /// The launch that expanded words are; `nil` if they are none.
  init?(_ fields: [ShellField], line: Int, state: ShellState, machine: ShellMachine) {
    let first = fields.first?.text ?? ""
    guard !Self.others.contains(first) else { return nil }
    func isTrainer(_ text: String) -> Bool {
      guard text.hasSuffix(".py") else { return false }
      let name = text.split(separator: "/").last.map(String.init)?.lowercased() ?? ""
      return name.contains("train") || name.contains("finetune")
    }
    func isShape(_ text: String) -> Bool {
      ["--num-layers", "--hidden-size"].contains { text == $0 || text.hasPrefix($0 + "=") }
    }
    let trainer = fields.firstIndex { isTrainer($0.text) }
    guard trainer != nil || fields.contains(where: { isShape($0.text) }) else { return nil }
    let program =
      trainer ?? fields.lastIndex { $0.text.hasSuffix(".py") }
      ?? max(0, (fields.firstIndex { $0.text.hasPrefix("-") } ?? 1) - 1)
    self.line = line
    launcher = fields[..<program].map { machine.shown($0.text) }
    self.program = machine.shown(fields[program].text)
    var (found, order): ([String: Option], [String]) = ([:], [])
    var (unknownWords, current): ([String], String?) = ([], nil)
    for field in fields[(program + 1)...] {
      let text = field.text
      if let (name, value) = Self.option(text) {
        current = name
        if found[name] == nil { order.append(name) }
        found[name] = Option(name: name, values: [], isKnown: true, assumptions: [])
        if let value {
          Self.add(ShellField(text: value, assumptions: field.assumptions), &found[name], machine)
        }
        if !field.assumptions.isEmpty { found[name]?.assumptions = field.assumptions.sorted() }
        continue
      }
      let takesOne = current.map {
        !Self.flags.contains($0) && !$0.hasPrefix("no-") && found[$0]?.values.isEmpty == true
      }
      if text.isUnknown, field.isOpen || !field.isQuoted, takesOne != true {
        let word = machine.shown(text)
        unknownWords.append(word)
        let assumption = machine.assume("\(word) does not repeat the options before it")
        for name in order { found[name]?.assumptions.append(assumption) }
      } else if let current {
        Self.add(field, &found[current], machine)
      }
    }
    let general = state.assumptions.sorted()
    options = order.compactMap { name in
      guard var option = found[name] else { return nil }
      option.assumptions = Array(Set(option.assumptions + general)).sorted()
      return option
    }
    mayBeOptions = unknownWords
    let place = fields[(program + 1)...].firstIndex {
      Self.option($0.text)?.name == "deepspeed-config"
    }
    var path = place.flatMap { Self.option(fields[$0].text)?.value }
    if path == nil, let place, place + 1 < fields.count { path = fields[place + 1].text }
    deepSpeedConfiguration = path.flatMap { state.files[$0] }.map(machine.shown)
  }

  private static func add(_ field: ShellField, _ option: inout Option?, _ machine: ShellMachine) {
    option?.values.append(machine.shown(field.text))
    if field.text.hasUnknown { option?.isKnown = false }
    option?.assumptions += field.assumptions.sorted()
  }

  /// The name of an option, and its value after `=`; `nil` for a word that is a value, as Python's
  /// argparse takes it.
  private static func option(_ text: String) -> (name: String, value: String?)? {
    guard text.hasPrefix("-"), text.count > 1, !text.contains(" ") else { return nil }
    // Numbers are values.
    if Double(text.filter { $0 != "_" }) != nil { return nil }
    let bare = text.drop { $0 == "-" }
    let name = bare.prefix { $0 != "=" }
    guard !name.isEmpty, !String(name).hasUnknown,
      name.unicodeScalars.allSatisfy({ ShellParser.isName($0) || $0 == "-" || $0 == "." })
    else { return nil }
    let dashed = String(name.map { $0 == "_" ? "-" : $0 })
    return (dashed, name.count < bare.count ? String(bare.dropFirst(name.count + 1)) : nil)
  }
}
