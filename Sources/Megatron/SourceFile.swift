public import ByteIO
public import SystemPackage

/// A file that tensors are read from.
public struct SourceFile: Hashable, Sendable {
  public let path: FilePath
  /// The name within the checkpoint's folder.
  public let name: String
  public let identity: InputFile.Identity
  /// A SHA-256 over the directory of the archive: names, sizes, offsets and CRCs of all entries.
  public let directoryDigest: String
  /// Whether the pickle had a CRC that was checked.
  public let isPickleVerified: Bool
  /// The pipeline stage, where the name of the file tells it.
  public let stage: Int?
}
