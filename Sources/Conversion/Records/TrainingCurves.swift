import Diagnostics
public import EventLog

/// The curves of a run that matter, with the place of a checkpoint on them.
public struct TrainingCurves: Sendable {
  /// What the curves are called in the event files.
  public let tags: TrainingTags
  /// The loss of training, with the part that led to the checkpoint where the run went back later.
  public let loss: [EventCurve.Point]
  /// The loss of validation, up to the last step of ``loss``; empty if it was not logged.
  public let validation: [EventCurve.Point]
  /// The learning rate, up to the last step of ``loss``; empty if it was not logged.
  public let learningRate: [EventCurve.Point]
  /// Steps at which a job went on after another one.
  public let restarts: [Int]
  /// The step of the checkpoint, if the curve reaches it.
  public let mark: Int?
  /// Whether the part of the curve that leads to the checkpoint was computed again later.
  public let wentBack: Bool
  /// Curves that do not reach the checkpoint's step, and a loss that is not as expected there.
  public let warnings: [Diagnostic]
  /// The batch that was logged, if it is always the same, and whether it is not.
  private let batch: Int?
  private let batchChanges: Bool
  private let samples: EventCurve?
  private let tokens: EventCurve?

  /// Finds them; `nil` for a run without the loss of a training.
  ///
  /// - Parameters:
  ///   - run: The run.
  ///   - step: The iteration of the checkpoint, or the sequences that it had seen where steps count
  ///     those.
  public init?(_ run: EventRun, at step: (TrainingTags) -> Int?) {
    guard let tags = TrainingTags(among: run.curves.map(\.tag)), let whole = run[tags.loss] else {
      return nil
    }
    self.tags = tags
    let step = step(tags)
    var warnings: [Diagnostic] = []
    // Steps count from 0; what is below is damage.
    var points = whole.points.filter { $0.step >= 0 }
    var wentBack = false
    if let step, !points.isEmpty, (points.last?.step ?? 0) < step,
      let part = TrainingCurves.lost(whole, step)
    {
      points = points.filter { $0.step < part[0].step } + part
      wentBack = true
    }
    loss = points
    self.wentBack = wentBack
    let (start, end) = (points.first?.step ?? 0, points.last?.step ?? 0)
    let isReached = step.map { end >= $0 && start <= $0 } ?? false
    let mark = isReached ? step : nil
    self.mark = mark
    if let step, !isReached {
      warnings.append(
        Diagnostic(
          .logsShort,
          start > step
            ? "the event files begin at \(start), after the checkpoint's \(step)"
            : "the event files end at \(end), before the checkpoint's \(step)"))
    }
    func curve(_ tag: String?) -> [EventCurve.Point] {
      (tag.flatMap { run[$0]?.points } ?? []).filter { $0.step >= 0 && $0.step <= end }
    }
    validation = curve(tags.validation)
    learningRate = curve(tags.learningRate)
    restarts = Array(whole.starts.dropFirst()).sorted().filter { $0 >= 0 && $0 <= end }
    let batches = Set(curve(tags.batchSize).map(\.value))
    batch = batches.count == 1 ? batches.first.flatMap { Int(exactly: $0) } : nil
    batchChanges = batches.count > 1
    samples = tags.samples.flatMap { run[$0] } ?? TrainingCurves.twin(run, tags.loss, " vs samples")
    tokens = tags.tokens.flatMap { run[$0] } ?? TrainingCurves.twin(run, tags.loss, " vs tokens")
    let before = points.filter { $0.step <= mark ?? .max }
    if before.suffix(10).contains(where: { !$0.value.isFinite }) {
      warnings.append(
        Diagnostic(
          .logsLoss,
          "the training loss is not finite within the last 10 values before the checkpoint")
      )
    } else if let last = before.last, before.count >= 20 {
      let tenth = before[before.count / 10]
      if last.value > tenth.value {
        warnings.append(
          Diagnostic(
            .logsLoss,
            "the training loss at the checkpoint is \(significant(last.value)), above the "
              + "\(significant(tenth.value)) of a tenth of the way"))
      }
    }
    self.warnings = warnings
  }

