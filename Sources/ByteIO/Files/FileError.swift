public import SystemPackage

/// An operation on a file or folder that the system refused, or that gave less than was asked for.
///
/// The raw values of ``Code`` are the names under which errors appear in machine-readable output.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of refusal it was.
  public enum Code: String, Hashable, Sendable {
    case notFound = "io/not-found"
    case notAFile = "io/not-a-file"
    case notAFolder = "io/not-a-folder"
    case permission = "io/permission"
    case nameTooLong = "io/name-too-long"
    case linkLoop = "io/link-loop"
    case exists = "io/exists"
    case notEmpty = "io/not-empty"
    case changed = "io/changed"
    case noSpace = "io/no-space"
    case readOnly = "io/read-only"
    case unsupported = "io/unsupported"
    case tooManyOpenFiles = "io/too-many-open-files"
    case failed = "io/error"
  }

  public let code: Code
  /// The path as the user would write it; bytes that are not UTF-8 are shown as U+FFFD.
  public let path: String
  /// What was tried, as a verb: "open", "read", "write".
  public let operation: String
  /// What was tried, with its object: "open it", "look it up".
  public var phrase: String { operation == "look up" ? "look it up" : "\(operation) it" }
  /// The byte offset in the file, for reads and writes.
  public let offset: Int?
  /// What happened instead, in words.
  public let reason: String

  public init(
    _ code: Code, path: FilePath, operation: String, offset: Int? = nil, reason: String
  ) {
    self.code = code
    self.path = path.string
    self.operation = operation
    self.offset = offset
    self.reason = reason
  }

  /// Names the error number that a system call left behind.
  init(errno number: Int32, path: FilePath, operation: String, offset: Int? = nil) {
    let errno = Errno(rawValue: number)
    let code: Code =
      switch errno {
      case .noSuchFileOrDirectory: .notFound
      case .isDirectory, .noSuchAddressOrDevice: .notAFile
      case .notDirectory: .notAFolder
      case .permissionDenied, .notPermitted: .permission
      case .fileNameTooLong: .nameTooLong
      case .tooManySymbolicLinkLevels: .linkLoop
      case .fileExists: .exists
      case .directoryNotEmpty: .notEmpty
      case .noSpace, .diskQuotaExceeded, .fileTooLarge: .noSpace
      case .readOnlyFileSystem: .readOnly
      case .notSupported, .notSupportedOnSocket, .invalidArgument, .noFunction, .improperLink:
        .unsupported
      case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .tooManyOpenFiles
      default: .failed
      }
    self.init(code, path: path, operation: operation, offset: offset, reason: "\(errno)")
  }

  public var description: String {
    let place = offset.map { " at byte \($0)" } ?? ""
    return "cannot \(operation) \(path)\(place): \(reason)"
  }
}
