/// A safetensors file or shard index that breaks the format.
public struct SafetensorsError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Which rule is broken. The names follow the reference implementation.
  public enum Code: String, Hashable, Sendable {
    /// The file is shorter than the 8 bytes that say how long the header is.
    case headerTooSmall = "safetensors/header-too-small"
    /// The header has more bytes than ``SafetensorsHeader/maximumSize``.
    case headerTooLarge = "safetensors/header-too-large"
    /// The header is said to reach beyond the end of the file.
    case invalidHeaderLength = "safetensors/invalid-header-length"
    /// The header is not JSON, or does not describe tensors as the format asks; on writing, a
    /// name that is taken or reserved.
    case invalidHeader = "safetensors/invalid-header"
    /// The bytes of a tensor do not follow those before it, or end before they begin.
    case invalidOffset = "safetensors/invalid-offset"
    /// The size of a tensor, or of one of its dimensions, does not fit into 64 bits.
    case overflow = "safetensors/overflow"
    /// The elements of a tensor, of less than 8 bits each, do not fill whole bytes.
    case misaligned = "safetensors/misaligned"
    /// Shape and type of a tensor take another number of bytes than it has.
    case sizeMismatch = "safetensors/size-mismatch"
    /// The tensors end before or after the end of the file.
    case incompleteBuffer = "safetensors/incomplete-buffer"
    /// The index of the shards is not JSON, lacks a part, or names a file that is a path.
    case invalidIndex = "safetensors/invalid-index"
    // What the reference implementation leaves to its callers
    /// There is no tensor of the name that was asked for.
    case tensorNotFound = "safetensors/tensor-not-found"
    /// Numbers were asked for, of a type other than F16, BF16 or F32.
    case unexpectedDType = "safetensors/dtype"
  }

  /// The rule that is broken.
  public let code: Code
  /// What was found and what was expected, without the name of the tensor.
  public let detail: String
  /// The tensor that is meant.
  public let tensor: String?

  /// An error of a tensor, or of the file as a whole.
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
