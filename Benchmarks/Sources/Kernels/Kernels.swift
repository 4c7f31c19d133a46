import ByteIO

/// Runs each kernel over blocks of memory and prints gigabytes of input per second, next to a copy
/// of the same block: those that fit into the second-level cache, as a conversion works on them,
/// and one that does not.
@main struct Kernels {
  static func main() {
    print(
      "GB/s of input: median (least to most) of \(rounds) rounds, and the median ratio to memcpy "
        + "in the round"
    )
    for size in [256 << 10, 32 << 20] {
      print(size < 1 << 20 ? "\(size >> 10) KiB" : "\(size >> 20) MiB")
      for kernel in kernels(size) { measure(kernel, size) }
    }
  }

  static let rounds = 15

  struct Kernel {
    let name: String
    let body: () -> Void
  }

  static func kernels(_ size: Int) -> [Kernel] {
    let source = ByteBuffer(count: size)
    // Small finite numbers in each of the formats.
    source.store((0..<size).map { UInt8(truncatingIfNeeded: $0 % 2 == 0 ? $0 &* 7 : 0x2C) }, at: 0)
    let target = ByteBuffer(count: 2 * size + 4096 * 64)
    var result = [
      Kernel(name: "CRC-32") { keep(CRC32.checksum(0..<size, of: source)) },
      Kernel(name: "compare") { keep(source.firstDifference(0..<size, from: source, at: 0) ?? 0) },
    ]
    for width in [2, 4] {
      // Rows of 4 KiB become columns, as those of a projection do.
      let columns = 4096 / width
      let rows = size / 4096
      let box = ElementBox(sizes: [rows, columns], strides: [columns, 1])
      for (name, room, streaming) in [
        ("", 0, false), (", padded", 64, false), (", padded, past the caches", 64, true),
      ] {
        let pitch = rows + room / width
        result.append(
          Kernel(name: "transpose, \(width) bytes\(name)") {
            target.gather(
              box, from: source, at: 0, elementSize: width, to: 0, strides: [1, pitch],
              streaming: streaming)
          })
      }
      result.append(
        Kernel(name: "hash, \(width) bytes") {
          keep(
            source.hash(
              size / width, wordSize: width, at: 0, row: 0, column: 0, .alongRow
            ).bits)
        })
    }
    if size > 1 << 20 { result += [1, 3].map { heads($0, size, source, target) } }
    for format in FloatFormat.allCases {
      result.append(
        Kernel(name: "\(format): look for NaN") {
          keep(source.countNonFinite(size / format.size, as: format, at: 0).nan)
        })
      for other in FloatFormat.allCases
      where other != format && (other == .float32 || format == .float32) {
        result.append(
          Kernel(name: "\(format) to \(other)") {
            keep(
              target.convert(size / format.size, from: source, at: 0, as: format, to: other, at: 0))
          })
      }
    }
    return result
  }

  /// Heads of 50 channels, some at a time, from the cache to their columns among 4800: no whole
  /// lines.
  static func heads(
    _ count: Int, _ size: Int, _ source: ByteBuffer, _ target: ByteBuffer
  ) -> Kernel {
    let (columns, rows, width) = (50 * count, 1600, 4800)
    let box = ElementBox(sizes: [columns, rows], strides: [rows, 1])
    return Kernel(name: "transpose, 2 bytes, heads of 50, \(count) at a time") {
      for chunk in 0..<size / (columns * rows * 2) {
        target.gather(
          box, from: source, at: 0, elementSize: 2, to: chunk * columns % width * 2,
          strides: [1, (width + 64) & ~31], streaming: true)
      }
    }
  }

  static func measure(_ kernel: Kernel, _ size: Int) {
    let (source, target) = (ByteBuffer(count: size), ByteBuffer(count: size))
    let times = max(1, (64 << 20) / size)
    func speed(_ body: () -> Void) -> Double {
      let start = Process.monotonicSeconds
      for _ in 0..<times { body() }
      return Double(size * times) / (Process.monotonicSeconds - start) / 1e9
    }
    kernel.body()
    var speeds: [Double] = []
    var ratios: [Double] = []
    for _ in 0..<rounds {
      let copy = speed { target.copy(0..<size, of: source, to: 0) }
      speeds.append(speed(kernel.body))
      ratios.append((speeds.last ?? 0) / copy)
    }
    speeds.sort()
    ratios.sort()
    func digits(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
    let name = kernel.name + String(repeating: " ", count: max(1, 44 - kernel.name.count))
    print(
      "  \(name)\(digits(speeds[rounds / 2])) (\(digits(speeds[0])) to "
        + "\(digits(speeds[rounds - 1])))  \(digits(ratios[rounds / 2]))"
    )
  }

  /// Keeps the compiler from leaving a kernel out whose result nobody reads.
  @inline(never)
  static func keep<Value>(_ value: Value) {}
}
