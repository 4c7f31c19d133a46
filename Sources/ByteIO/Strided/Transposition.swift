import CKernels

/// Two dimensions that change places: `rows` neighbours in the source become rows of the target.
///
/// Element (row, column) is read at `row + column * sourceStride` and written at
/// `row * targetStride + column`, all in elements.
struct Transposition {
  let rows: Int
  let columns: Int
  let sourceStride: Int
  let targetStride: Int
}

/// The side of the blocks that are turned in one go. A row of a block of 2-byte elements
/// then is one cache line, so that every line is loaded and stored whole even when the strides are
/// powers of two and fall into the same cache sets.
private let blockSide = 32
/// The distance of the rows of a block, of which the first may begin within a line and have up to
/// another one.
private let blockPitch = 2 * blockSide
/// The side of the squares that are turned in registers.
private let squareSide = 8
/// The size of a cache line in bytes.
private let lineSize = 64

/// Transposes a box whose memory the caller has checked.
///
/// - Parameters:
///   - shape: The box.
///   - source: Its first element.
///   - target: Where that goes.
///   - elementSize: The size of an element in bytes.
///   - streaming: Whether whole lines are stored past the caches: right for a target that is larger
///     than them.
///
/// Sound: all offsets are below `rows + (columns - 1) * sourceStride` and
/// `(rows - 1) * targetStride + columns`, which the caller compared with its buffers; loads and
/// stores are unaligned, but for whole lines whose alignment is looked at.
func transpose(
  _ shape: Transposition, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer,
  elementSize: Int, streaming: Bool
) {
  switch elementSize {
  case 2: unsafe transpose(shape, source, target, of: UInt16.self, streaming, turn16)
  case 4: unsafe transpose(shape, source, target, of: UInt32.self, streaming, turn32)
  default: unsafe transposeSlowly(shape, source, target, elementSize: elementSize)
  }
}

/// Turns block after block on the stack: squares in registers, what is narrower than a square
/// element by element. Where whole lines are stored past the caches, the first block begins on the
/// stack where it does in its line of the target, and all but the last one end with a line, so that
/// as many as can be are whole.
@inline(__always)
private func transpose<Element: BitwiseCopyable>(
  _ shape: Transposition, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer,
  of type: Element.Type, _ streaming: Bool,
  _ turn: (UnsafeRawPointer, Int, UnsafeMutableRawPointer, Int, Int) -> Void
) {
  let size = MemoryLayout<Element>.size
  let (sourceStride, targetStride) = (shape.sourceStride &* size, shape.targetStride &* size)
  let offset = Int(bitPattern: target) & (lineSize - 1)
  let isStreamed = streaming && (targetStride & (lineSize - 1) | offset & (size - 1)) == 0
  unsafe withUnsafeTemporaryAllocation(
    byteCount: blockSide * blockPitch * size, alignment: lineSize
  ) { block in
    guard let block = block.baseAddress else { return }
    var row = 0
    while row < shape.rows {
      let height = min(blockSide, shape.rows &- row)
      var column = 0
      var start = isStreamed ? offset : 0
      while column < shape.columns {
        let room = start == 0 ? blockSide : blockPitch &- start / size
        let width = min(room, shape.columns &- column)
        let from = unsafe source + row &* size + column &* sourceStride
        if height >= squareSide && width >= squareSide {
          unsafe turn(from, sourceStride, block + start, height, width)
        } else {
          for line in 0..<height {
            for place in 0..<width {
              let value = unsafe from.loadUnaligned(
                fromByteOffset: line &* size &+ place &* sourceStride, as: type)
              unsafe block.storeBytes(
                of: value, toByteOffset: start &+ (line &* blockPitch &+ place) &* size, as: type)
            }
          }
        }
        let end = start &+ width &* size
        let first = isStreamed ? min((start &+ lineSize &- 1) & ~(lineSize - 1), end) : end
        let last = max(first, end & ~(lineSize - 1))
        let to = unsafe target + row &* targetStride + column &* size - start
        for line in 0..<height {
          let (from, to) = unsafe (block + line &* blockPitch &* size, to + line &* targetStride)
          if first > start {
            unsafe (to + start).copyMemory(from: from + start, byteCount: first &- start)
          }
          unsafe ckernels_stream(to + first, from + first, last &- first)
          if end > last {
            unsafe (to + last).copyMemory(from: from + last, byteCount: end &- last)
          }
        }
        start = 0
        column &+= width
      }
      row &+= blockSide
    }
  }
  if streaming { ckernels_stream_fence() }
}

