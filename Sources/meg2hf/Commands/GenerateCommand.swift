import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import SystemPackage

/// `meg2hf generate DIR|CHECKPOINT [PROMPT]`
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text by a model, the most likely token each time.",
    discussion: """
      The model is run in binary32, whatever its weights are stored in; compare with transformers \
      at dtype=float32. It shows whether a conversion gives a model that speaks, not how well it \
      can: it always takes the most likely token, and never samples. A checkpoint can be run \
      before it is converted; its checksums are compared first (--crc none skips that).

      EXAMPLES:
        meg2hf generate hf/gpt2 "Hello, my dog is cute"
        meg2hf generate hf/gpt2 --ids 15496,11,616 --max-new-tokens 14 --json --top 3
        meg2hf generate hf/gpt2 --tokenizer gpt2 --file prompt.txt
        meg2hf generate runs/gpt2 "Hello, my dog is cute" --tokenizer gpt2
      """)

  @OptionGroup var source: NetworkOptions

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

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The rows of the vocabulary before padding; by default the tokenizer's size.",
      valueName: "n"))
  var vocabSize: Int?

  @Flag(name: .long, help: "Padding can be chosen, too.")
  var keepPadding = false

  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    let given = [prompt != nil, file != nil, !ids.isEmpty].count { $0 }
    guard given == 1 else {
      throw ValidationError(
        given == 0
          ? "A prompt is needed: PROMPT, --file FILE or --ids."
          : "PROMPT, --file and --ids all give the prompt; leave one of them.")
    }
    guard vocabSize == nil || !keepPadding else {
      throw ValidationError("--vocab-size leaves padding out, and --keep-padding does not.")
    }
    guard vocabSize ?? 1 > 0 else { throw ValidationError("--vocab-size counts from 1.") }
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
      let model = try source.find(shown, &report.warnings)
      let tokenizer = try source.readTokenizer(isNeeded: ids.isEmpty, &report.warnings)
      let prompts = try prompts(tokenizer)
      let started = Process.monotonicSeconds
      let passes = prompts.count * max(1, maxNewTokens)
      let network = try model.network(source.options(model, passes: passes))
      let loaded = Process.monotonicSeconds
      describe(network, model, &report)
      var options = GreedyText.Options()
      options.maximum = maxNewTokens
      options.top = top
      options.stop = noStop ? [] : Set(stop.isEmpty ? network.endTokens : stop)
      if !keepPadding { options.rows = vocabSize ?? tokenizer?.size ?? model.vocabulary }
      let isLive = !shown.json && Process.Stream.output.isTerminal
      var results: [JSONValue] = []
      var (promptSeconds, count) = (0.0, 0)
      for prompt in prompts {
        var steps: [GreedyText.Step] = []
        var screen = GrowingText()
        // What was said until a signal came is kept.
        defer {
          if !steps.isEmpty || maxNewTokens == 0 {
            let rest = screen.rest(of: whole(prompt, steps, options, tokenizer)) + "\n"
            // On a terminal the text ends before anything is said about it.
            if isLive { Process.Stream.output.write(rest) } else { report.text += rest }
          }
        }
        let text = try GreedyText(after: prompt.ids, by: network, options: options) { step in
          steps.append(step)
          guard isLive else { return }
          if let new = screen.next(of: whole(prompt, steps, options, tokenizer)) {
            _ = Process.Stream.output.write(new)
          }
        }
        promptSeconds += text.promptSeconds
        count += steps.count
        results.append(result(prompt, text, options, tokenizer))
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
        "\(plural(count, "token")), \(decimal(speed, places: 1)) tokens/s, prompt "
          + "\(plural(prompts.reduce(0) { $0 + $1.ids.count }, "token")) in "
          + "\(decimal(promptSeconds, places: 2)) s, " + byteText(Process.peakResidentBytes))
    }
  }

  private func prompts(_ tokenizer: Tokenizer?) throws(Failure) -> [Prompt] {
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
    _ prompt: Prompt, _ steps: [GreedyText.Step], _ options: GreedyText.Options,
    _ tokenizer: Tokenizer?
  ) -> String {
    guard ids.isEmpty, let text = prompt.text, let tokenizer else {
      return (prompt.ids + steps.map(\.id)).map(String.init).joined(separator: " ")
    }
    return text + added(steps, options, tokenizer)
  }

  /// The text of new tokens, without the one that ends it.
  private func added(
    _ steps: [GreedyText.Step], _ options: GreedyText.Options, _ tokenizer: Tokenizer
  ) -> String {
    tokenizer.decode(steps.map(\.id).filter { !options.stop.contains($0) })
  }

  private func describe(_ network: Network, _ model: FoundModel, _ report: inout Report) {
    let sizes = network.sizes
    report.payload["model"] = [
      "layers": .int(sizes.layers), "hidden": .int(sizes.hidden), "heads": .int(sizes.heads),
      "positions": .int(sizes.positions), "vocabulary": .int(sizes.vocabulary),
      "dtype": .string(network.dtype), "activation": .string(network.activation),
      "kind": .string(model.kind), "ranks": .int(network.ranks),
      "qkv_layout": model.order.map { .string($0.rawValue) } ?? .null,
      "resident_bytes": .int(network.residentBytes),
      "streamed_bytes": .int(network.streamedBytes),
    ]
    report.payload["arithmetic"] = "fma"
  }

  private func result(
    _ prompt: Prompt, _ text: GreedyText, _ options: GreedyText.Options, _ tokenizer: Tokenizer?
  ) -> JSONValue {
    let new = text.steps.map(\.id)
    let near = text.steps.enumerated().filter { $0.element.gap < GreedyText.nearTie }
    return [
      "prompt": prompt.text.map { .string($0) } ?? .null,
      "prompt_ids": .array(prompt.ids.map { .int($0) }), "new_ids": .array(new.map { .int($0) }),
      "text": tokenizer.map { .string(added(text.steps, options, $0)) } ?? .null,
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
