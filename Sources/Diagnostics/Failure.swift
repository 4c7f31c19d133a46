/// A diagnostic that ends what was asked for.
///
/// Its parts are those of the diagnostic: `failure.code`, `failure.message`.
@dynamicMemberLookup
public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
  public var diagnostic: Diagnostic

  public init(_ diagnostic: Diagnostic) {
    self.diagnostic = diagnostic
  }

  /// A failure with its place, as far as it has one.
  public init(
    _ code: Diagnostic.Code, _ message: String, file: String? = nil, tensor: String? = nil,
    offset: Int? = nil, hint: String? = nil
  ) {
    diagnostic = Diagnostic(
      code, message, file: file, tensor: tensor, offset: offset, hint: hint)
  }

  public subscript<Value>(dynamicMember part: WritableKeyPath<Diagnostic, Value>) -> Value {
    get { diagnostic[keyPath: part] }
    set { diagnostic[keyPath: part] = newValue }
  }

  public subscript<Value>(dynamicMember part: KeyPath<Diagnostic, Value>) -> Value {
    diagnostic[keyPath: part]
  }

  public var description: String { diagnostic.description }
}

/// An error of one of the libraries below, which says itself what its diagnostic is.
public protocol DiagnosticError: Error {
  /// The error with all that it knows of its place.
  var diagnostic: Diagnostic { get }
}

extension Failure {
  /// Gives an error of the input side its place.
  ///
  /// - Parameters:
  ///   - error: What was thrown.
  ///   - file: The file that was read; an error that names a file keeps it.
  ///   - tensor: The tensor that was read, likewise.
  public init(reading error: any Error, file: String, tensor: String? = nil) {
    switch error {
    case let error as Failure: self.init(error.diagnostic)
    case let error as any DiagnosticError:
      var diagnostic = error.diagnostic
      diagnostic.file = diagnostic.file ?? file
      diagnostic.tensor = diagnostic.tensor ?? tensor
      self.init(diagnostic)
    default: self.init(.bugUnexpected, "\(error)", file: file, tensor: tensor)
    }
  }
}
