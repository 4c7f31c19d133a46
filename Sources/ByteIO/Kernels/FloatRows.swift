import CKernels

/// Rows of binary32 numbers, such as the activations of some tokens.
///
/// Rows lie a little further apart than they are long: those that lie a power of two apart fight
/// for the same places of the caches. What lies between them is zero.
public struct FloatRows: Sendable {
  /// The numbers.
  public let buffer: ByteBuffer
  /// How many rows there are, and how many numbers each has.
  public let count: Int
  public let width: Int
  /// The distance of rows, in numbers.
  public let pitch: Int

  /// Rows of zeros.
  public init(_ count: Int, width: Int) {
    self.count = count
    self.width = width
    pitch = (width + 15) / 16 * 16 + 16
    buffer = ByteBuffer(count: count * pitch * 4)
  }

  /// The numbers of a row.
  public subscript(row: Int) -> [Float] {
    get {
      // Sound: the slice holds the row; the kernels take memory for numbers likewise.
      unsafe Array(buffer.slice(bytes(row, count: width)).assumingMemoryBound(to: Float.self))
    }
    nonmutating set {
      precondition(newValue.count == width, "a row of another width")
      let target = unsafe buffer.slice(bytes(row, count: width))
      unsafe newValue.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }

  /// The bytes of some numbers of a row.
  func bytes(_ row: Int, from first: Int = 0, count: Int) -> Range<Int> {
    precondition(row >= 0 && row < self.count && first >= 0 && first + count <= pitch, "outside")
    let start = (row * pitch + first) * 4
    return start..<start + count * 4
  }
}

/// How wide the instructions of the forward pass may be; all widths give the same bits.
public enum KernelWidth: Int32, CaseIterable, Sendable {
  case any, bytes32, bytes64

  /// The widest that this processor has.
  public static let best = KernelWidth(rawValue: ckforward_best_width()) ?? .any

  /// Those that this processor has.
  public static var available: [KernelWidth] { allCases.filter { $0.rawValue <= best.rawValue } }
}

/// The steps of a forward pass. Each sum has one order, whatever the width, the number of threads
/// or of rows.
extension FloatRows {
  /// Adds the product with some rows of a matrix of [in, out], the way `Conv1D` of transformers
  /// keeps it. The rest of them can be added later: the bits are those of the whole product.
  ///
  /// - Parameters:
  ///   - x: The inputs, a row for each row of the result.
  ///   - first: The first of the inputs that are multiplied, as many as the matrix has rows.
  ///   - weights: The matrix.
  ///   - columns: Which columns of the result are computed; `nil` for all.
  ///   - width: How wide the instructions may be.
  public func addProduct(
    of x: FloatRows, from first: Int = 0, inOut weights: WeightMatrix, columns: Range<Int>? = nil,
    _ width: KernelWidth = .best
  ) {
    precondition(first >= 0 && first + weights.rows <= x.width && self.width == weights.columns)
    addProduct(of: x, from: first, weights, isTransposed: false, columns, at: 0, width)
  }

  /// Adds the product with the transpose of a matrix of [out, in], the way PyTorch keeps it.
  ///
  /// - Parameters:
  ///   - x: The inputs, a row for each row of the result.
  ///   - weights: The matrix.
  ///   - columns: Which columns of the product are computed; `nil` for all.
  ///   - place: Which column of the result the first one of the product is added to.
  ///   - width: How wide the instructions may be.
  public func addProduct(
    of x: FloatRows, outIn weights: WeightMatrix, columns: Range<Int>? = nil, at place: Int = 0,
    _ width: KernelWidth = .best
  ) {
    precondition(x.width == weights.columns && place >= 0 && place + weights.rows <= self.width)
    addProduct(of: x, from: 0, weights, isTransposed: true, columns, at: place, width)
  }

  private func addProduct(
    of x: FloatRows, from start: Int, _ weights: WeightMatrix, isTransposed: Bool,
    _ columns: Range<Int>?, at place: Int, _ width: KernelWidth
  ) {
    let (inner, outer) =
      isTransposed ? (weights.columns, weights.rows) : (weights.rows, weights.columns)
    precondition(x.count >= count)
    let columns = columns ?? 0..<outer
    precondition(columns.lowerBound >= 0 && columns.upperBound <= outer, "outside")
    // Sound: the buffers hold as many rows of such widths, as was compared above; what lies between
    // the rows of `x` is zero.
    guard let input = unsafe x.buffer.slice(start * 4..<x.buffer.count).baseAddress,
      let matrix = unsafe weights.buffer.slice(0..<inner * outer * weights.format.size).baseAddress,
      let output = unsafe buffer.slice(place * 4..<buffer.count).baseAddress
    else { return }
    let (from, to) = unsafe (
      input.assumingMemoryBound(to: Float.self), output.assumingMemoryBound(to: Float.self)
    )
    if isTransposed {
      unsafe ckforward_linear(
        width.rawValue, weights.number, from, x.pitch, count, matrix, inner, columns.lowerBound,
        columns.upperBound, to, pitch)
    } else {
      unsafe ckforward_conv(
        width.rawValue, weights.number, from, x.pitch, count, matrix, outer, inner,
        columns.lowerBound, columns.upperBound, to, pitch)
    }
  }

