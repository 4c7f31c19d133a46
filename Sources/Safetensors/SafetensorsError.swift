/// A safetensors file or shard index that breaks the format.
public struct SafetensorsError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Which rule is broken. The names follow the reference implementation.
  public enum Code: String, Hashable, Sendable {
    case headerTooSmall = "safetensors/header-too-small"
    case headerTooLarge = "safetensors/header-too-large"
    case invalidHeaderLength = "safetensors/invalid-header-length"
    case invalidHeader = "safetensors/invalid-header"
    case invalidOffset = "safetensors/invalid-offset"
    case overflow = "safetensors/overflow"
    case misaligned = "safetensors/misaligned"
    case sizeMismatch = "safetensors/size-mismatch"
    case incompleteBuffer = "safetensors/incomplete-buffer"
    case invalidIndex = "safetensors/invalid-index"
    // What the reference implementation leaves to its callers
    case tensorNotFound = "safetensors/tensor-not-found"
    case unexpectedDType = "safetensors/dtype"
  }

  public let code: Code
  public let detail: String
  /// The tensor that is meant.
  public let tensor: String?

  public init(_ code: Code, _ detail: String, tensor: String? = nil) {
    self.code = code
    self.detail = detail
    self.tensor = tensor
  }

  public var description: String { tensor.map { "\($0): \(detail)" } ?? detail }

  public static func == (a: SafetensorsError, b: SafetensorsError) -> Bool {
    a.code == b.code && a.tensor == b.tensor
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(tensor)
  }
}
