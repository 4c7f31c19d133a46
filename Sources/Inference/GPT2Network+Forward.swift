import Architectures
public import ByteIO
public import Diagnostics

extension GPT2Network {
  /// The logits of tokens, a row for each, with the whole of the embedding's rows.
  ///
  /// - Throws: ``Failure`` 64 for tokens that the model cannot take, 65 for values that are not
  ///   finite, or ``Interrupted``.
  public func logits(of tokens: [Int]) throws -> FloatRows {
    try logits(of: tokens, after: KeyValueCache(for: self, capacity: tokens.count))
  }

  /// The logits of tokens that follow those of a cache, which they are added to.
  ///
  /// - Parameters:
  ///   - tokens: The tokens.
  ///   - cache: The tokens before them; it must have room.
  ///   - onlyLast: Whether only the last row is wanted.
  /// - Returns: A row for each token, or one.
  /// - Throws: ``Failure`` 64 for tokens that the model cannot take, 65 for values that are not
  ///   finite, or ``Interrupted``.
  public func logits(
    of tokens: [Int], after cache: KeyValueCache, onlyLast: Bool = false
  ) throws -> FloatRows {
    let states = try states(of: tokens, after: cache)
    return try logits(of: states, onlyLast ? states.count - 1..<states.count : 0..<states.count)
  }

  /// What the last layer norm gives for tokens that follow those of a cache: from each row follow
  /// the logits of one token.
  ///
  /// - Parameters:
  ///   - tokens: The tokens.
  ///   - cache: The tokens before them; it must have room.
  /// - Returns: A row for each token.
  /// - Throws: ``Failure`` 64 for tokens that the model cannot take, 65 for values that are not
  ///   finite, or ``Interrupted``.
  public func states(of tokens: [Int], after cache: KeyValueCache) throws -> FloatRows {
    try check(tokens, cache)
    let (h, count) = (sizes.hidden, tokens.count)
    let x = FloatRows(count, width: h)
    for (row, token) in tokens.enumerated() {
      words.add(row: token, to: x, row)
      positions.add(row: cache.count + row, to: x, row)
    }
    let y = FloatRows(count, width: h)
    for (number, layer) in layers.enumerated() {
      try Interrupted.check()
      for row in 0..<count { normalize(x, row, layer.firstNorm, y) }
      let attended = attention(y, layer, number, cache)
      add(product(attended, layer.projection), to: x)
      for row in 0..<count { normalize(x, row, layer.secondNorm, y) }
      let inner = product(y, layer.upward)
      for row in 0..<count { inner.gelu(row: row, isExact: activation == "gelu") }
      add(product(inner, layer.downward), to: x)
      try checkFinite(x, "after layer \(number)")
    }
    cache.count += count
    for row in 0..<count { normalize(x, row, finalNorm, y) }
    return y
  }

  /// The logits that follow from some rows of states.
  ///
  /// - Throws: ``Failure`` 65 for logits that are not finite.
  public func logits(of states: FloatRows, _ rows: Range<Int>) throws(Failure) -> FloatRows {
    let some = FloatRows(rows.count, width: sizes.hidden)
    for (place, row) in rows.enumerated() {
      some.copy(sizes.hidden, from: states, row: row, at: 0, to: place, at: 0)
    }
    let result = FloatRows(rows.count, width: sizes.vocabulary)
    share(sizes.vocabulary, of: rows.count * sizes.hidden) { columns in
      result.addProduct(of: some, outIn: head, columns: columns)
    }
    try checkFinite(result, "in the logits")
    return result
  }

  private func check(_ tokens: [Int], _ cache: KeyValueCache) throws(Failure) {
    guard !tokens.isEmpty else { throw Failure(.networkPrompt, "there is no token") }
    if let wrong = tokens.first(where: { $0 < 0 || $0 >= sizes.vocabulary }) {
      throw Failure(
        .networkPrompt, "the token \(wrong) is not one of the model's \(sizes.vocabulary)")
    }
    guard cache.count + tokens.count <= min(cache.capacity, sizes.positions) else {
      throw Failure(
        .networkPrompt,
        "\(cache.count + tokens.count) tokens are more than the model has positions, "
          + "\(sizes.positions)")
    }
  }

  private func checkFinite(_ rows: FloatRows, _ place: String) throws(Failure) {
    guard rows.buffer.countNonFinite(rows.buffer.count / 4, as: .float32, at: 0) == FloatCounts()
    else {
      throw Failure(
        .networkNotFinite, "values are not finite \(place)",
        hint: "the weights overflow in binary32, or are damaged")
    }
  }

  private func normalize(_ x: FloatRows, _ row: Int, _ norm: Norm, _ y: FloatRows) {
    x.norm(row: row, weight: norm.weight, bias: norm.bias, epsilon: epsilon, to: y)
  }

  /// The product of rows with a layer's weight, and its bias.
  private func product(_ x: FloatRows, _ layer: Conv) -> FloatRows {
    let result = FloatRows(x.count, width: layer.weight.columns)
    for row in 0..<x.count { result.add(layer.bias, row: 0, to: row) }
    share(layer.weight.columns, of: x.count * layer.weight.rows) { columns in
      result.addProduct(of: x, inOut: layer.weight, columns: columns)
    }
    return result
  }

  private func add(_ part: FloatRows, to x: FloatRows) {
    for row in 0..<x.count { x.add(part, row: row, to: row) }
  }

  /// Attention of all heads, to the tokens of the cache and those before each one.
  private func attention(
    _ y: FloatRows, _ layer: Layer, _ number: Int, _ cache: KeyValueCache
  ) -> FloatRows {
    let (h, size, room, heads) = (sizes.hidden, sizes.headSize, headRoom, sizes.heads)
    let fused = product(y, layer.attention)
    let (keys, values) = (cache.keys[number], cache.values[number])
    let queries = FloatRows(y.count, width: heads * room)
    for row in 0..<y.count {
      for head in 0..<heads {
        let (from, to) = (head * size, head * room)
        queries.copy(size, from: fused, row: row, at: from, to: row, at: to)
        keys.copy(size, from: fused, row: row, at: h + from, to: cache.count + row, at: to)
        values.copy(size, from: fused, row: row, at: 2 * h + from, to: cache.count + row, at: to)
      }
    }
    let padded = FloatRows(y.count, width: heads * room)
    let (before, scale) = (cache.count, layer.scale)
    share(heads, of: y.count * (before + y.count) * size, atLeast: 1) { some in
      for head in some {
        for row in 0..<queries.count {
          queries.attend(
            row: row, head: head, size: room, keys: keys, values: values,
            count: before + row + 1, scale: scale, to: padded)
        }
      }
    }
    let result = FloatRows(y.count, width: h)
    for row in 0..<y.count {
      for head in 0..<heads {
        result.copy(size, from: padded, row: row, at: head * room, to: row, at: head * size)
      }
    }
    return result
  }

  /// Divides columns among the threads, unless it is too little to do.
  private func share(
    _ columns: Int, of work: Int, atLeast least: Int = 64,
    _ body: @Sendable (Range<Int>) -> Void
  ) {
    guard threads > 1, columns * work > 1 << 18, columns >= 2 * least else {
      return body(0..<columns)
    }
    // Whole lines of a cache, so that no two threads write to the same one.
    let step = ((columns + threads - 1) / threads + least - 1) / least * least
    Workers.perform((columns + step - 1) / step, threads: threads) { _, part in
      body(part * step..<min((part + 1) * step, columns))
    }
  }
}
