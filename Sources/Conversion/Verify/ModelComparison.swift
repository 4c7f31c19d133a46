import ByteIO
import Diagnostics
import HuggingFace

/// How two sets of tensors differ, tensor by tensor.
public struct ModelComparison: Sendable {
  /// What a tensor came to.
  public struct Row: Hashable, Sendable {
    /// The kinds of outcome.
    public enum Status: String, Hashable, Sendable {
      /// Type, shape and all values agree.
      case equal
      /// The second side has no such tensor.
      case onlyInA = "only in A"
      /// The first side has no such tensor.
      case onlyInB = "only in B"
      /// The shapes differ; values were not compared.
      case shape
      /// The types differ; values were compared if both are floating-point, and may be equal.
      case dtype
      /// Type and shape agree, and some values do not.
      case values
    }

    /// Without the prefix `transformer.`.
    public let name: String
    /// What the tensor came to: the first difference that was found.
    public let status: Status
    /// What differs, in words.
    public let detail: String
    /// Elements that differ, when values were compared.
    public let differing: Int?
    /// The largest absolute difference of floating-point values.
    public let largest: Double?
  }

  /// Sorted by the bytes of the names.
  public let rows: [Row]

  /// Whether all tensors are there on both sides with equal types, shapes and values.
  public var isEqual: Bool { rows.allSatisfy { $0.status == .equal } }

  /// Compares two sides, whatever each of them is.
  ///
  /// Safetensors are read in parts; a tensor of a checkpoint or of a PyTorch file is held in memory
  /// while it is compared.
  ///
  /// - Parameters:
  ///   - a: One side.
  ///   - b: The other one.
  ///   - progress: Called with the number of tensors that were compared.
  /// - Throws: `Failure` when one side cannot be read, or `Interrupted`.
  public init(
    _ a: ComparedModel, _ b: ComparedModel,
    progress: (_ compared: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    var rows: [Row] = []
    let names = Set(a.tensors.keys).union(b.tensors.keys).sorted()
    for (number, name) in names.enumerated() {
      switch (a.tensors[name], b.tensors[name]) {
      case (let one?, let two?):
        do {
          rows.append(try ModelComparison.compare(name.string, one, two))
        } catch let stop as Interrupted {
          throw stop
        } catch {
          throw Failure(reading: error, file: a.path, tensor: name.string)
        }
      case (let one?, nil): rows.append(ModelComparison.lone(name.string, .onlyInA, one))
      case (nil, let two?): rows.append(ModelComparison.lone(name.string, .onlyInB, two))
      case (nil, nil): break
      }
      progress(number + 1, names.count)
    }
    self.rows = rows
  }

  private static func lone(
    _ name: String, _ status: Row.Status, _ tensor: TensorContent
  ) -> Row {
    Row(
      name: name, status: status, detail: "\(tensor.dtype) \(tensor.shape)", differing: nil,
      largest: nil)
  }

  private static func compare(
    _ name: String, _ a: TensorContent, _ b: TensorContent
  ) throws -> Row {
    guard a.shape == b.shape else {
      return Row(
        name: name, status: .shape, detail: "\(a.shape) and \(b.shape)", differing: nil,
        largest: nil)
    }
    let types = "\(a.dtype) and \(b.dtype)"
    let sameType = a.dtype == b.dtype
    guard sameType || a.format != nil && b.format != nil else {
      return Row(name: name, status: .dtype, detail: types, differing: nil, largest: nil)
    }
    let difference = try TensorDifference(a, b)
    let values =
      difference.isEqual
      ? "equal values"
      : "\(difference.elements) of \(a.count) elements differ"
        + (difference.largest.map { ", by up to \($0)" } ?? "")
    let status: Row.Status = sameType ? (difference.isEqual ? .equal : .values) : .dtype
    return Row(
      name: name, status: status, detail: status == .dtype ? "\(types); \(values)" : values,
      differing: difference.elements, largest: difference.largest)
  }
}
