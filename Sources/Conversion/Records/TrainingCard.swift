import Architectures
import Diagnostics
import EventLog
import Megatron
import TorchArchive

/// What the records add to the model card: the settings with who said them, the picture, and the
/// table of the loss.
///
/// Cards are published: no path, host or user is in it, whatever the records say.
struct TrainingCard {
  private let records: RunRecords
  let checkpoint: Checkpoint
  private let curves: TrainingCurves?
  private let logs: RecordedArguments?

  init(_ records: RunRecords, _ checkpoint: Checkpoint, _ curves: TrainingCurves?) {
    self.records = records
    self.checkpoint = checkpoint
    self.curves = curves
    logs = records.logArguments(upTo: checkpoint.iteration)
  }

  /// The section.
  var text: String {
    var text = "## Training\n"
    let rows = settings
    if !rows.isEmpty {
      text += "\n| setting | value | from |\n|---|---|---|\n"
      for row in rows {
        text += "| \(row.name) | \(row.text) | \(row.sources.joined(separator: ", ")) |\n"
      }
    }
    if let curves {
      text += "\n![training loss](training_loss.png)\n"
      text += table(curves)
      let notes = notes(curves)
      if !notes.isEmpty { text += "\n" + TrainingCard.wrapped(notes.joined(separator: " ")) }
    }
    return text + "\n" + read + "\n"
  }

  // MARK: - Settings

  private struct Setting {
    let name: String
    let text: String
    let sources: [String]
  }

  /// A piece of a setting: equal pieces mean the same.
  struct Piece {
    var text: String
    let value: ArgumentValue
    var assumptions: [String] = []
    /// Whether a source that does not say it may agree all the same.
    var isOptional = false
    var isKnown = true

    /// What a source has, but not its value.
    static let unknown = Piece(text: "", value: .none, isKnown: false)

    func preceded(by words: String) -> Piece {
      var piece = self
      piece.text = words + text
      return piece
    }

    func followed(by words: String) -> Piece {
      var piece = self
      piece.text += words
      return piece
    }

    func isEqual(_ other: Piece) -> Bool { RecordCheck.equal(value, other.value) }
  }

  /// A setting as one of the sources says it.
  private typealias Version = (source: String, pieces: [Piece], places: [Piece?])

  private var settings: [Setting] {
    let all = ["checkpoint", "logs", "script"]
    // What a checkpoint says of these is what the job that wrote it was told, as the event files
    // and the script do, which say more.
    let told = ["logs", "script"]
    return [
      trainedOn,
      setting("sequence length", all) { [$0("seq_length")] },
      setting("batch", told) { get in
        let ramp = get("rampup_batch_size")
        // Without the ramp-up the size says little.
        guard ramp?.isKnown != false else { return [] }
        return [get("global_batch_size")?.followed(by: " sequences"), TrainingCard.rampUp(get)]
      },
      setting("optimizer", told) { get in
        guard let optimizer = get("optimizer") else { return [] }
        let betas = [get("adam_beta1"), get("adam_beta2")].compactMap { $0 }
        guard betas.count == 2 else { return [optimizer] }
        return [optimizer, betas[0].preceded(by: ", betas "), betas[1].preceded(by: " and ")]
      },
      setting("learning rate", told, TrainingCard.learningRate),
      setting("weight decay", told) { [$0("weight_decay")] },
      setting("gradient clipping", told) { [$0("clip_grad")] },
      setting("dropout", told) { get in
        let (hidden, attention) = (get("hidden_dropout"), get("attention_dropout"))
        guard let hidden else { return [attention?.preceded(by: "of the attention ")] }
        guard let attention else { return [hidden.preceded(by: "of the hidden states ")] }
        return attention.isEqual(hidden)
          ? [hidden] : [hidden, attention.preceded(by: ", of the attention ")]
      },
      setting("initial deviation", all) { [$0("init_method_std")] },
      setting("seed", told) { [$0("seed")] },
      setting("precision", all) { get in
        guard let dtype = get("params_dtype") else { return [] }
        let name = dtype.value.text.split(separator: ".").last.map(String.init) ?? ""
        return [Piece(text: name, value: .string(name), assumptions: dtype.assumptions)]
      },
      setting("parallel", all, TrainingCard.parallel),
      setting("tokenizer", all, TrainingCard.tokenizer),
    ].compactMap { $0 }
  }

  /// Looks at an argument of a source.
  private typealias Get = (String) -> Piece?

