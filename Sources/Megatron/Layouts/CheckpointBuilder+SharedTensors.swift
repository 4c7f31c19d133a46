import Architectures
import Diagnostics

/// Tensors that a file has under a name of its own, or once for several layers.
extension CheckpointBuilder {
  /// Megatron-core's last stage has a copy of a tied embedding under the name of a head.
  mutating func foldTiedHead() throws(Failure) {
    guard names == .core, (pipelineParallel ?? 1) > 1,
      let head = tensor(ParameterName.head),
      let words = tensor(ParameterName.wordEmbeddings)
    else { return }
    switch try arguments.bool(.untieEmbeddingsAndOutputWeights) {
    case true?: return
    case false?: break
    case nil:
      // Not said: then it is a copy only where it is one bit for bit.
      let isCopy =
        head.shards.count == words.shards.count
        && zip(head.shards, words.shards).allSatisfy { $0.hasChecksum(of: $1) }
      guard isCopy else { return }
    }
    tensors = tensors.map { tensor in
      tensor.name == ParameterName.head
        ? IndexedTensor(name: ParameterName.embeddingCopy, shards: tensor.shards) : tensor
    }
  }

  /// In 2020 blocks could share their weights; then the file has each of them once
  /// (NVIDIA/Megatron-LM 80f90dcd, `_get_layer_index`).
  mutating func expandSharedLayers() throws(Failure) {
    guard let unique = try arguments.int(.numUniqueLayers),
      let layers = try arguments.int(.numLayers), unique != layers, unique > 0
    else { return }
    guard unique == blockCount, layers.isMultiple(of: unique), layers < ModelBounds.count else {
      throw Failure(
        .argumentsContradiction,
        "\(layers) layers are said to share \(unique), but \(blockCount) are there")
    }
    let isSpaced = arguments[.paramSharingStyle] == .string("spaced")
    var expanded: [IndexedTensor] = []
    for layer in 0..<layers {
      let prefix = "layers.\(isSpaced ? layer / (layers / unique) : layer % unique)."
      for tensor in tensors where tensor.name.hasPrefix(prefix) {
        expanded.append(
          IndexedTensor(
            name: "layers.\(layer)." + tensor.name.dropFirst(prefix.count), shards: tensor.shards))
      }
    }
    let others = tensors.filter { !$0.name.hasPrefix("layers.") }
    tensors =
      others.filter { $0.name.hasPrefix("embedding.") } + expanded
      + others.filter { !$0.name.hasPrefix("embedding.") }
    blockCount = layers
  }
}
