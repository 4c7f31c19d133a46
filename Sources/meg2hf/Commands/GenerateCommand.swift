import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import SystemPackage

/// `meg2hf generate DIR [PROMPT]`
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text by a converted model, the most likely token each time.",
    discussion: """
      The model is run in binary32, whatever its weights are stored in; compare with transformers \
      at dtype=float32. It shows whether a conversion gives a model that speaks, not how well it \
      can: there is no temperature and no sampling.

      EXAMPLES:
        meg2hf generate hf/gpt2 "Hello, my dog is cute"
        meg2hf generate hf/gpt2 --ids 15496,11,616 --max-new-tokens 14 --json --top 3
        meg2hf generate hf/gpt2 --tokenizer gpt2 --file prompt.txt
      """)

  @Argument(help: "The folder of the model.", completion: .directory)
  var model: String

  @Argument(help: "The text to continue.")
  var prompt: String?

  @Option(
    name: .long,
    help: ArgumentHelp("A file with the text; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String?

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "Token ids instead of a text; given again, another prompt.", valueName: "id,id,..."))
  var ids: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "A folder with the tokenizer, if the model's has none.", valueName: "folder"),
    completion: .directory)
  var tokenizer: String?

  @Option(name: .long, help: ArgumentHelp("The most new tokens.", valueName: "n"))
  var maxNewTokens = 20

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "A token that ends the text; by default what the model's folder says.", valueName: "id"))
  var stop: [Int] = []

  @Flag(name: .long, help: "Go on after a token that ends a text.")
  var noStop = false

  @Option(
    name: .long,
    help: ArgumentHelp("With --json: the best k tokens of each step.", valueName: "k"))
  var top = 0

  @Flag(name: .long, help: "Rows of the embedding beyond the tokenizer's can be chosen, too.")
  var keepPadding = false

  @OptionGroup var threads: ThreadOptions
  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    let given = [prompt != nil, file != nil, !ids.isEmpty].count { $0 }
    guard given == 1 else {
      throw ValidationError(
        given == 0
          ? "A prompt is needed: PROMPT, --file FILE or --ids."
          : "PROMPT, --file and --ids all give the prompt; leave one of them.")
    }
    guard maxNewTokens >= 0, top >= 0, top <= 1000 else {
      throw ValidationError("--max-new-tokens counts from 0, and --top from 0 to 1000.")
    }
  }

  /// A prompt as text and as ids.
  private struct Prompt {
    var text: String?
    let ids: [Int]
  }

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.generate/1", shown, stopNote: "stopped; what was said until then is shown") {
      report in
      let path = Process.path(argument: model)
      let tokenizer = try readTokenizer(path)
      report.warnings = tokenizer?.warnings ?? []
      let prompts = try prompts(tokenizer, path)
      let started = Process.monotonicSeconds
      let network = try GPT2Network(
        ModelDirectory(reading: path), threads: RunOptions(jobs: threads.jobs).threads)
      let loaded = Process.monotonicSeconds
      describe(network, &report)
      var options = GreedyText.Options()
      options.maximum = maxNewTokens
      options.top = top
      options.stop = noStop ? [] : Set(stop.isEmpty ? network.endTokens : stop)
      if !keepPadding, let tokenizer { options.rows = tokenizer.size }
      var results: [JSONValue] = []
      var (promptSeconds, count) = (0.0, 0)
      for prompt in prompts {
        var steps: [GreedyText.Step] = []
        var screen = GrowingText(isLive: !shown.json)
        // What was said until a signal came is kept.
        defer {
          if !steps.isEmpty || maxNewTokens == 0 {
            report.text += screen.rest(of: whole(prompt, steps, tokenizer))
          }
        }
        let text = try GreedyText(after: prompt.ids, by: network, options: options) { step in
          steps.append(step)
          screen.show(whole(prompt, steps, tokenizer))
        }
        promptSeconds += text.promptSeconds
        count += steps.count
        results.append(result(prompt, text, tokenizer))
        report.payload["results"] = .array(results)
      }
      let seconds = Process.monotonicSeconds - loaded - promptSeconds
      report.payload["seconds"] = [
        "load": .double(loaded - started), "prompt": .double(promptSeconds),
        "tokens": .double(seconds),
      ]
      let speed = seconds > 0 ? Double(count) / seconds : 0
      report.payload["tokens_per_second"] = .double(speed)
      report.payload["peak_memory"] = .int(Process.peakResidentBytes)
      Messages(shown.display).note(
        "\(plural(count, "token")), \(decimal(speed, places: 1)) tokens/s, prompt of "
          + "\(prompts.reduce(0) { $0 + $1.ids.count }) in \(decimal(promptSeconds, places: 2)) s, "
          + byteText(Process.peakResidentBytes))
    }
  }

  private func readTokenizer(_ model: FilePath) throws(Failure) -> Tokenizer? {
    if let tokenizer { return try Tokenizer(folder: Process.path(argument: tokenizer)) }
    do {
      return try Tokenizer(folder: model)
    } catch {
      // Ids need none.
      guard !ids.isEmpty else {
        var failure = error
        failure.hint = failure.hint ?? "--tokenizer DIR names one; --ids needs none"
        throw failure
      }
      return nil
    }
  }

  private func prompts(
    _ tokenizer: Tokenizer?, _ model: FilePath
  ) throws(Failure) -> [Prompt] {
    if !ids.isEmpty {
      var prompts: [Prompt] = []
      for list in ids {
        let ids = try TextInput.ids(list)
        prompts.append(Prompt(text: tokenizer?.decode(ids, keepingSpecial: true), ids: ids))
      }
      return prompts
    }
    let text = try TextInput.read(prompt, file, named: "PROMPT")
    return [Prompt(text: text, ids: try tokenizer?.encode(text) ?? [])]
  }

  /// Prompt and continuation: as text, or as ids where ids were given.
  private func whole(
    _ prompt: Prompt, _ steps: [GreedyText.Step], _ tokenizer: Tokenizer?
  ) -> String {
    let new = steps.map(\.id)
    guard ids.isEmpty, let text = prompt.text, let tokenizer else {
      return (prompt.ids + new).map(String.init).joined(separator: " ")
    }
    return text + tokenizer.decode(new)
  }

  private func describe(_ network: GPT2Network, _ report: inout Report) {
    let sizes = network.sizes
    report.payload["model"] = [
      "layers": .int(sizes.layers), "hidden": .int(sizes.hidden), "heads": .int(sizes.heads),
      "positions": .int(sizes.positions), "vocabulary": .int(sizes.vocabulary),
      "dtype": .string(network.dtype), "activation": .string(network.activation),
    ]
    report.payload["arithmetic"] = "fma"
  }

  private func result(
    _ prompt: Prompt, _ text: GreedyText, _ tokenizer: Tokenizer?
  ) -> JSONValue {
    let new = text.steps.map(\.id)
    let near = text.steps.enumerated().filter { $0.element.gap < GreedyText.nearTie }
    return [
      "prompt": prompt.text.map { .string($0) } ?? .null,
      "prompt_ids": .array(prompt.ids.map { .int($0) }), "new_ids": .array(new.map { .int($0) }),
      "text": tokenizer.map { .string($0.decode(new)) } ?? .null,
      "stopped": .string(text.end.rawValue),
      "near_ties": .array(near.map { .int($0.offset) }),
      "steps": .array(
        text.steps.map { step in
          [
            "id": .int(step.id), "logit": .double(step.logit),
            "logprob": .double(step.logProbability),
            "top": .array(
              step.top.map {
                [
                  "id": .int($0.id), "logit": .double($0.logit),
                  "logprob": .double($0.logProbability),
                ]
              }),
          ]
        }),
    ]
  }
}

/// A text that appears on a terminal piece by piece.
private struct GrowingText {
  private let isLive: Bool
  private var shown = ""

  init(isLive: Bool) {
    self.isLive = isLive && Process.Stream.output.isTerminal
  }

  /// Shows what is new, unless it ends in the middle of a character.
  mutating func show(_ text: String) {
    guard isLive, !text.hasSuffix("\u{FFFD}"), text.hasPrefix(shown) else { return }
    guard Process.Stream.output.write(String(text.dropFirst(shown.count))) else { return }
    shown = text
  }

  /// What is left to print at the end, with the end of the line.
  func rest(of text: String) -> String { text.dropFirst(shown.count) + "\n" }
}
