import ArgumentParser
import Conversion

/// How many threads share the work.
struct ThreadOptions: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "How many threads share the work; by default as many as the batch system, the affinity mask "
        + "or the control group grant, up to \(RunOptions.maximumThreads).", valueName: "n"))
  var jobs: Int?

  func validate() throws {
    guard jobs.map({ (1...64).contains($0) }) ?? true else {
      throw ValidationError("--jobs is a number from 1 to 64.")
    }
  }
}
