import ByteIO

/// What the batch system, if there is one, says of the task that this process is.
enum BatchSystem {
  /// The name of the task: job, and position in its array.
  static var task: String? {
    // swift-format-ignore
    let names: [(job: String, position: String)] = [
      ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
      ("SLURM_JOB_ID",       ""),
      ("PBS_JOBID",          ""),
      ("LSB_JOBID",          "LSB_JOBINDEX"),
      ("JOB_ID",             "SGE_TASK_ID"),
    ]
    for name in names {
      guard let job = value(name.job) else { continue }
      return job + (value(name.position).map { "_\($0)" } ?? "")
    }
    return nil
  }

  /// The position of this task in its array, as text; `nil` outside of arrays. Of the systems that
  /// let the user count from 0.
  static var index: String? {
    ["SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX"].lazy.compactMap { Process.environment($0) }.first
  }

  /// What each line of a log begins with: when, where, and in which task.
  static var stamp: String {
    "\(Process.timestamp) \(Process.hostName)" + (task.map { " \($0)" } ?? "") + " "
  }

  private static func value(_ name: String) -> String? {
    guard !name.isEmpty, let text = Process.environment(name), !text.isEmpty,
      text.utf8.allSatisfy({ (0x21..<0x7F).contains($0) })
    else { return nil }
    return text
  }
}
