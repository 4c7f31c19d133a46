import Diagnostics

/// The exit status of the command, by the numbers of BSD's `sysexits.h`.
struct ExitStatus: RawRepresentable, Hashable {
  let rawValue: Int32

  /// The status that a kind of diagnostic leads to.
  init(_ kind: Diagnostic.Kind) {
    rawValue =
      switch kind {
      case .note: 0
      case .fault: 1
      case .usage: 64
      case .malformed: 65
      case .noInput: 66
      case .unsupported: 69
      case .bug: 70
      case .cannotCreate: 73
      case .inputOutput: 74
      case .tryAgain: 75
      case .undecided: 78
      }
  }

  init(rawValue: Int32) {
    self.rawValue = rawValue
  }
}

extension Failure {
  /// The exit status that it leads to.
  var status: ExitStatus { ExitStatus(diagnostic.code.kind) }
}
