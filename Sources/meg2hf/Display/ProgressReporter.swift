import ByteIO
import Conversion
import Diagnostics

/// Shows how far a pass is: a bar on a terminal, lines elsewhere.
final class ProgressReporter {
  private let style: ProgressStyle
  private let verb: String
  private var total = 0
  private var read = 0
  private var started = Process.monotonicSeconds
  private var shown = 0.0
  private var hasBar = false
  private var isStarted = false
  /// Without a wish of the user's, a run that is over in a moment prints nothing.
  private let isPatient: Bool
  private var isAnnounced = false

  /// A reporter of what `verb` names, as "converting".
  init(_ options: DisplayOptions, verb: String) {
    self.verb = verb
    isPatient = options.progress == .auto
    let isTerminal = Process.Stream.errors.isTerminal && Process.environment("TERM") != "dumb"
    if options.quiet {
      style = .none
    } else if options.progress == .auto {
      style = isTerminal ? .bar : .plain
    } else {
      style = options.progress
    }
  }

  /// Begins to count.
  func start(total: Int) {
    self.total = total
    started = Process.monotonicSeconds
    shown = started
    isStarted = true
    announce(started)
  }

  /// Notes that `bytes` of all were read.
  func update(_ bytes: Int) {
    read = bytes
    let now = Process.monotonicSeconds
    announce(now)
    // A bar that moves ten times a second is smooth; a line in a log is for every half minute.
    guard isAnnounced || style != .plain, now - shown >= (style == .bar ? 0.1 : 30) else { return }
    shown = now
    let state = state(bytes, now)
    switch style {
    case .bar: drawBar(bytes, state, total: total)
    case .plain: line(state)
    case .none, .auto: break
    }
  }

  /// Notes that so many of all tensors are done, where bytes do not tell.
  func update(tensors done: Int, of total: Int) {
    let now = Process.monotonicSeconds
    guard style == .bar, now - shown >= 0.1, now - started >= 1 else { return }
    shown = now
    drawBar(done, "\(done) of \(total) tensors", total: total)
  }

  /// Notes that so many tokens are done, of which it is not known how many there are.
  func update(tokens done: Int) {
    let now = Process.monotonicSeconds
    guard style == .bar, now - shown >= 0.1, now - started >= 1 else { return }
    shown = now
    let speed = decimal(Double(done) / (now - started), places: 1)
    drawBar(done, "\(thousands(done)) tokens, \(speed) tokens/s", total: max(done, 1))
  }

  /// Notes that so many of all steps are done.
  func update(steps done: Int, of total: Int) {
    let now = Process.monotonicSeconds
    guard style == .bar, now - shown >= 0.1, now - started >= 1 else { return }
    shown = now
    drawBar(done, "\(done) of \(total) steps", total: total)
  }

  /// Says what is begun, once it is clear that it takes a while.
  private func announce(_ now: Double) {
    guard style == .plain, !isAnnounced, !isPatient || now - started >= 2 else { return }
    isAnnounced = true
    line("\(verb), \(byteText(total)) to read")
  }

  /// Shows a step of a conversion.
  func show(_ event: Conversion.Event) {
    switch event {
    case .started(let bytes): start(total: bytes)
    case .reading(let bytes): update(bytes)
    case .finishedFile(let name, let bytes): finishedFile(name, bytes)
    case .resumedFile(let name, let bytes): resumedFile(name, bytes)
    }
  }

  /// Notes that a file is done.
  func finishedFile(_ name: String, _ bytes: Int) {
    if style == .plain, isAnnounced { line("wrote \(name), \(byteText(bytes))") }
  }

  /// Notes that a file was done already.
  func resumedFile(_ name: String, _ bytes: Int) {
    if style == .plain, isAnnounced { line("\(name), \(byteText(bytes)), was finished before") }
  }

  /// Takes the bar away.
  func finish() {
    if hasBar { Process.Stream.errors.write("\r\u{1B}[K") }
    hasBar = false
    guard isStarted, style == .plain, isAnnounced else { return }
    isStarted = false
    let seconds = max(Process.monotonicSeconds - started, 1e-3)
    line(
      "\(byteText(read)) read in \(decimal(seconds, places: 1)) s, "
        + "\(byteText(Int(Double(read) / seconds)))/s, \(byteText(Process.peakResidentBytes)) of "
        + "memory"
    )
  }

  private func state(_ bytes: Int, _ now: Double) -> String {
    let seconds = max(now - started, 1e-3)
    let rate = Double(bytes) / seconds
    let left = rate > 0 ? Double(max(total - bytes, 0)) / rate : 0
    let percent = total > 0 ? min(100, bytes * 100 / total) : 100
    return "\(percent)% of \(byteText(total)), \(byteText(Int(rate)))/s, \(time(left)) left"
  }

  private func time(_ seconds: Double) -> String {
    let whole = Int(min(seconds.rounded(.up), 1e9))
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole / 60 % 60) min"
  }

  private func drawBar(_ done: Int, _ state: String, total: Int) {
    let columns = Process.Stream.errors.columns ?? 80
    let room = min(40, columns - verb.count - state.count - 6)
    var text = "\(verb) "
    if room >= 8 {
      let filled = total > 0 ? min(room, done / max(1, total / room)) : room
      text +=
        "[" + String(repeating: "#", count: filled)
        + String(repeating: ".", count: room - filled) + "] "
    }
    Process.Stream.errors.write("\r" + (text + state).prefix(max(columns - 1, 1)) + "\u{1B}[K")
    hasBar = true
  }

  /// A line of a log says when and where it was written.
  private func line(_ text: String) {
    let stamp = Process.Stream.errors.isTerminal ? "" : BatchSystem.stamp
    Process.Stream.errors.write("\(stamp)meg2hf: \(printable(text))\n")
  }
}
