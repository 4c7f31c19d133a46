public import Pickle

/// A PyTorch file that cannot be read, or a part of it that has to be refused.
public struct TorchFileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, as `area/kind`. More kinds may come.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: String

    public init(rawValue: String) {
      self.rawValue = rawValue
    }

    private init(_ rawValue: String) {
      self.rawValue = rawValue
    }

    // The file as a whole
    public static let unknownFormat = Code("format/unknown")
    public static let nestedArchive = Code("format/nested-archive")
    public static let safetensors = Code("format/safetensors")

    // The zip container
    public static let truncated = Code("zip/truncated")
    public static let trailingData = Code("zip/trailing-data")
    public static let severalEnds = Code("zip/several-end-records")
    public static let badCentralDirectory = Code("zip/bad-central-directory")
    public static let zip64Mismatch = Code("zip/zip64-mismatch")
    public static let badOffset = Code("zip/bad-offset")
    public static let badLocalHeader = Code("zip/bad-local-header")
    public static let localHeaderMismatch = Code("zip/local-header-mismatch")
    public static let overlap = Code("zip/overlap")
    public static let badName = Code("zip/bad-name")
    public static let duplicateName = Code("zip/duplicate-name")
    public static let mixedRoot = Code("zip/mixed-root")
    public static let missingEntry = Code("zip/missing-entry")
    public static let unsupportedMethod = Code("zip/unsupported-method")
    public static let encrypted = Code("zip/encrypted")
    public static let inflate = Code("zip/inflate")
    public static let crcMismatch = Code("zip/crc-mismatch")
    public static let badMarker = Code("zip/bad-marker")

    // The container of PyTorch before 1.6
    public static let legacyHeader = Code("legacy/bad-header")
    public static let legacyTruncated = Code("legacy/truncated")
    public static let legacySize = Code("legacy/size-mismatch")
    public static let legacyUnknownKey = Code("legacy/unknown-key")
    public static let legacyKeys = Code("legacy/bad-key-list")

    // Storages and tensors
    public static let storageMissing = Code("storage/missing")
    public static let storageSize = Code("storage/size-mismatch")
    public static let storageConflict = Code("storage/conflict")
    public static let badStorageID = Code("tensor/bad-storage-id")
    public static let badArguments = Code("tensor/bad-args")
    public static let badShape = Code("tensor/shape")
    public static let bounds = Code("tensor/bounds")
    public static let unknownDType = Code("tensor/dtype")
    public static let tensorNotFound = Code("tensor/not-found")

    // What is understood but not read
    public static let torchScript = Code("unsupported/torchscript")
    public static let tar = Code("unsupported/tar")
    public static let version = Code("unsupported/version")
    public static let sparse = Code("unsupported/sparse")
    public static let quantized = Code("unsupported/quantized")
    public static let nested = Code("unsupported/nested")
    public static let meta = Code("unsupported/meta")
    public static let wrapperSubclass = Code("unsupported/wrapper-subclass")
    public static let unknownRebuild = Code("unsupported/rebuild-function")
    public static let fromNumpy = Code("unsupported/numpy")

    // Limits
    public static let limitEntries = Code("limit/entries")
    public static let limitPickleSize = Code("limit/pickle-size")
    public static let limitInflation = Code("limit/inflation")
    public static let limitDepth = Code("limit/depth")
    public static let limitExpansion = Code("limit/expansion")
    public static let limitOutput = Code("limit/output")
  }

  public let code: Code
  /// What was found and what was expected.
  public let detail: String
  /// The byte offset in the file, or in the pickle for errors of the pickle; `nil` when none fits.
  public let offset: Int?
  /// The archive entry that is meant.
  public let entry: String?
  /// What to do about it, where that is clear.
  public let hint: String?

  public init(
    _ code: Code, _ detail: String, offset: Int? = nil, entry: String? = nil, hint: String? = nil
  ) {
    self.hint = hint
    self.code = code
    self.detail = detail
    self.offset = offset
    self.entry = entry
  }

  /// An error of the pickle in `entry`.
  public init(_ error: PickleError, entry: String) {
    self.init(
      Code(rawValue: error.code.rawValue), error.detail, offset: error.offset, entry: entry)
  }

  public var description: String {
    var text = detail
    if let entry { text += " (entry \(entry))" }
    if let offset { text += ", at byte \(offset)" }
    return text
  }

  public static func == (a: TorchFileError, b: TorchFileError) -> Bool {
    a.code == b.code && a.offset == b.offset && a.entry == b.entry
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(offset)
    hasher.combine(entry)
  }
}

/// `text` cut to a length that a message can bear.
func shortened(_ text: String, to limit: Int = 120) -> String {
  text.unicodeScalars.count <= limit
    ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + "…"
}
