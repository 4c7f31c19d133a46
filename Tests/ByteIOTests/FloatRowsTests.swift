import TestSupport
import Testing

@testable import ByteIO

/// The arithmetic of the forward pass: against plain loops, and the same bits in all widths.
@Suite struct FloatRowsTests {
  private func numbers(_ count: Int, _ random: inout SeededGenerator) -> [Float] {
    (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
  }

  private func rows(_ count: Int, _ width: Int, _ random: inout SeededGenerator) -> FloatRows {
    let result = FloatRows(count, width: width)
    for row in 0..<count { result[row] = numbers(width, &random) }
    return result
  }

  /// A matrix, and its values as they are after rounding.
  private func matrix(
    _ rows: Int, _ columns: Int, _ format: FloatFormat, _ random: inout SeededGenerator
  ) -> (WeightMatrix, [Float]) {
    let values = numbers(rows * columns, &random)
    let wide = ByteBuffer(values.flatMap { little(Int($0.bitPattern), 4) })
    let stored = ByteBuffer(count: rows * columns * format.size)
    _ = stored.convert(
      rows * columns, from: wide, at: 0, as: .float32, to: format, at: 0)
    _ = wide.convert(rows * columns, from: stored, at: 0, as: format, to: .float32, at: 0)
    let exact = FloatRows(1, width: rows * columns)
    exact.buffer.copy(0..<rows * columns * 4, of: wide, to: 0)
    return (WeightMatrix(stored, format, rows: rows, columns: columns), exact[0])
  }

  private func copy(_ rows: FloatRows) -> FloatRows {
    let result = FloatRows(rows.count, width: rows.width)
    for row in 0..<rows.count { result[row] = rows[row] }
    return result
  }

  @Test(arguments: FloatFormat.allCases, [(1, 8, 5), (3, 25, 17), (6, 64, 48), (17, 501, 33)])
  func productsAreThoseOfPlainLoopsInEveryWidth(
    format: FloatFormat, sizes: (tokens: Int, inner: Int, outer: Int)
  ) {
    var random = SeededGenerator(UInt64(sizes.inner))
    let x = rows(sizes.tokens, sizes.inner, &random)
    let bias = rows(sizes.tokens, sizes.outer, &random)
    let (conv, convValues) = matrix(sizes.inner, sizes.outer, format, &random)
    let (linear, linearValues) = matrix(sizes.outer, sizes.inner, format, &random)
    var seen: [Set<[UInt32]>] = [[], []]
    for width in KernelWidth.available {
      let (a, b) = (copy(bias), copy(bias))
      a.addProduct(of: x, inOut: conv, width)
      b.addProduct(of: x, outIn: linear, width)
      for token in 0..<sizes.tokens {
        let (input, start) = (x[token], bias[token])
        for column in 0..<sizes.outer {
          // One fused step after the other: the bits are those of the loop.
          var sum = start[column]
          for k in 0..<sizes.inner {
            sum.addProduct(input[k], convValues[k * sizes.outer + column])
          }
          #expect(a[token][column] == sum)
          let dot = (0..<sizes.inner).reduce(Double(start[column])) {
            $0 + Double(input[$1]) * Double(linearValues[column * sizes.inner + $1])
          }
          #expect(abs(Double(b[token][column]) - dot) < 1e-4)
        }
      }
      // In parts, and token by token.
      let parts = copy(bias)
      for column in 0..<sizes.outer {
        parts.addProduct(of: x, outIn: linear, columns: column..<column + 1, width)
      }
      for token in 0..<sizes.tokens {
        #expect(parts[token] == b[token])
        let (one, input) = (FloatRows(1, width: sizes.outer), FloatRows(1, width: sizes.inner))
        (one[0], input[0]) = (bias[token], x[token])
        one.addProduct(of: input, outIn: linear, width)
        #expect(one[0] == b[token])
        one[0] = bias[token]
        one.addProduct(of: input, inOut: conv, width)
        #expect(one[0] == a[token])
        seen[0].insert([UInt32(token)] + a[token].map(\.bitPattern))
        seen[1].insert([UInt32(token)] + b[token].map(\.bitPattern))
      }
    }
    #expect(seen.map(\.count) == [sizes.tokens, sizes.tokens], "widths differ")
  }

  @Test(arguments: [1, 8, 25, 64, 100])
  func normsAndGeluAreThoseOfPlainLoopsInEveryWidth(size: Int) {
    var random = SeededGenerator(UInt64(size))
    let x = rows(1, size, &random)
    let (weight, bias) = (rows(1, size, &random), rows(1, size, &random))
    var seen: Set<[UInt32]> = []
    for width in KernelWidth.available {
      let y = FloatRows(1, width: size)
      x.norm(row: 0, weight: weight, bias: bias, epsilon: 1e-5, to: y, width)
      let values = x[0].map(Double.init)
      let mean = values.reduce(0, +) / Double(size)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(size)
      for (index, value) in values.enumerated() {
        let wanted =
          (value - mean) / (variance + 1e-5).squareRoot() * Double(weight[0][index])
          + Double(bias[0][index])
        #expect(abs(Double(y[0][index]) - wanted) < 2e-5)
      }
      let tanh = copy(x)
      tanh.gelu(row: 0, isExact: false, width)
      seen.insert((y[0] + tanh[0]).map(\.bitPattern))
    }
    #expect(seen.count == 1, "widths differ")
  }

  /// Values by mpmath.
  @Test func geluHasBothForms() {
    let points: [(x: Float, tanh: Double, exact: Double)] = [
      (-3, -0.0036373920817729943, -0.0040496940948890086),
      (-1, -0.15880800939172324, -0.15865525393145707), (0, 0, 0),
      (0.5, 0.34571400982514394, 0.34573123063700656),
      (2, 1.9545976940877752, 1.9544997361036416), (6, 6, 5.999999994080738),
    ]
    for point in points {
      for isExact in [false, true] {
        let row = FloatRows(1, width: 1)
        row[0] = [point.x]
        row.gelu(row: 0, isExact: isExact)
        #expect(
          abs(Double(row[0][0]) - (isExact ? point.exact : point.tanh)) < 5e-7, "\(point)")
      }
    }
  }

