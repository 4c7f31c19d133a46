public import Diagnostics
public import SystemPackage

extension FileError: DiagnosticError {
  /// The diagnostic of a file that was to be read.
  public var diagnostic: Diagnostic {
    if code == .notFound, FileSystem.isLink(FilePath(path)) {
      return Diagnostic(
        Diagnostic.Code(code.rawValue, .noInput),
        "cannot \(phrase): it is a symbolic link to what is not there", file: path,
        hint: "copy what it leads to, too (cp -L); in the cache of the Hub that is the folder blobs"
      )
    }
    let missing: [Code] = [
      .notFound, .notAFile, .notAFolder, .permission, .nameTooLong, .linkLoop,
    ]
    return diagnostic(missing.contains(code) ? .noInput : .inputOutput)
  }

  private func diagnostic(_ kind: Diagnostic.Kind) -> Diagnostic {
    Diagnostic(
      Diagnostic.Code(code.rawValue, kind), "cannot \(phrase): \(reason)", file: path,
      offset: offset)
  }

  /// The diagnostic of a file that was to be written.
  ///
  /// - Parameter creating: Whether it was to be created first.
  /// - Returns: The diagnostic. A full disk is an error of writing, not of the place.
  func diagnostic(creating: Bool) -> Diagnostic {
    diagnostic(creating && code != .noSpace ? .cannotCreate : .inputOutput)
  }
}

extension Failure {
  /// Gives an error of the input side its place.
  public init(reading error: any Error, file: FilePath, tensor: String? = nil) {
    self.init(reading: error, file: file.string, tensor: tensor)
  }

  /// Gives an error of the output side its kind: nothing could be created, or writing failed on the
  /// way.
  public init(writing error: any Error, creating: Bool) {
    switch error {
    case let error as FileError: self.init(error.diagnostic(creating: creating))
    case let error as Failure: self.init(error.diagnostic)
    default: self.init(.bugUnexpected, "\(error)")
    }
  }
}
