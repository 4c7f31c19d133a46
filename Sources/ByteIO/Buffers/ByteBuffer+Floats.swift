import CKernels

extension ByteBuffer {
  /// Converts `count` elements of `source` and lays them down in this buffer.
  ///
  /// Every value goes through binary32: it is widened exactly, `addend` is added if it is not 0,
  /// and the result is rounded once, to nearest and ties to even.
  ///
  /// - Returns: How many finite values became infinite.
  public func convert(
    _ count: Int, from source: ByteBuffer, at offset: Int, as from: FloatFormat,
    to target: FloatFormat, at start: Int, adding addend: Float = 0
  ) -> Int {
    precondition(source !== self, "a conversion cannot be done in place")
    if addend == 0, from != target {
      // Sound: both slices hold `count` elements of their format.
      let input = unsafe source.slice(offset..<offset + count * from.size)
      let output = unsafe slice(start..<start + count * target.size)
      let done =
        if let input = input.baseAddress, let output = output.baseAddress {
          unsafe convertLanes(count, input, output, from: from, to: target)
        } else {
          0
        }
      guard done == 0 else {
        return convertSingly(
          count - done, from: source, at: offset + done * from.size, as: from, to: target,
          at: start + done * target.size, adding: 0)
      }
    }
    return convertSingly(
      count, from: source, at: offset, as: from, to: target, at: start, adding: addend)
  }

  private func convertSingly(
    _ count: Int, from source: ByteBuffer, at offset: Int, as from: FloatFormat,
    to target: FloatFormat, at start: Int, adding addend: Float
  ) -> Int {
    let input = unsafe source.slice(offset..<offset + count * from.size)
    let output = unsafe slice(start..<start + count * target.size)
    // Sound: both slices hold `count` elements of their format.
    guard let input = UnsafeRawPointer(input.baseAddress), let output = output.baseAddress
    else { return 0 }
    return switch (from, target) {
    case (.float16, .float32):
      unsafe map(count, input, output, addend, { widen(half: $0) }, { $0 })
    case (.float16, .bfloat16):
      unsafe map(count, input, output, addend, { widen(half: $0) }, { narrowToBrain($0) })
    case (.float16, .float16):
      unsafe map(count, input, output, addend, { widen(half: $0) }, { narrowToHalf($0) })
    case (.bfloat16, .float32):
      unsafe map(count, input, output, addend, { UInt32($0 as UInt16) << 16 }, { $0 })
    case (.bfloat16, .bfloat16):
      unsafe map(
        count, input, output, addend, { UInt32($0 as UInt16) << 16 }, { narrowToBrain($0) })
    case (.bfloat16, .float16):
      unsafe map(
        count, input, output, addend, { UInt32($0 as UInt16) << 16 }, { narrowToHalf($0) })
    case (.float32, .float32):
      unsafe map(count, input, output, addend, { $0 as UInt32 }, { $0 })
    case (.float32, .bfloat16):
      unsafe map(count, input, output, addend, { $0 as UInt32 }, { narrowToBrain($0) })
    case (.float32, .float16):
      unsafe map(count, input, output, addend, { $0 as UInt32 }, { narrowToHalf($0) })
    }
  }

  /// The element-wise sum of `sources`, in their order and in binary32.
  ///
  /// - Parameters:
  ///   - sources: Buffers that hold the elements from byte 0 on.
  ///   - count: The number of elements of each.
  ///   - format: The format of the elements.
  ///   - start: Where the `count` binary32 results go in this buffer, in bytes.
  public func sum(of sources: [ByteBuffer], count: Int, as format: FloatFormat, to start: Int) {
    let output = unsafe slice(start..<start + count * 4)
    for (position, source) in sources.enumerated() {
      let input = unsafe source.slice(0..<count * format.size)
      for index in 0..<count {
        let value = unsafe Float(bitPattern: load(UnsafeRawBufferPointer(input), index, format))
        let sum =
          position == 0
          ? value : unsafe output.loadUnaligned(fromByteOffset: index &* 4, as: Float.self) + value
        unsafe output.storeBytes(of: sum, toByteOffset: index &* 4, as: Float.self)
      }
    }
  }

  /// The element-wise mean of `sources`, summed in their order and divided in binary32. Where all
  /// are equal, their value is taken as it is: a sum of three thirds need not be one.
  ///
  /// - Parameters:
  ///   - sources: Buffers that hold the elements from byte 0 on.
  ///   - count: The number of elements of each.
  ///   - format: The format of the elements.
  ///   - start: Where the `count` binary32 results go in this buffer, in bytes.
  public func mean(of sources: [ByteBuffer], count: Int, as format: FloatFormat, to start: Int) {
    sum(of: sources, count: count, as: format, to: start)
    let output = unsafe slice(start..<start + count * 4)
    let divisor = Float(sources.count)
    for index in 0..<count {
      let sum = unsafe output.loadUnaligned(fromByteOffset: index &* 4, as: Float.self)
      let bits = sources.map { source in
        unsafe load(UnsafeRawBufferPointer(source.slice(0..<count * format.size)), index, format)
      }
      let isEqual = bits.allSatisfy { $0 == bits[0] }
      unsafe output.storeBytes(
        of: isEqual ? Float(bitPattern: bits[0]) : sum / divisor, toByteOffset: index &* 4,
        as: Float.self)
    }
  }

