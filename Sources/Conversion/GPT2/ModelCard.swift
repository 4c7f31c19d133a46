import JSON
import Megatron
import Transfer

/// `README.md` of a converted model: only what the checkpoint says. No licence, language or data set
/// is known to a converter, so none is named.
enum ModelCard {
  /// The text of the card.
  static func text(_ plan: ConversionPlan, _ index: CheckpointIndex) -> String {
    let geometry = plan.geometry
    // The name of the folder is not in here: the same input gives the same bytes under any name.
    let name =
      "GPT-2, \(geometry.layers) x \(geometry.hidden)"
      + (index.directory.tag.map { ", \($0)" } ?? "")
    let vocabulary = plan.vocabulary
    let billions = hundredths(
      geometry.cardParameterCount(vocabulary: vocabulary), of: 1_000_000_000)
    let rows: [(String, String)] = [
      ("architecture", "GPT-2 (`GPT2LMHeadModel`)"),
      ("parameters", "\(plan.parameterCount) (\(billions)B)"),
      ("layers", "\(geometry.layers)"),
      ("hidden size", "\(geometry.hidden)"),
      ("attention heads", "\(geometry.heads)"),
      ("feed-forward size", "\(geometry.feedForward)"),
      ("positions", "\(geometry.positions)"),
      ("vocabulary", "\(vocabulary) rows"),
      ("ratio of hidden size to layers", "\(geometry.cardRatio)"),
      ("activation", "`\(plan.activation.name)`"),
      ("element type", plan.format.torchName),
      ("trained iterations", index.iteration.map { "\($0)" } ?? "not recorded"),
    ]
    let table = rows.map { "| \($0.0) | \($0.1) |" }.joined(separator: "\n")
    return """
      ---
      library_name: transformers
      pipeline_tag: text-generation
      tags:
      - gpt2
      - megatron-deepspeed
      - safetensors
      ---

      # \(name)

      A GPT-2 model that was trained with Megatron (\(index.directory.layout.title)) and converted to
      the format of Hugging Face transformers with meg2hf \(toolVersion).

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
  static func hundredths(_ value: Int, of unit: Int) -> String {
    let scaled = (value / (unit / 1000) + 5) / 10
    let rest = scaled % 100
    return "\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}
