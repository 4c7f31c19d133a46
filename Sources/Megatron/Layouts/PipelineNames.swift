import Diagnostics

/// The names of a pipeline's parameters, `3.self_attention.dense.weight` or
/// `tied_modules.embed.word_embeddings.weight`, brought to the form that all layouts share.
///
/// Layers are known by what they hold, since forks number them differently.
struct PipelineNames {
  private var prefixes: [Int: String] = [:]
  private(set) var blockCount = 0
  private(set) var firstBlock: Int?

  /// - Throws: `Failure` 65 when a block is missing between others.
  init(_ names: [String]) throws(Failure) {
    var keys: [Int: Set<String>] = [:]
    for name in names {
      if let (layer, key) = PipelineNames.split(ParameterName.unwrapped(name)) {
        keys[layer, default: []].insert(key)
      }
    }
    var previous: Int?
    for layer in keys.keys.sorted() {
      switch LayerKind(keys: keys[layer] ?? []) {
      case .embedding: prefixes[layer] = "embedding."
      case .block:
        if let previous, layer != previous + 1 {
          throw Failure(
            .checkpointMissingLayer,
            "the blocks are not contiguous: layer \(previous) is followed by layer \(layer)",
            hint: "the dump is not whole: copy the missing parameters")
        }
        previous = layer
        prefixes[layer] = "layers.\(blockCount)."
        firstBlock = firstBlock ?? layer
        blockCount += 1
      case .finalLayernorm: prefixes[layer] = "final_layernorm."
      case .head: prefixes[layer] = "output_layer."
      case .unknown: prefixes[layer] = "layer_\(layer)."
      }
    }
    if blockCount == 0 {
      // Without a pipeline the names are those of the modules.
      blockCount = (names.compactMap { ParameterName.local($0).layer }.max() ?? -1) + 1
    }
  }

  /// The name that all layouts share.
  func shared(_ wrapped: String) -> String {
    let name = ParameterName.unwrapped(wrapped)
    let tied = "tied_modules.embed."
    if name.hasPrefix(tied) { return "embedding." + name.dropFirst(tied.count) }
    guard let (layer, key) = PipelineNames.split(name), let prefix = prefixes[layer] else {
      let local = ParameterName.local(name)
      return local.layer.map { "layers.\($0).\(local.name)" } ?? local.name
    }
    let isHead = key == "lm_head.weight" || key == LayerKind.headOfNeoX
    return prefix + (isHead ? "weight" : ParameterName.normalized(LayerKind.normName(key)))
  }

  /// The number of the layer, and the name within it.
  private static func split(_ name: String) -> (Int, String)? {
    let own = name.hasPrefix("sequential.") ? name.dropFirst("sequential.".count) : name[...]
    let parts = own.split(separator: ".", maxSplits: 1)
    guard parts.count == 2, parts[0].utf8.count < 8, let layer = Int(parts[0]) else { return nil }
    return (layer, String(parts[1]))
  }
}
