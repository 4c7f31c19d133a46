import Architectures
import ByteIO

/// Keys and values of the tokens so far, in every layer and rank.
public final class KeyValueCache {
  /// How many tokens are in it, and how many there is room for.
  public internal(set) var count = 0
  public let capacity: Int
  let layers: [[KeysAndValues]]

  /// Room for some tokens of a network.
  public init(for network: Network, capacity: Int) {
    self.capacity = capacity
    layers = (0..<network.sizes.layers).map { _ in network.keysAndValues(capacity) }
  }
}

/// The keys and values of a rank's heads in one layer, a row for each token.
struct KeysAndValues {
  let keys: FloatRows
  let values: FloatRows
}

extension Network {
  /// Room for some tokens in one layer.
  func keysAndValues(_ capacity: Int) -> [KeysAndValues] {
    let width = rankHeads * headRoom
    return (0..<ranks).map { _ in
      KeysAndValues(
        keys: FloatRows(capacity, width: width), values: FloatRows(capacity, width: width))
    }
  }
}
