import Architectures
public import ByteIO
import Diagnostics

extension Network {
  /// The logits of tokens, a row for each, with the whole of the embedding's rows.
  ///
  /// - Throws: `Failure` 64 for tokens that the model cannot take, 65 for values that are not
  ///   finite, 74 for weights that cannot be read, or `Interrupted`.
  public func logits(of tokens: [Int]) throws -> FloatRows {
    let states = try states(of: tokens)
    return try logits(of: states, 0..<tokens.count)
  }

  /// The logits of the last of some tokens that follow those of a cache, which they are added to.
  ///
  /// - Parameters:
  ///   - tokens: The tokens.
  ///   - cache: The tokens before them; it must have room.
  /// - Returns: One row.
  /// - Throws: As ``logits(of:)``.
  public func lastLogits(of tokens: [Int], after cache: KeyValueCache) throws -> FloatRows {
    let states = try states(of: tokens, after: cache)
    return try logits(of: states, tokens.count - 1..<tokens.count)
  }

  /// What the last layer norm of each rank gives for tokens: from each row follow the logits of one
  /// token.
  ///
  /// - Parameters:
  ///   - tokens: The tokens.
  ///   - cache: The tokens before them, which they are added to; it must have room. Without one,
  ///     no keys are kept but those of the layer that is computed.
  ///   - progress: Called with the number of layers that are done.
  /// - Returns: For each rank a row for each token.
  /// - Throws: As ``logits(of:)``.
  public func states(
    of tokens: [Int], after cache: KeyValueCache? = nil, progress: (Int) -> Void = { _ in }
  ) throws -> [FloatRows] {
    let first = cache?.count ?? 0
    guard first + tokens.count <= min(cache?.capacity ?? .max, sizes.positions) else {
      throw Failure(
        .networkPrompt,
        "\(first + tokens.count) tokens are more than the model has positions, "
          + "\(sizes.positions)")
    }
    let x = try embed(tokens, at: Array(first..<first + tokens.count))
    for layer in 0..<sizes.layers {
      try Interrupted.check()
      try attend(layer, x, cache?.layers[layer] ?? keysAndValues(tokens.count), after: first)
      try feedForward(layer, x)
      progress(layer + 1)
    }
    cache?.count += tokens.count
    return normalized(x, ends.map(\.finalNorm))
  }

  /// The logits that follow from some rows of states.
  ///
  /// - Throws: `Failure` 65 for logits that are not finite, 74 for weights that cannot be read.
  public func logits(of states: [FloatRows], _ rows: Range<Int>) throws -> FloatRows {
    let result = FloatRows(rows.count, width: sizes.vocabulary)
    var place = 0
    for (states, ends) in zip(states, ends) {
      let some = FloatRows(rows.count, width: sizes.hidden)
      for (place, row) in rows.enumerated() {
        some.copy(sizes.hidden, from: states, row: row, at: 0, to: place, at: 0)
      }
      let head = ends.head ?? ends.words
      try multiplier.addProduct(of: some, outIn: head, to: result, at: place)
      place += head.rows
    }
    try checkFinite(result, "in the logits")
    return result
  }

  // MARK: - Steps

  /// The embeddings of tokens at some positions, for each rank; a rank adds its own positions.
  func embed(_ tokens: [Int], at places: [Int]) throws -> [FloatRows] {
    guard !tokens.isEmpty else { throw Failure(.networkPrompt, "at least one token is needed") }
    if let wrong = tokens.first(where: { $0 < 0 || $0 >= sizes.vocabulary }) {
      throw Failure(
        .networkPrompt, "the token \(wrong) is not one of the model's \(sizes.vocabulary)")
    }
    let x = ends.map { _ in FloatRows(tokens.count, width: sizes.hidden) }
    let (words, positions) = (ends.map(\.words.rows), ends.map(\.positions.rows))
    for (place, (token, position)) in zip(tokens, places).enumerated() {
      // Every rank but the one that has the row gives zeros, and the sum is the same on all.
      let (owner, row) = Network.owner(of: token, words)
      for stream in x {
        try ends[owner].words.add(row: row, to: stream, place)
      }
      for (rank, stream) in x.enumerated() {
        // Each has all positions, or a part of them.
        let (owner, row) =
          positions[rank] == sizes.positions
          ? (rank, position) : Network.owner(of: position, positions)
        try ends[owner].positions.add(row: row, to: stream, place)
      }
    }
    return x
  }

  /// The rank that has a row, and which one it is there.
  private static func owner(of row: Int, _ counts: [Int]) -> (rank: Int, row: Int) {
    var row = row
    for (rank, count) in counts.enumerated() {
      if row < count { return (rank, row) }
      row -= count
    }
    preconditionFailure("a row of no rank")
  }

  /// Adds what attention gives to the streams.
  ///
  /// - Parameters:
  ///   - layer: Which layer.
  ///   - x: A stream for each rank.
  ///   - memory: Room for keys and values, which those of the tokens are added to.
  ///   - before: How many tokens are in it.
  /// - Throws: `Failure` 65 for values that are not finite, or what reading throws.
  func attend(
    _ layer: Int, _ x: [FloatRows], _ memory: [KeysAndValues], after before: Int = 0
  ) throws {
    let blocks = layers[layer]
    let inputs = normalized(x, blocks.map(\.firstNorm))
    var heads: [FloatRows] = []
    for (rank, block) in blocks.enumerated() {
      heads.append(
        try attended(inputs[rank], block.attention, memory[rank], before, function.scales[layer]))
    }
    try addSum(of: heads, blocks.map(\.projection), to: x)
    try checkFinite(x, "after the attention of layer \(layer)")
  }

