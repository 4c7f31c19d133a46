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

/// The side of the square blocks that are turned in one go. A row of a block of 2-byte elements
/// then is one cache line, so that every line is loaded and stored whole even when the strides are
/// powers of two and fall into the same cache sets.
private let blockSide = 32

/// Transposes a box whose memory the caller has checked.
///
/// Sound: all offsets are below `rows + (columns - 1) * sourceStride` and
/// `(rows - 1) * targetStride + columns`, which the caller compared with its buffers; loads and
/// stores are unaligned.
func transpose(
  _ shape: Transposition, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer,
  elementSize: Int
) {
  switch elementSize {
  case 2: unsafe transpose(shape, source, target, of: UInt16.self, turn16)
  case 4: unsafe transpose(shape, source, target, of: UInt32.self, turn32)
  default: unsafe transposeSlowly(shape, source, target, elementSize: elementSize)
  }
}

/// Walks over the blocks; whole ones are turned in registers, the rest element by element.
@inline(__always)
private func transpose<Element: BitwiseCopyable>(
  _ shape: Transposition, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer,
  of type: Element.Type,
  _ turn: (UnsafeRawPointer, Int, UnsafeMutableRawPointer) -> Void
) {
  let size = MemoryLayout<Element>.size
  let wholeRows = shape.rows / blockSide * blockSide
  let wholeColumns = shape.columns / blockSide * blockSide
  unsafe withUnsafeTemporaryAllocation(byteCount: blockSide * blockSide * size, alignment: 64) {
    block in
    guard let block = block.baseAddress else { return }
    var row = 0
    while row < wholeRows {
      var column = 0
      while column < wholeColumns {
        let from = unsafe source + (row &+ column &* shape.sourceStride) &* size
        unsafe turn(from, shape.sourceStride &* size, block)
        let to = unsafe target + (row &* shape.targetStride &+ column) &* size
        for line in 0..<blockSide {
          unsafe (to + line &* shape.targetStride &* size).copyMemory(
            from: block + line &* blockSide &* size, byteCount: blockSide &* size)
        }
        column &+= blockSide
      }
      row &+= blockSide
    }
  }
  for row in 0..<shape.rows {
    for column in (row < wholeRows ? wholeColumns : 0)..<shape.columns {
      let value = unsafe source.loadUnaligned(
        fromByteOffset: (row &+ column &* shape.sourceStride) &* size, as: type)
      unsafe target.storeBytes(
        of: value, toByteOffset: (row &* shape.targetStride &+ column) &* size, as: type)
    }
  }
}

/// Turns a block of 32 by 32 elements of 2 bytes, 8 by 8 at a time.
///
/// Three rounds of interleaving the rows i and i + 4 of eight registers are a transposition.
@inline(__always)
private func turn16(
  _ source: UnsafeRawPointer, _ sourceStride: Int, _ block: UnsafeMutableRawPointer
) {
  typealias Row = SIMD8<UInt16>
  var column = 0
  while column < blockSide {
    var row = 0
    while row < blockSide {
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
      let to = unsafe block + (row &* blockSide &+ column) &* 2
      unsafe to.storeBytes(of: r0, as: Row.self)
      unsafe to.storeBytes(of: r1, toByteOffset: blockSide &* 2, as: Row.self)
      unsafe to.storeBytes(of: r2, toByteOffset: blockSide &* 4, as: Row.self)
      unsafe to.storeBytes(of: r3, toByteOffset: blockSide &* 6, as: Row.self)
      unsafe to.storeBytes(of: r4, toByteOffset: blockSide &* 8, as: Row.self)
      unsafe to.storeBytes(of: r5, toByteOffset: blockSide &* 10, as: Row.self)
      unsafe to.storeBytes(of: r6, toByteOffset: blockSide &* 12, as: Row.self)
      unsafe to.storeBytes(of: r7, toByteOffset: blockSide &* 14, as: Row.self)
      row &+= 8
    }
    column &+= 8
  }
}

/// Turns a block of 32 by 32 elements of 4 bytes, 4 by 4 at a time.
@inline(__always)
private func turn32(
  _ source: UnsafeRawPointer, _ sourceStride: Int, _ block: UnsafeMutableRawPointer
) {
  typealias Row = SIMD4<UInt32>
  var column = 0
  while column < blockSide {
    var row = 0
    while row < blockSide {
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
      let to = unsafe block + (row &* blockSide &+ column) &* 4
      unsafe to.storeBytes(of: r0, as: Row.self)
      unsafe to.storeBytes(of: r1, toByteOffset: blockSide &* 4, as: Row.self)
      unsafe to.storeBytes(of: r2, toByteOffset: blockSide &* 8, as: Row.self)
      unsafe to.storeBytes(of: r3, toByteOffset: blockSide &* 12, as: Row.self)
      row &+= 4
    }
    column &+= 4
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
