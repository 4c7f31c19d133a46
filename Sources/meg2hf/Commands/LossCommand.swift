public import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import SystemPackage

extension TokenFile.Form: ExpressibleByArgument {}

/// `meg2hf loss DIR`
struct LossCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "loss",
    abstract: "The loss of a converted model on a text, as its trainer logged it.",
    discussion: """
      The mean negative log likelihood of the tokens, in windows as the trainer cuts them, over \
      all rows of the embedding, padding included. Not imitated: dropout (compare with the \
      validation loss), reset_position_ids, reset_attention_mask, eod_mask_loss and masks that are \
      not causal, and the rounding of the trainer's logits.

      EXAMPLES:
        meg2hf loss hf/gpt2 --file held-out.txt
        meg2hf loss hf/gpt2 --tokens valid_text_document.bin --max-tokens 20000
        meg2hf loss hf/gpt2 --tokens ids.json --json
      """)

  @OptionGroup var source: NetworkOptions

  @Option(
    name: .long, help: ArgumentHelp("A text; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Token ids: JSON, numbers of --token-type, or a .bin with its .idx.", valueName: "file"),
    completion: .file())
  var tokens: String?

  @Option(name: .long, help: "How the ids of --tokens are written down.")
  var tokenType: TokenFile.Form?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The inputs of a window; by default as many as the model has positions.", valueName: "n"))
  var length: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("How far apart windows begin; by default their length.", valueName: "n"))
  var stride: Int?

  @Option(name: .long, help: ArgumentHelp("The most tokens that are predicted.", valueName: "n"))
  var maxTokens = 65_536

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The rows before padding, for the second figure, or \"padded\" for the first alone; by "
        + "default the tokenizer's size.", valueName: "n"))
  var vocabulary: VocabularyRows?

  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    guard (file == nil) != (tokens == nil) else {
      throw ValidationError("A text is needed: --file FILE or --tokens FILE, one of them.")
    }
    guard (length ?? 1) > 0, (stride ?? 1) > 0, maxTokens > 0 else {
      throw ValidationError("--length, --stride and --max-tokens count from 1.")
    }
  }

  func run() throws {
    Process.catchStopSignals()
    Report.run("meg2hf.loss/1", shown) { report in
      let directory = try source.directory()
      let tokenizer = try source.readTokenizer(isNeeded: tokens == nil, &report.warnings)
      let texts: [[Int]]
      if let tokens {
        texts = try TokenFile(Process.path(argument: tokens), tokenType).texts
      } else {
        texts = [try tokenizer?.encode(try TextInput.read(nil, file, named: "--file")) ?? []]
      }
      let network = try source.network(directory)
      let size: Int? =
        switch vocabulary {
        case .padded: network.sizes.vocabulary
        case .rows(let count): count
        case nil: tokenizer?.size
        }
      let progress = ProgressReporter(shown, verb: "predicting")
      defer { progress.finish() }
      let loss = try TextLoss(
        of: texts, by: network, length: length, stride: stride, rows: size, maximum: maxTokens
      ) { progress.update(tokens: $0) }
      progress.finish()
      report.payload["loss_padded"] = .double(loss.padded)
      report.payload["loss_trimmed"] = size == nil ? .null : .double(loss.trimmed)
      report.payload["perplexity"] = .double(LogSum.exp(loss.padded))
      report.payload["predictions"] = .int(loss.predictions)
      report.payload["length"] = .int(loss.length)
      report.payload["per_window"] = .array(loss.perWindow.map { .double($0) })
      let windows = plural(loss.perWindow.count, "window")
      report.text =
        "loss \(decimal(loss.padded, places: 4))  perplexity "
        + "\(decimal(LogSum.exp(loss.padded), places: 2))  "
        + "(\(thousands(loss.predictions)) predictions, \(windows) of up to "
        + "\(thousands(loss.length)))"
      if let size, size < network.sizes.vocabulary {
        report.text +=
          "\nloss \(decimal(loss.trimmed, places: 4))  over the \(thousands(size)) rows before "
          + "padding"
      }
    }
  }
}

/// What `--vocabulary` names.
enum VocabularyRows: ExpressibleByArgument, Hashable {
  case padded
  case rows(Int)

  init?(argument: String) {
    if argument == "padded" {
      self = .padded
    } else if let count = Int(argument), count > 0 {
      self = .rows(count)
    } else {
      return nil
    }
  }
}
