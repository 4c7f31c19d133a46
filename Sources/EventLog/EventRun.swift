/// What the event files of one folder, or of several that belong together, say of a training.
public struct EventRun: Hashable, Sendable {
  /// A text that was logged, as trainers do with each of their arguments.
  public struct Text: Hashable, Sendable {
    /// The step that it was logged at, as a rule 0 or that at which the job began.
    public let step: Int
    /// At most 64 KiB, cut after that; what is not UTF-8 is shown as U+FFFD.
    public let text: String
    /// Which of the files it is from, counted from 0 in the order of reading.
    public let job: Int
  }

  /// A curve with its tag.
  public struct NamedCurve: Hashable, Sendable {
    /// Under which the trainer logged it, such as `lm loss`.
    public let tag: String
    /// Its values, of which a restart may have made all void.
    public internal(set) var curve: EventCurve
  }

  /// The texts of a tag.
  public struct NamedTexts: Hashable, Sendable {
    /// Under which the trainer logged them, such as `hidden_size/text_summary`.
    public let tag: String
    /// In the order of reading, those of later jobs after those of earlier ones.
    public internal(set) var texts: [Text]
  }

  /// The path of the folder below the one that was asked for; `.` for that one itself.
  public let name: String
  /// The names of the files, in the order in which they were read: that of their names.
  public internal(set) var files: [String] = []
  /// The size of all files.
  public internal(set) var byteCount = 0
  /// How many records could be read.
  public internal(set) var recordCount = 0
  /// How many files hold values or texts: each was written by a job of its own.
  public internal(set) var jobCount = 0
  /// Who wrote the files, where they say so.
  public internal(set) var writer: String?
  /// The curves by their tags, in the order in which they were met.
  public internal(set) var curves: [NamedCurve] = []
  /// The texts by their tags.
  public internal(set) var texts: [NamedTexts] = []
  /// What was left out of the files.
  public internal(set) var damage: [EventDamage] = []
  /// How many values were neither one number nor one text.
  public internal(set) var otherCount = 0
  /// The time of the first value, in seconds since 1970.
  public internal(set) var firstTime: Double?

  init(name: String) { self.name = name }

  /// The curve of a tag.
  public subscript(tag: String) -> EventCurve? { curves.first { $0.tag == tag }?.curve }

  /// Goes on with the files of another folder.
  mutating func append(_ other: EventRun) {
    files += other.files.map { "\(other.name)/\($0)" }
    byteCount += other.byteCount
    recordCount += other.recordCount
    damage += other.damage
    otherCount += other.otherCount
    writer = writer ?? other.writer
    firstTime = firstTime ?? other.firstTime
    for more in other.curves {
      if let index = curves.firstIndex(where: { $0.tag == more.tag }) {
        curves[index].curve.append(contentsOf: more.curve)
      } else {
        curves.append(more)
      }
    }
    for more in other.texts {
      let moved = more.texts.map { Text(step: $0.step, text: $0.text, job: $0.job + jobCount) }
      if let index = texts.firstIndex(where: { $0.tag == more.tag }) {
        texts[index].texts += moved
      } else {
        texts.append(NamedTexts(tag: more.tag, texts: moved))
      }
    }
    jobCount += other.jobCount
  }
}
