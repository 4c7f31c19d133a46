public import Diagnostics

extension TorchFileError.Code {
  /// The code of the diagnostic: what is understood but not read is not damaged.
  public var diagnostic: Diagnostic.Code {
    Diagnostic.Code(rawValue, rawValue.hasPrefix("unsupported/") ? .unsupported : .malformed)
  }
}

extension TorchFileError: DiagnosticError {
  public var diagnostic: Diagnostic {
    Diagnostic(
      code.diagnostic, entry.map { "\(detail) (entry \($0))" } ?? detail, offset: offset, hint: hint
    )
  }
}