  private func setting(
    _ name: String, _ sources: [String], _ pieces: (Get) -> [Piece?]
  ) -> Setting? {
    let versions: [Version] = sources.compactMap { source in
      let found = pieces { self.get($0, from: source) }
      let known = found.compactMap { $0 }.filter { $0.isKnown && !$0.text.isEmpty }
      guard !found.contains(where: { $0?.isKnown == false }) else { return nil }
      // A setting begins with what it is; without that the rest says nothing.
      guard !known.isEmpty, found[0] != nil else { return nil }
      return (source, known, found)
    }
    // The one that is believed most, or one that says the same and more.
    guard let first = versions.first else { return nil }
    let chosen =
      sources.count == 3
      ? first
      : versions.filter { version in
        version.places.count == first.places.count
          && zip(first.places, version.places).allSatisfy { own, other in
            own.map { mine in other.map { mine.isEqual($0) } ?? false } ?? true
          }
      }.max { $0.pieces.count < $1.pieces.count } ?? first
    let needed = chosen.pieces.filter { !$0.isOptional }
    let agreeing = versions.filter { version in
      let pieces = version.pieces.filter { !$0.isOptional }
      return pieces.count == needed.count && zip(pieces, needed).allSatisfy { $0.isEqual($1) }
    }
    var text = chosen.pieces.map(\.text).joined()
    let assumptions = Set(chosen.pieces.flatMap(\.assumptions)).sorted()
    if !assumptions.isEmpty, agreeing.count == 1 {
      text += " (\(assumptions.map(TrainingCard.condition).joined(separator: ", ")))"
    }
    return Setting(name: name, text: text, sources: agreeing.map(\.source))
  }

  func get(_ name: String, from source: String) -> Piece? {
    if source == "checkpoint" {
      return TrainingCard.ofCheckpoint(name, checkpoint).map {
        Piece(text: TrainingCard.escaped($0.text), value: $0)
      }
    }
    let arguments = source == "logs" ? logs : records.script?.arguments
    guard let argument = arguments?.arguments[name] else { return nil }
    guard let value = argument.value else { return Piece.unknown }
    guard value != .none else {
      // Said to be none, which is not the same as not said.
      return name == "rampup_batch_size" ? Piece(text: "", value: .none) : nil
    }
    guard TrainingCard.isPlain(value) || name == "tokenizer_name_or_path" else { return nil }
    // Whole numbers without the marks between their digits, others as they were written.
    let text = if case .int(let number) = value { "\(number)" } else { argument.text }
    return Piece(
      text: TrainingCard.escaped(text), value: value, assumptions: argument.assumptions)
  }

  /// Whether a value is a number or a word, and so no path, address, host or user.
  private static func isPlain(_ value: ArgumentValue) -> Bool {
    switch value {
    case .none, .bool, .int, .double, .name: true
    case .list(let items): items.allSatisfy { $0.number != nil }
    case .string(let text), .member(_, let text):
      text.count < 48 && text.first?.isLetter == true
        && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-+ ".contains($0)) }
    case .dictionary, .other: false
    }
  }

  private static func ofCheckpoint(_ name: String, _ checkpoint: Checkpoint) -> ArgumentValue? {
    switch name {
    case "params_dtype":
      guard checkpoint.dtypes.count == 1, let dtype = checkpoint.dtypes.first else { return nil }
      return .name("torch.\(dtype.rawValue)")
    case "tensor_model_parallel_size": return .int(checkpoint.trainedTensorParallel)
    case "pipeline_model_parallel_size": return checkpoint.pipelineParallel.map { .int($0) }
    default:
      let key = ArgumentKey(name)
      guard checkpoint.arguments.source(of: key) == .checkpoint else { return nil }
      return checkpoint.arguments[key]
    }
  }

  private var trainedOn: Setting? {
    func whole(_ name: String) -> Int? {
      if case .int(let value)? = checkpoint.arguments[ArgumentKey(name)], value > 0 {
        value
      } else {
        nil
      }
    }
    func text(_ sequences: Int, _ tokens: Int?) -> String {
      "\(sequences) sequences" + (tokens.map { ", \($0) tokens" } ?? "")
    }
    if let sequences = whole("consumed_train_samples") {
      return Setting(
        name: "trained on", text: text(sequences, whole("consumed_train_tokens")),
        sources: ["checkpoint"])
    }
    guard let curves, let mark = curves.mark, let row = curves.rows(batch: nil, length: nil).last,
      row.step == mark, let sequences = row.sequences
    else { return nil }
    return Setting(name: "trained on", text: text(sequences, row.tokens), sources: ["logs"])
  }

