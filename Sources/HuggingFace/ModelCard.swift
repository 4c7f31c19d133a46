public import Architectures

/// `README.md` of a converted model: only what the checkpoint says. No licence, language or data
/// set is known to a converter, so none is named.
public enum ModelCard {
  /// What a card says.
  public struct Facts: Sendable {
    public var format: ModelFormat
    public var sizes: ModelSizes
    /// All elements of the tensors, and the size that cards of such models state.
    public var parameters: Int
    public var statedParameters: Int
    public var activation: String
    /// The element type, by the name that PyTorch has for it.
    public var dtype: String
    /// The name of the step's folder, and how often the model was trained.
    public var tag: String?
    public var iteration: Int?
    /// How the checkpoint was laid out, in words.
    public var layout: String
    /// The version of the program.
    public var version: String
    /// Whether the folder has a tokenizer.
    public var hasTokenizer = false
    /// What the model said when it was asked.
    public var sample: Sample?
    /// A section on how it was trained, of the records of the run.
    public var training: String?
    /// What the user wants at the head of the card.
    public var header: CardHeader?
    /// Whether the event files lie beside it, which the hub then shows.
    public var hasLogs = false

    public init(
      format: ModelFormat, sizes: ModelSizes, parameters: Int, statedParameters: Int,
      activation: String, dtype: String, tag: String?, iteration: Int?, layout: String,
      version: String
    ) {
      self.format = format
      self.sizes = sizes
      self.parameters = parameters
      self.statedParameters = statedParameters
      self.activation = activation
      self.dtype = dtype
      self.tag = tag
      self.iteration = iteration
      self.layout = layout
      self.version = version
    }
  }

  /// A text that the model itself continued, always by the most likely token.
  public struct Sample: Hashable, Sendable {
    public let prompt: String
    /// What was added.
    public let text: String
    /// How many tokens that is.
    public let tokens: Int

    public init(prompt: String, text: String, tokens: Int) {
      self.prompt = prompt
      self.text = text
      self.tokens = tokens
    }
  }

  /// The text of the card.
  public static func text(_ facts: Facts) -> String {
    let sizes = facts.sizes
    // The name of the folder is not in here: the same input gives the same bytes under any name.
    let name =
      "\(facts.format.title), \(sizes.layers) x \(sizes.hidden)"
      + (facts.tag.map { ", \($0)" } ?? "")
    let billions = hundredths(facts.statedParameters, of: 1_000_000_000)
    let rows: [(String, String)] = [
      ("architecture", "\(facts.format.title) (`\(facts.format.className)`)"),
      ("parameters", "\(facts.parameters) (\(billions)B)"),
      ("layers", "\(sizes.layers)"),
      ("hidden size", "\(sizes.hidden)"),
      ("attention heads", "\(sizes.heads)"),
      ("feed-forward size", "\(sizes.feedForward)"),
      ("positions", "\(sizes.positions)"),
      ("vocabulary", "\(sizes.vocabulary) rows"),
      ("ratio of hidden size to layers", "\(sizes.ratio)"),
      ("activation", "`\(facts.activation)`"),
      ("element type", facts.dtype),
      ("trained iterations", facts.iteration.map { "\($0)" } ?? "not recorded"),
    ]
    let table = rows.map { "| \($0.0) | \($0.1) |" }.joined(separator: "\n")
    let header = facts.header ?? CardHeader.none
    let own = CardHeader.own(
      tags: [facts.format.modelType, "megatron-deepspeed", "safetensors"]
        + (facts.hasLogs ? ["tensorboard"] : []))
    return """
      ---
      \(header.merged(with: own))
      ---

      # \(name)

      A \(facts.format.title) model that was trained with Megatron (\(facts.layout)) and converted \
      to
      the format of Hugging Face transformers with meg2hf \(facts.version).

      | | |
      |---|---|
      \(table)

      ```python
      \(recipe(facts))
      ```
      \(facts.sample.map(said) ?? "")\(facts.training.map { "\n\($0)" } ?? "")
      `conversion_manifest.json` says which source tensor each tensor was made of, and how. The
      \(header.hasLicense ? "" : "licence, the ")training data and the intended use are not \
      recorded in the checkpoint.

      """
  }

  /// How the model is loaded, and asked; the same with transformers 4 and 5.
  private static func recipe(_ facts: Facts) -> String {
    let load = "AutoModelForCausalLM.from_pretrained(\"PATH/TO/THIS/FOLDER\")"
    guard facts.hasTokenizer else {
      return """
        from transformers import AutoModelForCausalLM

        model = \(load)
        """
    }
    let prompt = facts.sample?.prompt ?? "Hello, my dog is cute"
    return """
      from transformers import AutoModelForCausalLM, AutoTokenizer

      tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
      model = \(load).float()
      ids = tokenizer(\(quoted(prompt)), return_tensors="pt").input_ids
      new = model.generate(ids, max_new_tokens=\(facts.sample?.tokens ?? 20), do_sample=False)
      print(tokenizer.decode(new[0], skip_special_tokens=True))
      """
  }

  /// A text as a literal of Python.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        let isControl = scalar.properties.generalCategory == .control
        let digits = String(scalar.value, radix: 16)
        result +=
          isControl
          ? "\\x" + String(repeating: "0", count: 2 - min(2, digits.count)) + digits
          : String(scalar)
      }
    }
    return result + "\""
  }

  /// A sample in words. Each line of it is indented, so that nothing in it is taken for Markdown.
  private static func said(_ sample: Sample) -> String {
    let text = (sample.prompt + sample.text).split(
      omittingEmptySubsequences: false, whereSeparator: \.isNewline
    ).map { "    " + $0 }.joined(separator: "\n")
    let prompt = sample.prompt.split(whereSeparator: \.isNewline).joined(separator: " ")
    return """

      It continues "\(prompt)" with \
      the most likely token each time, as meg2hf computed it in float32:

      \(text)

      """
  }

  /// A quotient with two decimals, rounded half up.
  package static func hundredths(_ value: Int, of unit: Int) -> String {
    let scaled = (value / (unit / 1000) + 5) / 10
    let rest = scaled % 100
    return "\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}
