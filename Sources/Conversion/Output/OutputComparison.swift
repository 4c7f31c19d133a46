import Safetensors
public import SystemPackage

/// How two sets of tensors differ, tensor by tensor.
public struct OutputComparison: Sendable {
  /// What a tensor came to.
  public struct Row: Hashable, Sendable {
    /// The kinds of outcome.
    public enum Status: String, Hashable, Sendable {
      case equal
      case onlyInA = "only in A"
      case onlyInB = "only in B"
      case shape
      case dtype
      case values
    }

    public let name: String
    public let status: Status
    /// What differs, in words.
    public let detail: String
    /// Elements that differ, when values were compared.
    public let differing: Int?
    /// The largest absolute difference of floating-point values.
    public let largest: Double?
  }

  /// Sorted by name.
  public let rows: [Row]

  /// Whether all tensors are there on both sides with equal types, shapes and values.
  public var isEqual: Bool { rows.allSatisfy { $0.status == .equal } }

  /// Compares two folders or files of safetensors. Names count without the prefix `transformer.`.
  ///
  /// - Throws: ``ConversionError`` when one side cannot be read.
  public init(_ a: FilePath, _ b: FilePath) throws(ConversionError) {
    let sides = (try OutputComparison.open(a), try OutputComparison.open(b))
    var rows: [Row] = []
    for name in Set(sides.0.keys).union(sides.1.keys).sorted() {
      guard let one = sides.0[name] else {
        rows.append(OutputComparison.lone(name, .onlyInB, sides.1[name]))
        continue
      }
      guard let two = sides.1[name] else {
        rows.append(OutputComparison.lone(name, .onlyInA, one))
        continue
      }
      do {
        rows.append(try OutputComparison.compare(name, one, two))
      } catch {
        throw ConversionError(reading: error, file: a, tensor: name)
      }
    }
    self.rows = rows
  }

  private static func open(
    _ path: FilePath
  ) throws(ConversionError) -> [String: OutputDirectory.Tensor] {
    let directory = try OutputDirectory(reading: path)
    if let fault = directory.faults.first {
      throw ConversionError(
        .malformed, fault.code, fault.message, file: fault.file ?? path.string,
        tensor: fault.tensor)
    }
    var tensors: [String: OutputDirectory.Tensor] = [:]
    for (name, tensor) in directory.tensors {
      let bare = name.hasPrefix("transformer.") ? String(name.dropFirst(12)) : name
      guard tensors.updateValue(tensor, forKey: bare) == nil else {
        throw ConversionError(
          .malformed, "output/duplicate-tensor", "it is there with and without its prefix",
          file: path.string, tensor: name)
      }
    }
    return tensors
  }

  private static func lone(
    _ name: String, _ status: Row.Status, _ tensor: OutputDirectory.Tensor?
  ) -> Row {
    let declared = tensor?.declared
    return Row(
      name: name, status: status,
      detail: "\(declared?.dtype.rawValue ?? "") \(declared?.shape ?? [])", differing: nil,
      largest: nil)
  }

  private static func compare(
    _ name: String, _ a: OutputDirectory.Tensor, _ b: OutputDirectory.Tensor
  ) throws -> Row {
    guard a.declared.shape == b.declared.shape else {
      return Row(
        name: name, status: .shape, detail: "\(a.declared.shape) and \(b.declared.shape)",
        differing: nil, largest: nil)
    }
    let types = "\(a.declared.dtype.rawValue) and \(b.declared.dtype.rawValue)"
    let sameType = a.declared.dtype == b.declared.dtype
    let bothFloats = [a, b].allSatisfy { [.f16, .bf16, .f32].contains($0.declared.dtype) }
    guard sameType || bothFloats else {
      return Row(name: name, status: .dtype, detail: types, differing: nil, largest: nil)
    }
    let difference = try TensorDifference(a, b)
    let count = a.declared.elementCount
    let values =
      difference.isEqual
      ? "equal values"
      : "\(difference.elements) of \(count) elements differ"
        + (difference.largest.map { ", by up to \($0)" } ?? "")
    let status: Row.Status = sameType ? (difference.isEqual ? .equal : .values) : .dtype
    return Row(
      name: name, status: status,
      detail: status == .dtype ? "\(types); \(values)" : values,
      differing: difference.elements, largest: difference.largest)
  }
}
