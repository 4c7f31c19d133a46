import Architectures
import ByteIO
import Diagnostics

/// The mean negative log likelihood of tokens, as trainers log it.
///
/// A window is one token longer than the inputs: each of them is to predict the one after it. Only
/// whole windows count, unless a text is shorter than one. The sum over the vocabulary runs over
/// the padded rows, too, as in the trainer; without them the loss is a little lower.
public struct TextLoss: Sendable {
  /// The mean over all rows of the embedding, and over those before the padding.
  public let padded: Double
  public let trimmed: Double
  /// The mean of each window, over all rows.
  public let perWindow: [Double]
  /// How many tokens were predicted.
  public let predictions: Int
  /// The inputs of a window.
  public let length: Int

  /// How many rows of logits are held at a time.
  private static let block = 64

  init(padded: Double, trimmed: Double, perWindow: [Double], predictions: Int, length: Int) {
    self.padded = padded
    self.trimmed = trimmed
    self.perWindow = perWindow
    self.predictions = predictions
    self.length = length
  }

  /// Computes the loss of some texts, each with windows of its own.
  ///
  /// - Parameters:
  ///   - texts: The tokens.
  ///   - network: The model.
  ///   - length: The inputs of a window; `nil` for as many as the model has positions.
  ///   - stride: How far apart windows begin; `nil` for the length.
  ///   - rows: The rows of the vocabulary before padding; `nil` for all.
  ///   - maximum: The most tokens that are predicted.
  ///   - progress: Called with the number of tokens that were predicted so far.
  /// - Throws: `Failure` 64 when there is nothing to predict or for tokens that the model lacks,
  ///   65 for values that are not finite, or `Interrupted`.
  public init(
    of texts: [[Int]], by network: Network, length: Int? = nil, stride: Int? = nil,
    rows: Int? = nil, maximum: Int = 65_536, progress: (Int) -> Void = { _ in }
  ) throws {
    let length = min(length ?? network.sizes.positions, network.sizes.positions)
    self.length = length
    let rows = min(rows ?? network.sizes.vocabulary, network.sizes.vocabulary)
    var (all, before, count) = (0.0, 0.0, 0)
    var perWindow: [Double] = []
    for window in TextLoss.windows(texts, length: length, stride: stride ?? length)
    where count < maximum {
      let window = window.prefix(maximum - count + 1)
      let inputs = Array(window.dropLast())
      // The head counts as one layer more.
      let steps = network.sizes.layers + 1
      let states = try network.states(of: inputs) { layers in
        progress(count + inputs.count * layers / steps)
      }
      var sum = 0.0
      for first in Swift.stride(from: 0, to: inputs.count, by: TextLoss.block) {
        try Interrupted.check()
        let some = first..<min(first + TextLoss.block, inputs.count)
        let logits = try network.logits(of: states, some)
        for (place, row) in some.enumerated() {
          let values = logits[place]
          let target = window[window.startIndex + row + 1]
          guard values.indices.contains(target) else {
            throw Failure(
              .networkPrompt,
              "the token \(target) is not one of the model's \(network.sizes.vocabulary)")
          }
          let logit = Double(values[target])
          sum += LogSum.of(values) - logit
          before += LogSum.of(values.prefix(rows)) - logit
        }
        progress(count + (inputs.count * (steps - 1) + some.upperBound) / steps)
      }
      all += sum
      count += inputs.count
      perWindow.append(sum / Double(inputs.count))
    }
    guard count > 0 else {
      throw Failure(.networkPrompt, "there is nothing to predict: two tokens are needed")
    }
    padded = all / Double(count)
    trimmed = before / Double(count)
    self.perWindow = perWindow
    predictions = count
  }

  /// The windows of some texts.
  static func windows(
    _ texts: [[Int]], length: Int, stride: Int
  ) -> [ArraySlice<Int>] {
    texts.flatMap { text -> [ArraySlice<Int>] in
      guard text.count > 1 else { return [] }
      guard text.count > length else { return [text[...]] }
      return Swift.stride(from: 0, through: text.count - length - 1, by: max(1, stride)).map {
        text[$0...$0 + length]
      }
    }
  }
}