  private static func rampUp(_ get: Get) -> Piece? {
    guard let ramp = get("rampup_batch_size"), case .list(let parts) = ramp.value, parts.count == 3
    else { return nil }
    let numbers = parts.map { escaped($0.text) }
    return Piece(
      text: ", in steps of \(numbers[1]) from \(numbers[0]) over \(numbers[2]) sequences",
      value: ramp.value, assumptions: ramp.assumptions)
  }

  private static func learningRate(_ get: Get) -> [Piece?] {
    let units = [("samples", "sequences"), ("iters", "iterations"), ("tokens", "tokens")]
    let decay = units.compactMap { unit, word in
      get("lr_decay_\(unit)")?.preceded(by: " over ").followed(by: " \(word)")
    }.first
    // Defaults of 0 stand beside the one that was asked for.
    func isZero(_ piece: Piece) -> Bool { piece.value.number == 0 }
    let unit = units.first { get("lr_decay_\($0.0)") != nil }?.1
    let warmUp =
      units.compactMap { name, word -> Piece? in
        guard let piece = get("lr_warmup_\(name)"), !isZero(piece) else { return nil }
        return piece.preceded(by: ", warm-up of ").followed(by: word == unit ? "" : " \(word)")
      }.first
      ?? get("lr_warmup_fraction").flatMap {
        isZero($0) ? nil : $0.preceded(by: ", warm-up of a share of ")
      }
    return [
      get("lr"), get("min_lr")?.preceded(by: " to "), get("lr_decay_style")?.preceded(by: ", "),
      decay, warmUp,
    ]
  }

  private static func parallel(_ get: Get) -> [Piece?] {
    guard let tensor = get("tensor_model_parallel_size"),
      let pipeline = get("pipeline_model_parallel_size"), let stage = get("zero_stage")
    else { return [] }
    // How many replicas there were hangs on the number of machines, which only the run knows.
    var data = get("data_parallel_size")?.preceded(by: ", data ")
    data?.isOptional = true
    return [
      tensor.preceded(by: "tensor "), pipeline.preceded(by: ", pipeline "), data,
      stage.preceded(by: ", ZeRO stage "),
    ]
  }

  private static func tokenizer(_ get: Get) -> [Piece?] {
    if let name = get("tokenizer_name_or_path"), isHubName(name.value.text) { return [name] }
    return [get("tokenizer_type")]
  }

  /// Whether a text looks like a model name on the Hugging Face hub rather than a local path.
  static func isHubName(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.first != "." && $0.first != "~" })
    else { return false }
    let endings = [".json", ".txt", ".model", ".bin", ".spm", ".vocab", ".tiktoken", ".bpe"]
    return !endings.contains(where: text.hasSuffix)
      && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./".contains($0)) }
  }

  private var read: String {
    var parts: [String] = []
    if let script = records.script {
      let name = script.name.filter { $0 != "`" && $0 != "\n" }
      parts.append("`\(name)` (SHA-256 `\(script.sha256)`)")
    }
    if records.logs != nil { parts.append(plural(records.logFiles.count, "event file")) }
    return "Read: \(parts.joined(separator: " and "))."
      + (records.script == nil ? "" : " Nothing of the script was run.")
  }

  // MARK: - Text

  /// A text of a file with what Markdown would take for its own escaped, and cut to 80 characters.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.prefix(80) {
      if "|<>&[]*_`\\".contains(character) {
        result += "\\\(character)"
      } else {
        result += character.isNewline ? " " : String(character)
      }
    }
    return result + (text.count > 80 ? "…" : "")
  }

  /// An assumption in words that a card may have: no path is in it.
  private static func condition(_ assumption: String) -> String {
    if assumption.contains(" assumed not set") {
      return "if \(escaped(String(assumption.prefix { $0 != " " }))) was not set"
    }
    return assumption.hasPrefix("no arguments")
      ? "if the script was given no arguments" : "if nothing that the script calls changes it"
  }

  private static func wrapped(_ text: String) -> String {
    var (result, line) = ("", "")
    for word in text.split(separator: " ") {
      if !line.isEmpty, line.count + 1 + word.count > 100 {
        result += line + "\n"
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return result + line + "\n"
  }
}