  /// Adds what the feed-forward layer gives to the streams.
  func feedForward(_ layer: Int, _ x: [FloatRows]) throws {
    let blocks = layers[layer]
    var inner: [FloatRows] = []
    for (input, block) in zip(normalized(x, blocks.map(\.secondNorm)), blocks) {
      let rows = try product(input, block.upward)
      for row in 0..<rows.count { rows.gelu(row: row, isExact: activation == "gelu") }
      inner.append(rows)
    }
    try addSum(of: inner, blocks.map(\.downward), to: x)
    try checkFinite(x, "after layer \(layer)")
  }

  /// The layer norms of the streams, each by its rank's weights.
  func normalized(_ x: [FloatRows], _ norms: [Norm]) -> [FloatRows] {
    zip(x, norms).map { x, norm in
      let y = FloatRows(x.count, width: x.width)
      for row in 0..<x.count {
        x.norm(row: row, weight: norm.weight, bias: norm.bias, epsilon: function.epsilon, to: y)
      }
      return y
    }
  }

  /// The product of rows with a layer's weight, and its bias.
  private func product(_ x: FloatRows, _ layer: Linear) throws -> FloatRows {
    let width = function.isLinear ? layer.weight.rows : layer.weight.columns
    let result = FloatRows(x.count, width: width)
    if let bias = layer.bias {
      for row in 0..<x.count { result.add(bias, row: 0, to: row) }
    }
    try addProduct(of: x, layer.weight, to: result)
    return result
  }

  private func addProduct(of x: FloatRows, _ weight: Weight, to y: FloatRows) throws {
    if function.isLinear {
      try multiplier.addProduct(of: x, outIn: weight, to: y)
    } else {
      try multiplier.addProduct(of: x, inOut: weight, to: y)
    }
  }

  /// Adds the sum of the ranks' products to every stream, and then each rank's own bias, once.
  private func addSum(
    of inputs: [FloatRows], _ layers: [Linear], to streams: [FloatRows]
  ) throws {
    if ranks == 1 {
      let part = try product(inputs[0], layers[0])
      for row in 0..<part.count { streams[0].add(part, row: row, to: row) }
      return
    }
    let sum = FloatRows(inputs[0].count, width: sizes.hidden)
    for (input, layer) in zip(inputs, layers) { try addProduct(of: input, layer.weight, to: sum) }
    for (stream, layer) in zip(streams, layers) {
      for row in 0..<sum.count {
        stream.add(sum, row: row, to: row)
        if let bias = layer.bias { stream.add(bias, row: 0, to: row) }
      }
    }
  }

  /// What the heads of a rank attend to: the tokens in memory and those before each one.
  private func attended(
    _ input: FloatRows, _ layer: Linear, _ memory: KeysAndValues, _ before: Int, _ scale: Float
  ) throws -> FloatRows {
    let (size, room, heads) = (sizes.headSize, headRoom, rankHeads)
    let fused = try product(input, layer)
    let queries = FloatRows(input.count, width: heads * room)
    for head in 0..<heads {
      let (places, step) = function.places(ofHead: head, of: heads, size: size)
      for row in 0..<input.count {
        for (part, target, to) in [
          (places.query, queries, row), (places.key, memory.keys, before + row),
          (places.value, memory.values, before + row),
        ] {
          target.copy(size, from: fused, row: row, at: part, step: step, to: to, at: head * room)
        }
      }
    }
    let padded = FloatRows(input.count, width: heads * room)
    try multiplier.share(heads, of: input.count * (before + input.count) * size, atLeast: 1) {
      some in
      for head in some {
        for row in 0..<queries.count {
          queries.attend(
            row: row, head: head, size: room, keys: memory.keys, values: memory.values,
            count: before + row + 1, scale: scale, to: padded)
        }
      }
    }
    let result = FloatRows(input.count, width: heads * size)
    for row in 0..<input.count {
      for head in 0..<heads {
        result.copy(size, from: padded, row: row, at: head * room, to: row, at: head * size)
      }
    }
    return result
  }

  private func checkFinite(_ streams: [FloatRows], _ place: String) throws(Failure) {
    for stream in streams { try checkFinite(stream, place) }
  }

  private func checkFinite(_ rows: FloatRows, _ place: String) throws(Failure) {
    guard rows.buffer.countNonFinite(rows.buffer.count / 4, as: .float32, at: 0) == FloatCounts()
    else {
      throw Failure(
        .networkNotFinite, "values are not finite \(place)",
        hint: "the weights overflow in binary32, or are damaged")
    }
  }
}

extension Network.Function {
  /// Where query, key and value of a head lie in a row that was multiplied with all of them.
  ///
  /// - Returns: The first number of each, and how far apart those of a head are.
  func places(
    ofHead head: Int, of heads: Int, size: Int
  ) -> (places: (query: Int, key: Int, value: Int), step: Int) {
    switch order {
    case .heads3HN:
      let start = 3 * head * size
      return ((start, start + size, start + 2 * size), 1)
    case .headsHN3:
      let start = 3 * head * size
      return ((start, start + 1, start + 2), 3)
    case .thirds:
      // Ranks that were put together lie one after the other, each in thirds.
      let heads = heads / mergedRanks
      let start = (head / heads * 3 * heads + head % heads) * size
      return ((start, start + heads * size, start + 2 * heads * size), 1)
    }
  }
}
