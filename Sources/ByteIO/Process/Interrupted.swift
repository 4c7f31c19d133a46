/// A request to stop that came as a signal.
public struct Interrupted: Error, Hashable, Sendable {
  /// The number of the signal.
  public let signal: Int32

  /// Throws when the process was asked to stop.
  public static func check() throws(Interrupted) {
    if let signal = Process.stopSignal { throw Interrupted(signal: signal) }
  }
}
