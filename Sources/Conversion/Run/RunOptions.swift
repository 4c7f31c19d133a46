import ByteIO
public import Transfer

/// How a conversion is carried out, beyond what it makes.
public struct RunOptions: Hashable, Sendable {
  /// Which files of the output are made.
  public enum Work: Hashable, Sendable {
    /// All of them, and OUTPUT is made.
    case all
    /// Those of one part; OUTPUT is not made.
    case part(WorkShare)
    /// None: OUTPUT is made of those that the parts have finished.
    case finish
  }

  /// More threads than that only wait for memory and disk.
  public static let maximumThreads = 4

  /// How much of the recorded CRCs is checked.
  public var crc: CRCMode
  /// Whether an OUTPUT that exists may be replaced.
  public var overwrite: Bool
  /// How the output is checked before it appears.
  public var check: ReadBack
  /// Whether `SHA256SUMS` is written, which takes another pass over the output.
  public var sha256: Bool
  /// Whether files that an earlier run finished are taken up.
  public var resume: Bool
  /// Which files this run makes.
  public var work: Work
  /// How many threads share the work; `nil` for as many as the process may keep busy, up to
  /// ``maximumThreads``.
  public var jobs: Int?

  /// How many threads there are.
  public var threads: Int { jobs ?? min(Workers.granted, RunOptions.maximumThreads) }

  /// The usual choices, each of which can be given.
  public init(
    crc: CRCMode = .auto, overwrite: Bool = false, check: ReadBack = .fast,
    sha256: Bool = false, resume: Bool = true, work: Work = .all, jobs: Int? = nil
  ) {
    self.crc = crc
    self.overwrite = overwrite
    self.check = check
    self.sha256 = sha256
    self.resume = resume
    self.work = work
    self.jobs = jobs
  }
}
