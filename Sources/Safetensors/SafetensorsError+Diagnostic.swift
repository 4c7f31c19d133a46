public import Diagnostics

extension SafetensorsError: DiagnosticError {
  public var diagnostic: Diagnostic {
    Diagnostic(Diagnostic.Code(code.rawValue, .malformed), detail, tensor: tensor)
  }
}
