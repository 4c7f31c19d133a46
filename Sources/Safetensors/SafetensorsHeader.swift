import ByteIO
import JSON

/// A tensor as the header of a safetensors file declares it.
public struct SafetensorsTensor: Hashable, Sendable {
  /// Any text; no other tensor of the header has the same.
  public let name: String
  /// The type of the elements, which are little-endian.
  public let dtype: DType
  /// The sizes of the dimensions; row-major, without gaps.
  public let shape: [Int]
  /// The bytes, counted from the end of the header.
  public let dataOffsets: Range<Int>

  /// The number of elements.
  public var elementCount: Int { shape.reduce(1, *) }
}

/// The header of a safetensors file (github.com/huggingface/safetensors, README and `tensor.rs`).
public struct SafetensorsHeader: Hashable, Sendable {
  /// Readers refuse longer headers.
  public static let maximumSize = 100_000_000

  /// The tensors in the order of their bytes.
  public let tensors: [SafetensorsTensor]
  /// The texts of `__metadata__`; `nil` when the header has none.
  public let metadata: [String: String]?
  /// Things that readers let pass although the format forbids them.
  public let notes: [String]

  /// The size of all tensor bytes.
  public var dataSize: Int { tensors.last?.dataOffsets.upperBound ?? 0 }

  // MARK: - Writing

  /// Lays tensors out as the reference implementation does: by type, the widest first, then by the
  /// bytes of their names, without gaps.
  ///
  /// The sizes must be those of a checked plan: their product must fit into an `Int`.
  public init(
    laying tensors: [(name: String, dtype: DType, shape: [Int])], metadata: [String: String]?
  ) {
    let sorted = tensors.sorted { a, b in
      a.dtype == b.dtype
        ? a.name.utf8.lexicographicallyPrecedes(b.name.utf8) : a.dtype > b.dtype
    }
    var offset = 0
    self.tensors = sorted.map { tensor in
      let size = tensor.shape.reduce(1, *) * tensor.dtype.bits / 8
      defer { offset += size }
      return SafetensorsTensor(
        name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
        dataOffsets: offset..<offset + size)
    }
    self.metadata = metadata
    notes = []
  }