  /// The part of a curve that a later job made void and that reaches a step.
  private static func lost(_ curve: EventCurve, _ step: Int) -> [EventCurve.Point]? {
    var part: [EventCurve.Point] = []
    var best: [EventCurve.Point]?
    for point in curve.superseded {
      if let last = part.last, point.step <= last.step { part = [] }
      part.append(point)
      if point.step >= step { best = part }
    }
    return best
  }

  /// The steps of a curve by those of its twin over another axis, which has the same values.
  private static func twin(_ run: EventRun, _ tag: String, _ suffix: String) -> EventCurve? {
    guard let own = run[tag], let other = run[tag + suffix],
      own.points.count == other.points.count,
      zip(own.points, other.points).allSatisfy({ $0.value.bitPattern == $1.value.bitPattern })
    else { return nil }
    return EventCurve(
      zip(own.points, other.points).map {
        EventCurve.Point(step: $0.step, value: Double($1.step), time: $0.time)
      })
  }

  // MARK: - The table

  /// A row of the table of the loss.
  struct Row: Hashable {
    let step: Int
    let sequences: Int?
    let tokens: Int?
    let loss: Double
    let validation: Double?
    let learningRate: Double?
  }

  /// The first value and the last ones at or before each tenth of the way to the checkpoint.
  ///
  /// - Parameters:
  ///   - batch: How many sequences each iteration takes, if that never changes.
  ///   - length: How many tokens a sequence has.
  /// - Returns: At most 11 rows.
  func rows(batch: Int?, length: Int?) -> [Row] {
    let batch = batchChanges ? nil : self.batch ?? batch
    let end = mark ?? loss.last?.step ?? 0
    guard let first = loss.first, first.step <= end else { return [] }
    let curve = EventCurve(loss)
    var chosen = [first]
    for tenth in 1...10 {
      let (step, rest) = (end / 10 * tenth, end % 10 * tenth / 10)
      if let point = curve.last(upTo: step + rest), point.step > (chosen.last?.step ?? 0) {
        chosen.append(point)
      }
    }
    func value(_ points: [EventCurve.Point], after low: Int, upTo high: Int) -> Double? {
      points.last { $0.step <= high && $0.step > low }?.value
    }
    var before = Int.min
    return chosen.map { point in
      defer { before = point.step }
      func count(_ curve: EventCurve?) -> Int? {
        curve?.last(upTo: point.step).flatMap {
          $0.step == point.step ? Int(exactly: $0.value) : nil
        }
      }
      let sequences =
        tags.countsSamples
        ? nil
        : count(samples)
          ?? batch.flatMap { samples == nil ? point.step.multipliedReportingOverflow(by: $0) : nil }
          .flatMap { $0.overflow ? nil : $0.partialValue }
      let tokens =
        count(self.tokens)
        ?? length.flatMap { length in
          guard self.tokens == nil, let seen = tags.countsSamples ? point.step : sequences else {
            return nil
          }
          let product = seen.multipliedReportingOverflow(by: length)
          return product.overflow ? nil : product.partialValue
        }
      return Row(
        step: point.step, sequences: sequences, tokens: tokens, loss: point.value,
        validation: value(validation, after: before, upTo: point.step),
        learningRate: value(learningRate, after: Int.min, upTo: point.step))
    }
  }

  /// How many sequences were seen at the checkpoint, as far as the event files say it themselves.
  var sequencesAtMark: Int? {
    mark.flatMap { mark in
      samples?.last(upTo: mark).flatMap { $0.step == mark ? Int(exactly: $0.value) : nil }
    }
  }

  /// The validation loss that was logged at the checkpoint.
  public var validationAtMark: Double? {
    mark.flatMap { mark in validation.last { $0.step == mark }?.value }
  }
}
