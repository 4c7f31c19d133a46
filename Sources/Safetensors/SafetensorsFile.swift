public import ByteIO
public import SystemPackage

/// A safetensors file whose header was checked in full.
public struct SafetensorsFile: Sendable {
  /// The file, which stays open for reading tensors.
  public let file: InputFile
  /// The header, checked against the size of the file: its tensors end where the file does.
  public let header: SafetensorsHeader
  /// Where the tensor bytes begin in the file.
  public let dataStart: Int

  /// Opens `path` and reads its header; no tensor is read.
  ///
  /// - Throws: ``SafetensorsError`` or `FileError`.
  public init(opening path: FilePath) throws {
    let file = try InputFile(opening: path)
    guard file.size >= 8 else {
      throw SafetensorsError(
        .headerTooSmall, "the file has \(file.size) bytes; the length of the header takes 8")
    }
    var reader = ByteReader(try file.read(at: 0, count: 8))
    let length = reader.uint64() ?? 0
    guard length <= SafetensorsHeader.maximumSize else {
      throw SafetensorsError(
        .headerTooLarge,
        "a header of \(length) bytes; \(SafetensorsHeader.maximumSize) are allowed")
    }
    let size = Int(length)
    guard size <= file.size - 8 else {
      throw SafetensorsError(
        .invalidHeaderLength, "a header of \(size) bytes in a file of \(file.size)")
    }
    self.file = file
    dataStart = 8 + size
    header = try SafetensorsHeader(
      parsing: try file.read(at: 8, count: size), dataSize: file.size - dataStart)
  }
}
