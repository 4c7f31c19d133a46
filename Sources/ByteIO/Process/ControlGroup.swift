import Glibc

/// What the control group of the process grants it, as the kernel says in small files.
enum ControlGroup {
  /// What follows a prefix on a line of one of the group's files; `nil` without a group or such a
  /// line.
  static func line(of name: String, prefix: String = "") -> String? {
    guard let group = line("/proc/self/cgroup", prefix: "0::") else { return nil }
    return line("/sys/fs/cgroup\(group)/\(name)", prefix: prefix)
  }

  /// The bytes of memory that are left to the group; `nil` without a limit. What it has of the page
  /// cache counts as free: the kernel gives it up.
  static var memoryLeft: Int? {
    guard let limit = line(of: "memory.max").flatMap({ Int($0) }),
      let used = line(of: "memory.current").flatMap({ Int($0) })
    else { return nil }
    let cache = line(of: "memory.stat", prefix: "file ").flatMap { Int($0) } ?? 0
    return max(0, limit - max(0, used - cache))
  }

  /// What follows a prefix on the first such line of a small file.
  static func line(_ path: String, prefix: String) -> String? {
    guard let stream = unsafe fopen(path, "r") else { return nil }
    defer { unsafe fclose(stream) }
    var buffer = [CChar](repeating: 0, count: 512)
    while unsafe fgets(&buffer, Int32(buffer.count), stream) != nil {
      let text = String(
        decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix(prefix) {
        return String(text.dropFirst(prefix.count).filter { $0 != "\n" })
      }
    }
    return nil
  }
}