  /// The layer norm of a row, laid down in a row of other rows of the same width.
  public func norm(
    row: Int, weight: FloatRows, bias: FloatRows, epsilon: Float, to target: FloatRows,
    _ width: KernelWidth = .best
  ) {
    precondition(
      weight.width == self.width && bias.width == self.width && target.width == self.width)
    let count = pitch - 16
    // Sound: each slice holds a whole row, up to a multiple of 16 numbers.
    guard let x = unsafe buffer.slice(bytes(row, count: count)).baseAddress,
      let w = unsafe weight.buffer.slice(weight.bytes(0, count: count)).baseAddress,
      let b = unsafe bias.buffer.slice(bias.bytes(0, count: count)).baseAddress,
      let y = unsafe target.buffer.slice(target.bytes(row, count: count)).baseAddress
    else { return }
    unsafe ckforward_norm(
      width.rawValue, x.assumingMemoryBound(to: Float.self),
      w.assumingMemoryBound(to: Float.self), b.assumingMemoryBound(to: Float.self), self.width,
      epsilon, y.assumingMemoryBound(to: Float.self))
  }

  /// gelu of a row, by tanh or by the error function.
  public func gelu(row: Int, isExact: Bool, _ width: KernelWidth = .best) {
    // Sound: the slice holds a whole row, up to a multiple of 16 numbers.
    guard let x = unsafe buffer.slice(bytes(row, count: pitch - 16)).baseAddress else { return }
    let row = unsafe x.assumingMemoryBound(to: Float.self)
    if isExact {
      unsafe ckforward_gelu_erf(row, self.width)
    } else {
      unsafe ckforward_gelu_tanh(width.rawValue, row, self.width)
    }
  }

  /// The attention of a query to the first keys: the row of the query holds the heads one after the
  /// other, each with room for a multiple of 16 numbers, and so do keys and values.
  ///
  /// - Parameters:
  ///   - row: The row of the query, and of the result.
  ///   - head: Which head.
  ///   - size: The room of a head.
  ///   - keys: A row for each position.
  ///   - values: Likewise.
  ///   - count: How many positions the query attends to.
  ///   - scale: What scores are multiplied with.
  ///   - target: Where the result goes.
  ///   - width: How wide the instructions may be.
  public func attend(
    row: Int, head: Int, size: Int, keys: FloatRows, values: FloatRows, count: Int, scale: Float,
    to target: FloatRows, _ width: KernelWidth = .best
  ) {
    precondition(size % 16 == 0 && keys.pitch == values.pitch && count <= keys.count)
    precondition((head + 1) * size <= keys.width && keys.width == values.width)
    let scores = ByteBuffer(count: (count + 16) * 4)
    // Sound: the slices hold the head of the query and of all keys and values.
    guard
      let q = unsafe buffer.slice(bytes(row, from: head * size, count: size)).baseAddress,
      let k = unsafe keys.buffer.slice(head * size * 4..<keys.buffer.count).baseAddress,
      let v = unsafe values.buffer.slice(head * size * 4..<values.buffer.count).baseAddress,
      let s = unsafe scores.slice(0..<scores.count).baseAddress,
      let out = unsafe target.buffer.slice(
        target.bytes(row, from: head * size, count: size)
      ).baseAddress
    else { return }
    unsafe ckforward_attend(
      width.rawValue, q.assumingMemoryBound(to: Float.self),
      k.assumingMemoryBound(to: Float.self), v.assumingMemoryBound(to: Float.self), keys.pitch,
      count, size, scale, s.assumingMemoryBound(to: Float.self),
      out.assumingMemoryBound(to: Float.self))
  }

  /// Adds a row of other rows to one of these.
  public func add(_ other: FloatRows, row: Int, to place: Int) {
    precondition(other.width == width, "rows of another width")
    // Sound: both slices hold a row.
    guard let x = unsafe other.buffer.slice(other.bytes(row, count: width)).baseAddress,
      let y = unsafe buffer.slice(bytes(place, count: width)).baseAddress
    else { return }
    unsafe ckforward_add(
      y.assumingMemoryBound(to: Float.self), x.assumingMemoryBound(to: Float.self), width)
  }

  /// Copies some numbers of a row of other rows, which lie `step` apart there.
  public func copy(
    _ count: Int, from other: FloatRows, row: Int, at first: Int, step: Int = 1, to place: Int,
    at start: Int
  ) {
    let to = bytes(place, from: start, count: count)
    guard step != 1, count > 0 else {
      return buffer.copy(
        other.bytes(row, from: first, count: count), of: other.buffer, to: to.lowerBound)
    }
    let from = other.bytes(row, from: first, count: (count - 1) * step + 1)
    // Sound: both slices hold all numbers that are reached.
    let source = unsafe other.buffer.slice(from).assumingMemoryBound(to: Float.self)
    let target = unsafe buffer.slice(to).assumingMemoryBound(to: Float.self)
    for index in 0..<count { unsafe target[index] = source[index * step] }
  }
}
