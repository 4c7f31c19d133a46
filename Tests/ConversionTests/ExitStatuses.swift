import Diagnostics

extension Diagnostic.Kind {
  /// The exit status that the command has for it, by `docs/errors.md`.
  var status: Int {
    switch self {
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
}
