import ByteIO
import Safetensors
public import SystemPackage
import TorchArchive

/// Why something could not be done, with all that helps to mend it.
public struct ConversionError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The exit status that an error leads to (the numbers of BSD's `sysexits.h`).
  public enum Status: Int32, Hashable, Sendable {
    /// `verify` found a fault, or `diff` a difference.
    case fault = 1
    case usage = 64
    /// The checkpoint is malformed or contradicts itself.
    case malformed = 65
    /// The input is missing or cannot be read.
    case noInput = 66
    /// A model or feature that is not converted.
    case unsupported = 69
    /// A mistake of this program.
    case bug = 70
    /// The output exists or cannot be created.
    case cannotCreate = 73
    /// Reading or writing failed on the way.
    case inputOutput = 74
    case tryAgain = 75
    /// Arguments contradict the tensors, or leave open what only a flag can settle.
    case undecided = 78
  }

  public let status: Status
  /// A name for the kind of error, as `area/kind`; the same in every release.
  public let code: String
  /// What was found and what was expected.
  public let message: String
  public var file: String?
  public var tensor: String?
  public var offset: Int?
  /// The flag that helps, or what else to do.
  public var hint: String?

  public init(
    _ status: Status, _ code: String, _ message: String, file: String? = nil,
    tensor: String? = nil, offset: Int? = nil, hint: String? = nil
  ) {
    self.status = status
    self.code = code
    self.message = message
    self.file = file
    self.tensor = tensor
    self.offset = offset
    self.hint = hint
  }

  public var description: String {
    var place: [String] = []
    if let file { place.append(file) }
    if let tensor { place.append("tensor \(tensor)") }
    if let offset { place.append("byte \(offset)") }
    return place.isEmpty ? message : "\(place.joined(separator: ", ")): \(message)"
  }
}

extension ConversionError {
  /// Gives an error of the input side its place and its exit status.
  public init(reading error: any Error, file: FilePath, tensor: String? = nil) {
    switch error {
    case let error as ConversionError:
      self = error
    case let error as FileError:
      if error.code == .notFound, FileSystem.isLink(FilePath(error.path)) {
        self.init(
          .noInput, error.code.rawValue,
          "cannot \(error.phrase): it is a symbolic link to what is not there", file: error.path,
          tensor: tensor,
          hint:
            "copy what it leads to, too (cp -L); in the cache of the Hub that is the folder blobs")
        return
      }
      let missing: [FileError.Code] = [
        .notFound, .notAFile, .notAFolder, .permission, .nameTooLong, .linkLoop,
      ]
      self.init(
        missing.contains(error.code) ? .noInput : .inputOutput, error.code.rawValue,
        "cannot \(error.phrase): \(error.reason)", file: error.path, tensor: tensor,
        offset: error.offset)
    case let error as TorchFileError:
      let refused = error.code.rawValue.hasPrefix("unsupported/")
      self.init(
        refused ? .unsupported : .malformed, error.code.rawValue,
        error.entry.map { "\(error.detail) (entry \($0))" } ?? error.detail, file: file.string,
        tensor: tensor, offset: error.offset, hint: error.hint)
    case let error as SafetensorsError:
      self.init(
        .malformed, error.code.rawValue, error.detail, file: file.string,
        tensor: error.tensor ?? tensor)
    default:
      self.init(.bug, "bug/unexpected", "\(error)", file: file.string, tensor: tensor)
    }
  }

  /// Gives an error of the output side its exit status: nothing could be created, or writing
  /// failed on the way.
  public init(writing error: any Error, creating: Bool) {
    guard let error = error as? FileError else {
      self = error as? ConversionError ?? ConversionError(.bug, "bug/unexpected", "\(error)")
      return
    }
    self.init(
      creating && error.code != .noSpace ? .cannotCreate : .inputOutput, error.code.rawValue,
      "cannot \(error.phrase): \(error.reason)", file: error.path, offset: error.offset)
  }
}

/// Something that the user should know although it stops nothing.
public struct ConversionWarning: Hashable, Sendable {
  /// A name for the kind of warning, as `area/kind`.
  public let code: String
  public let message: String
  public var tensor: String?

  public init(_ code: String, _ message: String, tensor: String? = nil) {
    self.code = code
    self.message = message
    self.tensor = tensor
  }
}
