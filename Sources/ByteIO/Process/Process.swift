import CGlibc
import Glibc
public import SystemPackage

// The stop request is a static variable of the C header, of which each object file would have its
// own copy: it is only touched from this file.

/// What the process knows of itself and of its surroundings.
public enum Process {
  /// The two streams that text goes to.
  public enum Stream: Int32, Sendable {
    case output = 1
    case errors = 2

    /// Whether a person is looking at it.
    public var isTerminal: Bool { isatty(rawValue) == 1 }

    /// The width of the terminal in columns; `nil` when it is not a terminal.
    public var columns: Int? {
      let columns = cglibc_terminal_columns(rawValue)
      return columns > 0 ? Int(columns) : nil
    }

    /// Writes `text`, waiting as long as the reader needs.
    ///
    /// - Returns: `false` when the text could not be written, for instance to a full disk. A reader
    ///   that has closed the pipe has all that it wanted.
    @discardableResult
    public func write(_ text: String) -> Bool {
      let bytes = Array(text.utf8)
      var done = 0
      while done < bytes.count {
        let put = unsafe bytes.withUnsafeBytes {
          // Sound: `done` is below the count.
          unsafe Glibc.write(rawValue, $0.baseAddress?.advanced(by: done), bytes.count - done)
        }
        if put > 0 {
          done += put
        } else if put < 0, errno == EPIPE {
          // The reader has seen enough.
          return true
        } else if put == 0 || errno != EINTR {
          return false
        }
      }
      return true
    }
  }

  /// Has SIGINT, SIGTERM, SIGHUP and SIGUSR1 noted instead of ending the process. A second one ends
  /// it at once. A SIGHUP that the parent ignores, as `nohup` does, stays ignored. Writing to a
  /// closed pipe becomes an error of the write.
  public static func catchStopSignals() {
    for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] { cglibc_catch(number) }
    ignoreBrokenPipes()
  }

  /// Makes writing to a closed pipe, or beyond the limit on the size of files, an error of the
  /// write.
  public static func ignoreBrokenPipes() {
    _ = signal(SIGPIPE, SIG_IGN)
    _ = signal(SIGXFSZ, SIG_IGN)
  }

  /// The signal that asked the process to stop; `nil` while none has.
  public static var stopSignal: Int32? {
    let number = cglibc_stop_requested()
    return number == 0 ? nil : number
  }

  /// The signal by which batch systems announce that the time is running out.
  public static let warningSignal = SIGUSR1

  /// Ends the process by the signal itself, so that its parent sees what happened.
  public static func raise(_ signal: Int32) {
    cglibc_default_and_raise(signal)
  }

  /// Ends the process.
  public static func exit(_ code: Int32) -> Never {
    Glibc.exit(code)
  }

  /// Seconds on a clock that never goes back.
  public static var monotonicSeconds: Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Seconds since 1970.
  public static var secondsSince1970: Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int(time.tv_sec)
  }

  /// The time of day in UTC, as "2026-11-23T04:05:06Z".
  public static var timestamp: String {
    var now = time(nil)
    // Sound: the record is filled from the time and holds nothing that is pointed to.
    var parts = unsafe tm()
    unsafe gmtime_r(&now, &parts)
    func digits(_ value: Int32) -> String { (value < 10 ? "0" : "") + "\(value)" }
    let day = unsafe [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday].map(digits)
    let clock = unsafe [parts.tm_hour, parts.tm_min, parts.tm_sec].map(digits)
    return "\(day.joined(separator: "-"))T\(clock.joined(separator: ":"))Z"
  }

  /// Waits; a signal ends the wait early.
  public static func sleep(milliseconds: Int) {
    usleep(useconds_t(clamping: milliseconds * 1000))
  }

  /// The number of this process, which makes names unique on this machine.
  public static var identifier: Int { Int(getpid()) }

  /// Whether a process of that number runs on this machine.
  public static func isRunning(_ identifier: Int) -> Bool {
    guard let number = pid_t(exactly: identifier), number > 0 else { return false }
    return kill(number, 0) == 0 || errno == EPERM
  }

  /// The name of this machine.
  public static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    // The last byte stays zero even when the name is cut.
    guard unsafe gethostname(&name, name.count - 1) == 0 else { return "unknown" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The value of an environment variable.
  public static func environment(_ name: String) -> String? {
    // Sound: nothing in this program changes the environment.
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// The largest amount of memory, in bytes, that was resident so far.
  public static var peakResidentBytes: Int {
    // `ru_maxrss` is inherited through fork and exec, so a large parent would be counted.
    kibibytes("/proc/self/status", "VmHWM:") ?? 0
  }

  /// The memory that can be had, in bytes: by what the machine has left, and the control group.
  /// `nil` where neither is known.
  public static var availableMemory: Int? {
    [kibibytes("/proc/meminfo", "MemAvailable:"), ControlGroup.memoryLeft].compactMap { $0 }.min()
  }

  private static func kibibytes(_ path: String, _ prefix: String) -> Int? {
    ControlGroup.line(path, prefix: prefix).flatMap { Int($0.filter(\.isNumber)) }.map {
      $0 * 1024
    }
  }

  /// The bytes that were given as the argument `text`; Swift repairs those that are not UTF-8.
  public static func bytes(argument text: String) -> [UInt8] {
    let arguments = unsafe CommandLine.unsafeArgv
    for index in 0..<Int(CommandLine.argc) {
      // Sound: as below.
      guard let raw = unsafe arguments[index] else { continue }
      if unsafe String(cString: raw) == text {
        return unsafe Array(UnsafeBufferPointer(start: raw, count: strlen(raw))).map {
          UInt8(bitPattern: $0)
        }
      }
    }
    return Array(text.utf8)
  }

  /// All of standard input.
  ///
  /// - Throws: ``FileError`` when it cannot be read.
  public static func standardInput() throws(FileError) -> [UInt8] {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe read(STDIN_FILENO, &part, part.count)
      if count == 0 { return bytes }
      if count > 0 {
        bytes += part.prefix(count)
      } else if errno != EINTR {
        throw FileError(errno: errno, path: "-", operation: "read")
      }
    }
  }

  /// The path that was given as the argument `text`.
  ///
  /// File names are bytes. Swift repairs arguments that are not UTF-8, so the bytes are taken
  /// from the argument that was repaired to `text`.
  public static func path(argument text: String) -> FilePath {
    let arguments = unsafe CommandLine.unsafeArgv
    for index in 0..<Int(CommandLine.argc) {
      // Sound: `argv` has `argc` strings that live as long as the process.
      guard let raw = unsafe arguments[index] else { continue }
      if unsafe String(cString: raw) == text { return unsafe FilePath(platformString: raw) }
    }
    return FilePath(text)
  }
}
