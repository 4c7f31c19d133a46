/// Writes pickles of protocol 2, instruction by instruction.
public struct PickleWriter {
  public var bytes: [UInt8] = [0x80, 2]

  public init() {}

  /// Adds raw bytes.
  public mutating func raw(_ more: [UInt8]) { bytes += more }

  /// Adds instructions given as ASCII.
  public mutating func code(_ text: String) { bytes += Array(text.utf8) }

  public mutating func none() { code("N") }

  public mutating func bool(_ value: Bool) { bytes.append(value ? 0x88 : 0x89) }

  public mutating func int(_ value: Int) {
    bytes += [0x8A, 8] + little(value, 8)
  }

  public mutating func double(_ value: Double) {
    code("G")
    bytes += little(Int(bitPattern: UInt(value.bitPattern)), 8).reversed()
  }

  public mutating func string(_ text: String) {
    code("X")
    bytes += little(text.utf8.count, 4) + Array(text.utf8)
  }

  public mutating func global(_ module: String, _ name: String) { code("c\(module)\n\(name)\n") }

  /// A tuple of what `body` pushes.
  public mutating func tuple(_ body: (inout PickleWriter) -> Void) {
    code("(")
    body(&self)
    code("t")
  }

  public mutating func ints(_ values: [Int]) {
    tuple { pickle in for value in values { pickle.int(value) } }
  }

  /// A dictionary of what `body` pushes: keys and values.
  public mutating func dict(_ body: (inout PickleWriter) -> Void) {
    code("}(")
    body(&self)
    code("u")
  }

  /// A call of `torch._utils._rebuild_tensor_v2`.
  ///
  /// - Parameters:
  ///   - storageClass: The class of the storage in `torch`.
  ///   - key: Its key.
  ///   - count: How many elements it has.
  ///   - offset: The first element of the tensor.
  ///   - sizes: The shape.
  ///   - strides: The strides in elements.
  ///   - function: Module and name of another function that is called in its place.
  ///   - more: What is pushed behind the strides and flags.
  public mutating func tensor(
    _ storageClass: String, key: String, count: Int, offset: Int, sizes: [Int], strides: [Int],
    function: (String, String) = ("torch._utils", "_rebuild_tensor_v2"),
    more: (inout PickleWriter) -> Void = { _ in }
  ) {
    global(function.0, function.1)
    tuple { pickle in
      pickle.tuple { id in
        id.string("storage")
        id.global("torch", storageClass)
        id.string(key)
        id.string("cpu")
        id.int(count)
      }
      pickle.code("Q")
      pickle.int(offset)
      pickle.ints(sizes)
      pickle.ints(strides)
      pickle.bool(false)
      pickle.global("collections", "OrderedDict")
      pickle.code(")R")
      more(&pickle)
    }
    code("R")
  }

  /// The pickle with its end.
  public var finished: [UInt8] { bytes + [0x2E] }
}