/// Turns a block of elements of 2 bytes, 8 by 8 at a time, of 8 rows and columns at least. The last
/// squares overlap those before.
///
/// Three rounds of interleaving the rows i and i + 4 of eight registers are a transposition.
@inline(__always)
private func turn16(
  _ source: UnsafeRawPointer, _ sourceStride: Int, _ block: UnsafeMutableRawPointer, _ rows: Int,
  _ columns: Int
) {
  typealias Row = SIMD8<UInt16>
  var column = 0
  while true {
    var row = 0
    while true {
      let from = unsafe source + column &* sourceStride + row &* 2
      var r0 = unsafe from.loadUnaligned(as: Row.self)
      var r1 = unsafe (from + sourceStride).loadUnaligned(as: Row.self)
      var r2 = unsafe (from + 2 &* sourceStride).loadUnaligned(as: Row.self)
      var r3 = unsafe (from + 3 &* sourceStride).loadUnaligned(as: Row.self)
      var r4 = unsafe (from + 4 &* sourceStride).loadUnaligned(as: Row.self)
      var r5 = unsafe (from + 5 &* sourceStride).loadUnaligned(as: Row.self)
      var r6 = unsafe (from + 6 &* sourceStride).loadUnaligned(as: Row.self)
      var r7 = unsafe (from + 7 &* sourceStride).loadUnaligned(as: Row.self)
      for _ in 0..<3 {
        let (a, b) = (low(r0, r4), high(r0, r4))
        let (c, d) = (low(r1, r5), high(r1, r5))
        let (e, f) = (low(r2, r6), high(r2, r6))
        let (g, h) = (low(r3, r7), high(r3, r7))
        (r0, r1, r2, r3, r4, r5, r6, r7) = (a, b, c, d, e, f, g, h)
      }
      let to = unsafe block + (row &* blockPitch &+ column) &* 2
      unsafe to.storeBytes(of: r0, as: Row.self)
      unsafe to.storeBytes(of: r1, toByteOffset: blockPitch &* 2, as: Row.self)
      unsafe to.storeBytes(of: r2, toByteOffset: blockPitch &* 4, as: Row.self)
      unsafe to.storeBytes(of: r3, toByteOffset: blockPitch &* 6, as: Row.self)
      unsafe to.storeBytes(of: r4, toByteOffset: blockPitch &* 8, as: Row.self)
      unsafe to.storeBytes(of: r5, toByteOffset: blockPitch &* 10, as: Row.self)
      unsafe to.storeBytes(of: r6, toByteOffset: blockPitch &* 12, as: Row.self)
      unsafe to.storeBytes(of: r7, toByteOffset: blockPitch &* 14, as: Row.self)
      if row &+ 8 >= rows { break }
      row = min(row &+ 8, rows &- 8)
    }
    if column &+ 8 >= columns { break }
    column = min(column &+ 8, columns &- 8)
  }
}

/// Turns a block of elements of 4 bytes, 4 by 4 at a time, of 4 rows and columns at least;
/// likewise.
@inline(__always)
private func turn32(
  _ source: UnsafeRawPointer, _ sourceStride: Int, _ block: UnsafeMutableRawPointer, _ rows: Int,
  _ columns: Int
) {
  typealias Row = SIMD4<UInt32>
  var column = 0
  while true {
    var row = 0
    while true {
      let from = unsafe source + column &* sourceStride + row &* 4
      var r0 = unsafe from.loadUnaligned(as: Row.self)
      var r1 = unsafe (from + sourceStride).loadUnaligned(as: Row.self)
      var r2 = unsafe (from + 2 &* sourceStride).loadUnaligned(as: Row.self)
      var r3 = unsafe (from + 3 &* sourceStride).loadUnaligned(as: Row.self)
      for _ in 0..<2 {
        let (a, b) = (low(r0, r2), high(r0, r2))
        let (c, d) = (low(r1, r3), high(r1, r3))
        (r0, r1, r2, r3) = (a, b, c, d)
      }
      let to = unsafe block + (row &* blockPitch &+ column) &* 4
      unsafe to.storeBytes(of: r0, as: Row.self)
      unsafe to.storeBytes(of: r1, toByteOffset: blockPitch &* 4, as: Row.self)
      unsafe to.storeBytes(of: r2, toByteOffset: blockPitch &* 8, as: Row.self)
      unsafe to.storeBytes(of: r3, toByteOffset: blockPitch &* 12, as: Row.self)
      if row &+ 4 >= rows { break }
      row = min(row &+ 4, rows &- 4)
    }
    if column &+ 4 >= columns { break }
    column = min(column &+ 4, columns &- 4)
  }
}

@inline(__always)
private func low(_ a: SIMD8<UInt16>, _ b: SIMD8<UInt16>) -> SIMD8<UInt16> {
  var result = SIMD8<UInt16>()
  result.evenHalf = a.lowHalf
  result.oddHalf = b.lowHalf
  return result
}

@inline(__always)
private func high(_ a: SIMD8<UInt16>, _ b: SIMD8<UInt16>) -> SIMD8<UInt16> {
  var result = SIMD8<UInt16>()
  result.evenHalf = a.highHalf
  result.oddHalf = b.highHalf
  return result
}

@inline(__always)
private func low(_ a: SIMD4<UInt32>, _ b: SIMD4<UInt32>) -> SIMD4<UInt32> {
  var result = SIMD4<UInt32>()
  result.evenHalf = a.lowHalf
  result.oddHalf = b.lowHalf
  return result
}

@inline(__always)
private func high(_ a: SIMD4<UInt32>, _ b: SIMD4<UInt32>) -> SIMD4<UInt32> {
  var result = SIMD4<UInt32>()
  result.evenHalf = a.highHalf
  result.oddHalf = b.highHalf
  return result
}

/// Any element size, in blocks that fit into the first-level cache.
private func transposeSlowly(
  _ shape: Transposition, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer,
  elementSize size: Int
) {
  var top = 0
  while top < shape.rows {
    var left = 0
    while left < shape.columns {
      for row in top..<min(top + 16, shape.rows) {
        for column in left..<min(left + 16, shape.columns) {
          unsafe (target + (row &* shape.targetStride &+ column) &* size).copyMemory(
            from: source + (row &+ column &* shape.sourceStride) &* size, byteCount: size)
        }
      }
      left += 16
    }
    top += 16
  }
}
