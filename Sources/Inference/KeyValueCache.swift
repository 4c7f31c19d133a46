import Architectures
import ByteIO

/// Keys and values of the tokens so far, in every layer.
public final class KeyValueCache {
  /// How many tokens are in it, and how many there is room for.
  public internal(set) var count = 0
  public let capacity: Int
  let keys: [FloatRows]
  let values: [FloatRows]

  /// Room for some tokens of a network.
  public init(for network: GPT2Network, capacity: Int) {
    self.capacity = capacity
    let width = network.sizes.heads * network.headRoom
    keys = (0..<network.sizes.layers).map { _ in FloatRows(capacity, width: width) }
    values = (0..<network.sizes.layers).map { _ in FloatRows(capacity, width: width) }
  }
}