  @Test func attentionIsThatOfPlainLoopsInEveryWidth() {
    var random = SeededGenerator(3)
    let (heads, size, positions) = (3, 16, 21)
    let (keys, values) = (
      rows(positions, heads * size, &random), rows(positions, heads * size, &random)
    )
    let query = rows(1, heads * size, &random)
    for count in [1, 2, 16, 21] {
      var seen: Set<[UInt32]> = []
      for width in KernelWidth.available {
        let out = FloatRows(1, width: heads * size)
        for head in 0..<heads {
          query.attend(
            row: 0, head: head, size: size, keys: keys, values: values, count: count, scale: 0.25,
            to: out, width)
          let place = head * size..<head * size + size
          let scores = (0..<count).map { position in
            0.25
              * zip(query[0][place], keys[position][place]).reduce(0.0) {
                $0 + Double($1.0) * Double($1.1)
              }
          }
          let weights = scores.map { exponential($0 - (scores.max() ?? 0)) }
          let total = weights.reduce(0, +)
          for index in place {
            let wanted = (0..<count).reduce(0.0) {
              $0 + weights[$1] / total * Double(values[$1][index])
            }
            #expect(abs(Double(out[0][index]) - wanted) < 1e-6)
          }
        }
        seen.insert(out[0].map(\.bitPattern))
      }
      #expect(seen.count == 1, "widths differ")
    }
  }

  private func exponential(_ x: Double) -> Double {
    var (sum, term) = (1.0, 1.0)
    for n in 1..<60 {
      term *= x / Double(n)
      sum += term
    }
    return sum
  }
}
