import ByteIO
public import Diagnostics
public import JSON
import Megatron
public import SystemPackage
public import TorchArchive
public import Transfer

/// What one PyTorch file holds.
public struct TorchFileInspection: Sendable {
  /// A tensor, or why it cannot be read.
  public struct Tensor: Sendable {
    /// Keys, positions and attributes from the root on, joined by dots; not always unique.
    public let name: String
    /// The way from the root to it, which no two tensors share.
    public let path: [NamedTensor.Step]
    /// Where its elements are; `nil` when ``error`` says why that cannot be told.
    public let tensor: TorchTensor?
    /// The SHA-256 of the contiguous row-major little-endian bytes, when it was asked for.
    public var sha256: String?
    /// Why it cannot be read, or the damage that reading it brought to light.
    public var error: Failure?
  }

  /// In the order of the pickle; one tensor may be there under several names.
  public private(set) var tensors: [Tensor] = []
  /// What the user should know although it stops nothing.
  public private(set) var warnings: [Diagnostic] = []
  /// The file, as it was given.
  public let path: FilePath

  /// Lists the tensors of a file, and hashes them on request.
  ///
  /// - Throws: `Failure` when the file as a whole cannot be read; a tensor that cannot be
  ///   read has its error with it.
  public init(
    _ path: FilePath, sha256: Bool, crc: CRCMode = .auto, limits: TorchLimits = TorchLimits()
  ) throws(Failure) {
    self.path = path
    do {
      let file = try TorchFile(opening: path, limits: limits)
      let named = try file.namedTensors()
      for named in named {
        do throws(TorchFileError) {
          tensors.append(
            Tensor(name: named.name, path: named.path, tensor: try file.tensor(named.node)))
        } catch {
          tensors.append(
            Tensor(
              name: named.name, path: named.path, tensor: nil,
              error: Failure(reading: error, file: path, tensor: named.name)))
        }
      }
      warnings += Diagnostic.about(file, named)
      if sha256 || crc == .all { hash(file, sha256: sha256, crc: crc) }
      try file.file.checkUnchanged()
    } catch {
      throw Failure(reading: error, file: path)
    }
  }

  /// Reads the values, in the order of the file. Damage to a storage is damage to every tensor on
  /// it.
  private mutating func hash(_ file: TorchFile, sha256: Bool, crc: CRCMode) {
    let reader = TensorReader(file, crc: crc != .none)
    func place(_ position: Int) -> (Int, Int) {
      let tensor = tensors[position].tensor
      return (tensor?.storage.entry.dataOffset ?? 0, tensor?.storageOffset ?? 0)
    }
    let order = tensors.indices.sorted { place($0) < place($1) }
    for position in order {
      guard let tensor = tensors[position].tensor, sha256 else { continue }
      do {
        var hasher = SHA256Hasher()
        try reader.forEachPart(of: tensor) { range, buffer in hasher.update(range, of: buffer) }
        tensors[position].sha256 = hasher.hexDigest()
      } catch {
        fail(position, error)
      }
    }
    // By where the storage begins.
    var damaged: [Int: any Error] = [:]
    var partlyRead: Set<Int> = []
    for position in order {
      guard let tensor = tensors[position].tensor, tensors[position].error == nil else { continue }
      do {
        if let error = damaged[tensor.storage.entry.dataOffset] { throw error }
        if try reader.verdict(tensor.storage, all: crc == .all) == .partlyRead {
          partlyRead.insert(tensor.storage.entry.dataOffset)
        }
      } catch {
        damaged[tensor.storage.entry.dataOffset] = error
        fail(position, error)
      }
    }
    warnPartlyRead(sha256 ? partlyRead.count : 0)
  }

  private mutating func warnPartlyRead(_ count: Int) {
    guard count > 0 else { return }
    warnings.append(
      Diagnostic(
        .crcNotChecked,
        "\(count) storages were read in part, so their CRC was not checked; --crc all reads the "
          + "rest "
          + "of them"))
  }

  private mutating func fail(_ position: Int, _ error: any Error) {
    tensors[position].sha256 = nil
    tensors[position].error = Failure(
      reading: error, file: path, tensor: tensors[position].name)
  }

  /// The errors of all tensors.
  public var errors: [Failure] { tensors.compactMap(\.error) }

  /// The list for machine-readable output.
  public var json: [JSONValue] {
    tensors.map { entry in
      var object = JSONObject()
      object["name"] = .string(entry.name)
      object["path"] = .array(entry.path.map(\.json))
      if let tensor = entry.tensor {
        object["dtype"] = .string(tensor.dtype.rawValue)
        object["shape"] = .array(tensor.sizes.map { .int($0) })
      }
      if let sha256 = entry.sha256 { object["sha256"] = .string(sha256) }
      if let error = entry.error {
        object["error"] = ["code": .string(error.code.name), "message": .string(error.message)]
      }
      return .object(object)
    }
  }
}

extension NamedTensor.Step {
  /// A text for a text key, a number for a position or an integer key, and an object for anything
  /// else.
  var json: JSONValue {
    switch self {
    case .key(let text): .string(text)
    case .index(let index): .int(index)
    case .other(let text): ["key": .string(text)]
    }
  }
}