  /// The length field, the header, and its padding to a multiple of 8 bytes.
  public var serialized: [UInt8] {
    var object = JSONObject()
    if let metadata {
      // The reference implementation writes these in random order; sorted, files are reproducible.
      let members = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        .map { JSONObject.Member(key: $0.key, value: .string($0.value)) }
      object["__metadata__"] = .object(JSONObject(members))
    }
    for tensor in tensors {
      object[tensor.name] = [
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [.int(tensor.dataOffsets.lowerBound), .int(tensor.dataOffsets.upperBound)],
      ]
    }
    var json = Array(JSONWriter.text(.object(object), .compact).utf8)
    while !json.count.isMultiple(of: 8) { json.append(0x20) }
    return (0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) } + json
  }

  // MARK: - Reading

  /// Reads the JSON of a header, and checks it against the size of the tensor bytes in the file.
  ///
  /// - Parameters:
  ///   - json: The header without its length field.
  ///   - dataSize: How many bytes follow it.
  /// - Throws: ``SafetensorsError``, by the rules and in the order of the reference implementation.
  public init(parsing json: [UInt8], dataSize: Int) throws(SafetensorsError) {
    func invalid(_ detail: String, _ tensor: String? = nil) -> SafetensorsError {
      SafetensorsError(.invalidHeader, detail, tensor: tensor)
    }
    var notes: [String] = []
    var metadata: [String: String]??
    var tensors: [SafetensorsTensor] = []
    var table = PositionTable()
    // A header has up to a million tensors, so what was read of one is not kept.
    do {
      try JSONParser.forEachMember(of: json) { member in
        guard member.key != "__metadata__" else {
          guard metadata == nil else { throw invalid("__metadata__ occurs more than once") }
          metadata = .some(try SafetensorsHeader.metadata(member.value, &notes, invalid))
          return
        }
        let tensor = try SafetensorsHeader.tensor(member, invalid)
        let hash = UTF8Key.hash(tensor.name.utf8)
        let isKnown = { tensors[$0].name.utf8.elementsEqual(tensor.name.utf8) }
        // Of two members with one name the last one counts.
        if let known = table.position(hash: hash, where: isKnown) {
          notes.append("the key \(tensor.name) occurs more than once")
          tensors[known] = tensor
        } else {
          table.append(hash: hash)
          tensors.append(tensor)
        }
      }
    } catch let error as JSONError {
      throw invalid("the header is not JSON: \(error)")
    } catch let error as SafetensorsError {
      throw error
    } catch {
      throw invalid("\(error)")
    }
    tensors.sort { a, b in
      (a.dataOffsets.lowerBound, a.dataOffsets.upperBound)
        < (b.dataOffsets.lowerBound, b.dataOffsets.upperBound)
    }
    var end = 0
    for tensor in tensors {
      guard tensor.dataOffsets.lowerBound == end else {
        throw SafetensorsError(
          .invalidOffset,
          "its bytes begin at \(tensor.dataOffsets.lowerBound), but those before it end at \(end)",
          tensor: tensor.name)
      }
      end = tensor.dataOffsets.upperBound
      try SafetensorsHeader.checkSize(tensor)
    }
    guard end == dataSize else {
      throw SafetensorsError(
        .incompleteBuffer, "the tensors take \(end) bytes, but the file has \(dataSize)")
    }
    self.tensors = tensors
    self.metadata = metadata ?? nil
    self.notes = notes
  }

  private static func metadata(
    _ value: JSONValue, _ notes: inout [String], _ invalid: (String, String?) -> SafetensorsError
  ) throws(SafetensorsError) -> [String: String]? {
    if value == .null { return nil }
    guard let entries = value.object else { throw invalid("__metadata__ is not an object", nil) }
    var metadata: [String: String] = [:]
    for entry in entries.members {
      guard let text = entry.value.string else {
        throw invalid("the metadata \(entry.key) is not a string", nil)
      }
      metadata[entry.key] = text
    }
    notes += entries.repeatedKeys.map { "the metadata key \($0) occurs more than once" }
    return metadata
  }

  private static func tensor(
    _ member: JSONObject.Member, _ invalid: (String, String?) -> SafetensorsError
  ) throws(SafetensorsError) -> SafetensorsTensor {
    let name = member.key
    guard let fields = member.value.object, fields.repeatedKeys.isEmpty else {
      throw invalid("a tensor is described by an object with each key once", name)
    }
    guard let text = fields["dtype"]?.string, let dtype = DType(rawValue: text) else {
      throw invalid("a dtype of the format was expected", name)
    }
    guard let sizes = fields["shape"]?.array else { throw invalid("a shape was expected", name) }
    var shape: [Int] = []
    for size in sizes {
      if case .bigInt(let digits) = size, !digits.hasPrefix("-") {
        throw SafetensorsError(.overflow, "a dimension of \(digits)", tensor: name)
      }
      guard let size = size.int, size >= 0 else {
        throw invalid("a shape consists of integers from 0 on", name)
      }
      shape.append(size)
    }
    guard let offsets = fields["data_offsets"]?.array, offsets.count == 2,
      let begin = offsets[0].int, let end = offsets[1].int, begin >= 0, end >= 0
    else { throw invalid("two data offsets were expected", name) }
    guard begin <= end else {
      throw SafetensorsError(.invalidOffset, "its bytes end before they begin", tensor: name)
    }
    return SafetensorsTensor(name: name, dtype: dtype, shape: shape, dataOffsets: begin..<end)
  }

  private static func checkSize(_ tensor: SafetensorsTensor) throws(SafetensorsError) {
    var bits = tensor.dtype.bits
    for size in tensor.shape {
      let (product, overflow) = bits.multipliedReportingOverflow(by: size)
      guard !overflow else {
        throw SafetensorsError(.overflow, "a shape of \(tensor.shape)", tensor: tensor.name)
      }
      bits = product
    }
    guard bits.isMultiple(of: 8) else {
      throw SafetensorsError(
        .misaligned, "its elements do not fill whole bytes", tensor: tensor.name)
    }
    guard bits / 8 == tensor.dataOffsets.count else {
      throw SafetensorsError(
        .sizeMismatch,
        "shape \(tensor.shape) of \(tensor.dtype.rawValue) takes \(bits / 8) bytes, "
          + "not \(tensor.dataOffsets.count)", tensor: tensor.name)
    }
  }
}