  /// Counts what is not finite among `count` elements from byte `start` on.
  public func countNonFinite(_ count: Int, as format: FloatFormat, at start: Int) -> FloatCounts {
    let input = unsafe UnsafeRawBufferPointer(slice(start..<start + count * format.size))
    var result = FloatCounts()
    // Almost always there is nothing to count, which a pass without branches shows quickly.
    let lanes = count & ~15
    let start = unsafe mayHoldNonFinite(input, lanes, format) ? 0 : lanes
    for index in start..<count {
      let magnitude = unsafe load(input, index, format) & 0x7FFF_FFFF
      if magnitude > 0x7F80_0000 { result.nan += 1 }
      if magnitude == 0x7F80_0000 { result.infinite += 1 }
    }
    return result
  }

  /// The largest absolute difference between `count` elements of two buffers, and how many elements
  /// differ in their bits. Differences with a NaN count as infinite.
  public func difference(
    _ count: Int, as format: FloatFormat, at start: Int, from other: ByteBuffer, at offset: Int
  ) -> (differing: Int, largest: Float) {
    let mine = unsafe UnsafeRawBufferPointer(slice(start..<start + count * format.size))
    let theirs = unsafe UnsafeRawBufferPointer(
      other.slice(offset..<offset + count * format.size))
    var differing = 0
    var largest: Float = 0
    for index in 0..<count {
      let (a, b) = unsafe (load(mine, index, format), load(theirs, index, format))
      guard a != b else { continue }
      differing += 1
      let distance = (Float(bitPattern: a) - Float(bitPattern: b)).magnitude
      largest = max(largest, distance.isNaN ? .infinity : distance)
    }
    return (differing, largest)
  }

  /// Reverses the bytes of each of `count` words of `wordSize` bytes, in place.
  public func swapBytes(_ count: Int, wordSize: Int, at start: Int) {
    let words = unsafe slice(start..<start + count * wordSize)
    for index in 0..<count {
      let word = unsafe UnsafeMutableRawBufferPointer(
        rebasing: words[index * wordSize..<(index + 1) * wordSize])
      for byte in 0..<wordSize / 2 {
        unsafe word.swapAt(byte, wordSize - 1 - byte)
      }
    }
  }

  /// Makes each of `count` bytes that is not 0 a 1.
  public func normalizeBooleans(_ count: Int, at start: Int) {
    let bytes = unsafe slice(start..<start + count)
    for index in 0..<count where unsafe bytes[index] > 1 { unsafe bytes[index] = 1 }
  }

  /// Flips the sign bit of each of `count` little-endian floating-point words, `step` bytes apart.
  public func negate(_ count: Int, wordSize: Int, step: Int, at start: Int) {
    guard count > 0 else { return }
    let words = unsafe slice(start..<start + (count - 1) * step + wordSize)
    for index in 0..<count {
      unsafe words[index * step + wordSize - 1] ^= 0x80
    }
  }
}

/// Converts element by element through the bits of a binary32.
///
/// Sound: the caller checked that both pointers lead to `count` elements.
@inline(__always)
private func map<
  Input: BitwiseCopyable & FixedWidthInteger, Output: BitwiseCopyable & FixedWidthInteger
>(
  _ count: Int, _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer, _ addend: Float,
  _ widen: (Input) -> UInt32, _ narrow: (UInt32) -> Output
) -> Int {
  let (step, write) = (MemoryLayout<Input>.size, MemoryLayout<Output>.size)
  let infinity: Output =
    narrow(Float.infinity.bitPattern)
  let signless = Output(truncatingIfNeeded: Output.max >> (Output.isSigned ? 0 : 1))
  var overflowed = 0
  for index in 0..<count {
    var bits = unsafe widen(input.loadUnaligned(fromByteOffset: index &* step, as: Input.self))
    if addend != 0 { bits = (Float(bitPattern: bits) + addend).bitPattern }
    let result = narrow(bits)
    if result & signless == infinity, bits & 0x7FFF_FFFF < 0x7F80_0000 { overflowed &+= 1 }
    unsafe output.storeBytes(of: result, toByteOffset: index &* write, as: Output.self)
  }
  return overflowed
}

@inline(__always)
private func load(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ format: FloatFormat) -> UInt32 {
  switch format {
  case .float32:
    unsafe bytes.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)
  case .float16:
    widen(half: unsafe bytes.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self))
  case .bfloat16:
    UInt32(unsafe bytes.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)) << 16
  }
}

/// Whether any of `count` elements, a multiple of 16, has all exponent bits set.
///
/// Sound: the caller checked that so many elements lie there.
private func mayHoldNonFinite(
  _ bytes: UnsafeRawBufferPointer, _ count: Int, _ format: FloatFormat
) -> Bool {
  let (features, start) = (Processor.features, bytes.baseAddress)
  return switch format {
  case .float16: unsafe ckernels_any_special_16(features, start, count, 0x0400) != 0
  case .bfloat16: unsafe ckernels_any_special_16(features, start, count, 0x0080) != 0
  case .float32: unsafe ckernels_any_special_32(features, start, count) != 0
  }
}

extension ByteBuffer {
  /// The mean of `count` binary32 values from byte `start` on.
  public func mean(_ count: Int, at start: Int) -> Double {
    let values = unsafe slice(start..<start + count * 4)
    var sum = 0.0
    for index in 0..<count {
      sum += Double(unsafe values.loadUnaligned(fromByteOffset: index &* 4, as: Float.self))
    }
    return count > 0 ? sum / Double(count) : 0
  }
}
