/// What a trainer calls the curves that matter, by what the curves of a run are called.
///
/// The names are those of bigscience's and deepspeedai's Megatron-DeepSpeed (since August 2021),
/// Megatron-LM (two ages), and DeepSpeed's own monitor (`megatron/training.py`,
/// `deepspeed/runtime/engine.py`).
public struct TrainingTags: Hashable, Sendable {
  /// Whose names they are.
  public let trainer: String
  /// The loss of training, by iteration; of samples with DeepSpeed's monitor.
  public let loss: String
  /// The loss of validation, on the axis of ``loss``; `nil` if it was not logged.
  public private(set) var validation: String?
  /// The learning rate; `nil` if it was not logged.
  public private(set) var learningRate: String?
  /// The norm of the gradient; `nil` if it was not logged, as with DeepSpeed's monitor.
  public private(set) var gradientNorm: String?
  /// The factor of the loss in float16 runs; `nil` if it was not logged.
  public private(set) var lossScale: String?
  /// How many sequences each iteration took; `nil` if it was not logged.
  public private(set) var batchSize: String?
  /// How many sequences were seen at each iteration.
  public private(set) var samples: String?
  /// How many tokens.
  public private(set) var tokens: String?
  /// Whether steps are samples and not iterations.
  public var countsSamples: Bool { trainer == TrainingTags.monitor }

  private static let monitor = "DeepSpeed's monitor"

  /// Finds the tags of the known trainers among `tags`; `nil` if none of them is a loss.
  public init?(among tags: [String]) {
    let known = Set(tags)
    func first(_ names: String...) -> String? { names.first { known.contains($0) } }
    func key(_ prefix: String, _ suffix: String = "") -> String? {
      let plain = tags.filter { tag in
        tag.hasPrefix(prefix) && tag.hasSuffix(suffix) && !tag.contains(" vs ")
          && !tag.hasSuffix(" ppl")
      }
      let preferred = ["lm loss", "sop loss", "loss"].map { prefix + $0 + suffix }
      return preferred.first { plain.contains($0) } ?? plain.first
    }
    let grouped = "lm-loss-training/"
    if let loss = key(grouped) {
      trainer = "Megatron-DeepSpeed"
      self.loss = loss
      let name = loss.dropFirst(grouped.count)
      validation =
        first("lm-loss-validation/\(name) validation")
        ?? tags.first {
          $0.hasPrefix("lm-loss-validation/") && $0.hasSuffix("/\(name) validation")
        }
      learningRate = first("learning-rate/learning-rate")
      gradientNorm = first("grad-norm/grad-norm")
      lossScale = first("loss-scale/loss-scale")
      batchSize = first("batch-size/batch-size")
      samples = first("steps-vs-samples/y=samples,x=steps")
      tokens = first("steps-vs-tokens/y=tokens,x=steps")
    } else if let loss = first("Train/Samples/train_loss") {
      trainer = TrainingTags.monitor
      self.loss = loss
      validation = first("Train/Samples/eval_loss")
      learningRate = first("Train/Samples/lr")
      lossScale = first("Train/Samples/loss_scale")
    } else if let loss = first("lm loss", "sop loss", "loss")
      ?? tags.first(where: TrainingTags.isMainLoss)
    {
      trainer = "Megatron-LM"
      self.loss = loss
      validation =
        first("\(loss) validation")
        ?? tags.first {
          $0.hasPrefix("\(loss) validation-") && !$0.contains(" vs ") && !$0.hasSuffix(" ppl")
        } ?? first("\(loss) value")
      learningRate = first("learning-rate", "learning_rate")
      gradientNorm = first("grad-norm")
      lossScale = first("loss-scale", "loss_scale")
      batchSize = first("batch-size")
    } else {
      return nil
    }
  }

  /// Whether a tag may be the loss of training and none that is added to it.
  private static func isMainLoss(_ tag: String) -> Bool {
    tag.hasSuffix(" loss") && !tag.contains("/")
      && !["balanc", "aux", "z_loss", "z loss", "moe", "router"].contains { tag.contains($0) }
  }

  /// All of them.
  public var all: [String] {
    [
      loss, validation, learningRate, gradientNorm, lossScale, batchSize, samples, tokens,
    ].compactMap { $0 }
  }

  /// Whether a tag could be one of these, judged by its name alone.
  public static func mayBeOne(_ tag: String) -> Bool {
    guard !tag.contains(" vs "), !tag.hasSuffix(" ppl"), !tag.hasSuffix("-time") else {
      return false
    }
    return [
      "loss", "learning-rate", "learning_rate", "grad-norm", "batch-size", "steps-vs-",
      "Train/Samples/lr",
    ].contains { tag.contains($0) }
  }
}
