import Architectures
import ByteIO
import Pickle
import TorchArchive

extension ArgumentValue {
  /// The value at `id`; objects that are not plain data become a word about them.
  init(_ id: NodeID, in file: TorchFile, depth: Int = 4, budget: inout Int) {
    let graph = file.graph
    budget -= 1
    switch graph[id] {
    case .none: self = .none
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .float(let value): self = .double(value)
    case .string(let range):
      budget -= range.count / 64
      self = range.count <= 4096 ? .string(graph.text(id) ?? "") : .other("a long text")
    case .bigInt, .bigDecimal: self = .other("a large integer")
    case .bytes(let range):
      let bytes = Array(graph.bytes(range))
      let isText = bytes.count <= 64 && bytes.allSatisfy { (0x20..<0x7F).contains($0) }
      self = .other(
        isText ? "b'\(String(decoding: bytes, as: UTF8.self))'" : "\(range.count) bytes")
    case .global: self = .name(graph.global(id)?.description ?? "")
    case .list, .tuple, .set, .frozenSet:
      let items = graph.items(id) ?? []
      guard depth > 0, items.count <= 64, budget > 0 else {
        self = .other("\(items.count) values")
        return
      }
      var values: [ArgumentValue] = []
      for item in items {
        values.append(ArgumentValue(item, in: file, depth: depth - 1, budget: &budget))
      }
      self = .list(values)
    case .dict:
      let entries = graph.entries(id) ?? []
      guard depth > 0, entries.count <= 256, budget > 0 else {
        self = .other("a dictionary of \(entries.count)")
        return
      }
      var values: [String: ArgumentValue] = [:]
      for entry in entries {
        budget -= 1
        guard budget > 0 else { break }
        values[graph.label(entry.key)] = ArgumentValue(
          entry.value, in: file, depth: depth - 1, budget: &budget)
      }
      self = .dictionary(values)
    case .persistent: self = .other("a storage")
    case .object: self = ArgumentValue(object: id, in: file)
    }
  }

  /// Enumerations are pickled as a call of their class with the value, or, by some versions of
  /// Python, as `getattr(class, name)`.
  private init(object id: NodeID, in file: TorchFile) {
    let graph = file.graph
    guard let object = graph.object(id), let callable = graph.global(object.callable),
      let arguments = graph.tuple(object.arguments)
    else {
      self = .other("an object")
      return
    }
    if file.isTensor(id) {
      self = ArgumentValue(tensor: id, in: file) ?? .other("a tensor")
    } else if callable.name == "_reconstruct", callable.module.hasPrefix("numpy."),
      let value = ArgumentValue(numpyArray: object, in: graph)
    {
      self = value
    } else if callable.name == "scalar", callable.module.hasPrefix("numpy."),
      let value = ArgumentValue(numpyScalar: arguments, in: graph)
    {
      self = value
    } else if callable.name == "getattr", arguments.count == 2,
      let type = graph.global(arguments[0]),
      let name = graph.text(arguments[1])
    {
      self = .member(type: type.name, value: name)
    } else if arguments.count == 1, object.state == nil, let value = graph.int(arguments[0]) {
      self = .member(type: callable.name, value: "\(value)")
    } else if arguments.count == 1, object.state == nil, let value = graph.text(arguments[0]) {
      self = .member(type: callable.name, value: value)
    } else {
      self = .other(callable.description)
    }
  }

  /// A scalar of numpy: a dtype such as `<i8`, and its bytes.
  private init?(numpyScalar arguments: [NodeID], in graph: PickleGraph) {
    guard arguments.count == 2, case .bytes(let range) = graph[arguments[1]] else { return nil }
    self.init(numpyType: arguments[0], Array(graph.bytes(range)), in: graph)
  }

  /// An array of numpy with one element: its state is version, shape, dtype, order and bytes.
  private init?(numpyArray object: PickleObject, in graph: PickleGraph) {
    guard let state = object.state.flatMap({ graph.tuple($0) }), state.count == 5,
      case .bytes(let range) = graph[state[4]]
    else { return nil }
    self.init(numpyType: state[2], Array(graph.bytes(range)), in: graph)
  }

  /// The one number that bytes are by a dtype of numpy.
  private init?(numpyType id: NodeID, _ bytes: [UInt8], in graph: PickleGraph) {
    guard bytes.count <= 8, let dtype = graph.object(id),
      let code = graph.tuple(dtype.arguments)?.first.flatMap({ graph.text($0) })
    else { return nil }
    let order = dtype.state.flatMap { graph.tuple($0) }.flatMap { state in
      state.count > 1 ? graph.text(state[1]) : nil
    }
    let bits = ArgumentValue.word(order == ">" ? bytes.reversed() : bytes)
    let name = code.drop { $0 == "<" || $0 == ">" || $0 == "=" || $0 == "|" }
    // swift-format-ignore
    let types: [String: TorchDType] = [
      "b1": .bool, "i1": .int8, "i2": .int16, "i4": .int32, "i8": .int64, "u1": .uint8,
      "u2": .uint16, "u4": .uint32, "u8": .uint64, "f2": .float16, "f4": .float32, "f8": .float64,
    ]
    guard let type = types[String(name)], type.size == bytes.count else { return nil }
    self.init(bits, as: type)
  }

  /// A tensor of one element, as some programs keep a number.
  private init?(tensor id: NodeID, in file: TorchFile) {
    guard let tensor = try? file.tensor(id), tensor.elementCount == 1, tensor.dtype.size <= 8,
      !tensor.isNegative, !tensor.isConjugate
    else { return nil }
    let size = tensor.dtype.size
    let buffer = ByteBuffer(count: size)
    let reader = StoredBytesReader(tensor.storage.entry, in: file.file, checksums: false)
    guard (try? reader.read(at: tensor.storageOffset * size, into: buffer, 0..<size)) != nil else {
      return nil
    }
    let bytes = buffer.bytes(0..<size)
    self.init(ArgumentValue.word(tensor.isBigEndian ? bytes.reversed() : bytes), as: tensor.dtype)
  }

  private static func word(_ bytes: [UInt8]) -> UInt64 {
    bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
  }

  /// The number whose bits are the lowest ones of `bits`.
  private init?(_ bits: UInt64, as type: TorchDType) {
    switch type {
    case .bool: self = .bool(bits != 0)
    case .int8: self = .int(Int(Int8(truncatingIfNeeded: bits)))
    case .int16: self = .int(Int(Int16(truncatingIfNeeded: bits)))
    case .int32: self = .int(Int(Int32(truncatingIfNeeded: bits)))
    case .int64: self = .int(Int(truncatingIfNeeded: bits))
    case .uint8, .uint16, .uint32: self = .int(Int(bits))
    case .uint64:
      guard let value = Int(exactly: bits) else { return nil }
      self = .int(value)
    // The shortest decimal that is this value in its own type: 1e-05, not 9.999999747378752e-06.
    case .float16:
      let value = Float16(bitPattern: UInt16(truncatingIfNeeded: bits))
      self = .double(Double("\(value)") ?? Double(value))
    case .bfloat16:
      self = .double(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16)))
    case .float32:
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
      self = .double(Double("\(value)") ?? Double(value))
    case .float64: self = .double(Double(bitPattern: bits))
    default: return nil
    }
  }
}
