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
    return """
      ---
      library_name: transformers
      pipeline_tag: text-generation
      tags:
      - \(facts.format.modelType)
      - megatron-deepspeed
      - safetensors
      ---

      # \(name)

      A \(facts.format.title) model that was trained with Megatron (\(facts.layout)) and converted \
      to
      the format of Hugging Face transformers with meg2hf \(facts.version).

      | | |
      |---|---|
      \(table)

      ```python
      from transformers import AutoModelForCausalLM

      model = AutoModelForCausalLM.from_pretrained("PATH/TO/THIS/FOLDER")
      ```

      `conversion_manifest.json` says which source tensor each tensor was made of, and how. The
      licence, the training data and the intended use are not recorded in the checkpoint.

      """
  }

  /// A quotient with two decimals, rounded half up.
  package static func hundredths(_ value: Int, of unit: Int) -> String {
    let scaled = (value / (unit / 1000) + 5) / 10
    let rest = scaled % 100
    return "\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}
