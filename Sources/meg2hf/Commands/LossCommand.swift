public import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import Inference
import JSON
import SystemPackage

extension TokenFile.Form: ExpressibleByArgument {}

/// `meg2hf loss DIR|CHECKPOINT`
struct LossCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "loss",
    abstract: "The loss of a model on a text, as its trainer logged it.",
    discussion: """
      The mean negative log likelihood of the tokens, in windows as the trainer cuts them, over \
      all rows of the embedding, padding included. Not imitated: dropout (compare with the \
      validation loss), reset_position_ids, reset_attention_mask, eod_mask_loss and masks that are \
      not causal, and the rounding of the trainer's logits.

      A checkpoint can be run before it is converted; its checksums are compared first (--crc none \
      skips that). With --qkv-layout each, its \
      loss is computed under all three orders of query, key and value: a trained model predicts a \
      text well under the right one alone. If that is not the one that the checkpoint names, the \
      exit status is 78.

      EXAMPLES:
        meg2hf loss hf/gpt2 --file held-out.txt
        meg2hf loss hf/gpt2 --tokens valid_text_document.bin --max-tokens 20000
        meg2hf loss hf/gpt2 --tokens ids.json --json
        meg2hf loss runs/gpt2 --file held-out.txt --tokenizer gpt2 --qkv-layout each
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
      let model = try source.find(allowingEach: true, shown, &report.warnings)
      let tokenizer = try source.readTokenizer(isNeeded: tokens == nil, &report.warnings)
      let texts: [[Int]]
      if let tokens {
        texts = try TokenFile(Process.path(argument: tokens), tokenType).texts
      } else {
        texts = [try tokenizer?.encode(try TextInput.read(nil, file, named: "--file")) ?? []]
      }
      let rows: Int? =
        switch vocabulary {
        case .padded: nil
        case .rows(let count): count
        case nil: tokenizer?.size ?? model.vocabulary
        }
      let options = source.options(model, passes: 1)
      let progress = ProgressReporter(shown, verb: "predicting")
      defer { progress.finish() }
      func compute(_ network: Network) throws -> TextLoss {
        try TextLoss(
          of: texts, by: network, length: length, stride: stride, rows: rows, maximum: maxTokens
        ) { progress.update(tokens: $0) }
      }
      if source.source.qkvLayout == .each, case .checkpoint(let found) = model {
        let result = try found.arbitrate(options) { try compute($0) }
        progress.finish()
        describe(result, found, hasRows: rows != nil, &report)
        return
      }
      let network = try model.network(options)
      let loss = try compute(network)
      progress.finish()
      describe(loss, hasRows: rows != nil, &report)
      report.payload["evidence"] = model.order.map { .string($0.rawValue) } ?? .null
      let logged = try loggedLoss(model)
      report.payload["logged_validation"] = logged.map { .double($0) } ?? .null
      if let logged {
        report.text +=
          "\nlogged \(decimal(logged, places: 4))  the trainer's own on its validation set, "
          + "at this iteration"
      }
      if let rows, rows < network.sizes.vocabulary {
        report.text +=
          "\nloss \(decimal(loss.trimmed, places: 4))  over the \(thousands(rows)) rows before "
          + "padding"
      }
    }
  }

  /// The validation loss that the event files have for a checkpoint's iteration.
  private func loggedLoss(_ model: FoundModel) throws(Failure) -> Double? {
    guard case .checkpoint(let found) = model,
      let run = try source.source.records.read()?.logs
    else { return nil }
    return TrainingCurves(run) { tags in
      tags.countsSamples ? nil : found.checkpoint.iteration
    }?.validationAtMark
  }

  private func describe(_ loss: TextLoss, hasRows: Bool, _ report: inout Report) {
    report.payload["loss_padded"] = .double(loss.padded)
    report.payload["loss_trimmed"] = hasRows ? .double(loss.trimmed) : .null
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
  }

  private func describe(
    _ result: OrderArbitration, _ found: RunnableCheckpoint, hasRows: Bool,
    _ report: inout Report
  ) {
    if let best = result.losses.first(where: { $0.order == result.best }) {
      describe(best.loss, hasRows: hasRows, &report)
    }
    for member in result.json.members { report.payload[member.key] = member.value }
    var table = TextTable()
    for (order, loss) in result.losses {
      let marks = [
        order == result.best ? "lowest" : nil,
        order == result.evidence ? "what the checkpoint names" : nil,
      ]
      table.add(
        order.rawValue, decimal(loss.padded, places: 4),
        marks.compactMap { $0 }.joined(separator: ", "))
    }
    report.text = "\(result.headline)\n" + table.text()
    if result.verdict == .wrong {
      report.errors += [result.failure(file: found.checkpoint.folder.path.string)].compactMap { $0 }
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
