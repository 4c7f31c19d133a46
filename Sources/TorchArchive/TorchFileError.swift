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
    /// The file is of no PyTorch format; the message says of which other one, where that is known.
    public static let unknownFormat = Code("format/unknown")
    /// A zip archive that holds files of weights, which is to be unpacked first.
    public static let nestedArchive = Code("format/nested-archive")
    /// A safetensors file stands where a PyTorch file was expected.
    public static let safetensors = Code("format/safetensors")

    // The zip container
    /// The end of the archive is missing, so the file is not whole.
    public static let truncated = Code("zip/truncated")
    /// There are bytes after the end of the archive.
    public static let trailingData = Code("zip/trailing-data")
    /// Several end records claim the file, or two archives are in it.
    public static let severalEnds = Code("zip/several-end-records")
    /// The directory of the archive contradicts itself, or where it is in the file.
    public static let badCentralDirectory = Code("zip/bad-central-directory")
    /// The end record and its zip64 form disagree about a number.
    public static let zip64Mismatch = Code("zip/zip64-mismatch")
    /// An entry reaches into the directory, or bytes come before the first entry.
    public static let badOffset = Code("zip/bad-offset")
    /// There is no local header where the directory says that an entry begins.
    public static let badLocalHeader = Code("zip/bad-local-header")
    /// The local header of an entry and the directory describe two different ones.
    public static let localHeaderMismatch = Code("zip/local-header-mismatch")
    /// An entry begins inside of another one.
    public static let overlap = Code("zip/overlap")
    /// An entry's name is not UTF-8, or could be taken for a path out of the archive.
    public static let badName = Code("zip/bad-name")
    /// Two entries have one name.
    public static let duplicateName = Code("zip/duplicate-name")
    /// Several folders of the archive hold a `data.pkl`.
    public static let mixedRoot = Code("zip/mixed-root")
    /// The archive has no `data.pkl`.
    public static let missingEntry = Code("zip/missing-entry")
    /// An entry is neither stored nor deflated.
    public static let unsupportedMethod = Code("zip/unsupported-method")
    /// An entry is encrypted.
    public static let encrypted = Code("zip/encrypted")
    /// A deflated entry is damaged, or has another size than is declared.
    public static let inflate = Code("zip/inflate")
    /// The bytes of an entry do not have the CRC that was recorded: they are damaged.
    public static let crcMismatch = Code("zip/crc-mismatch")
    /// A small record, such as the byte order, is too long or holds something unknown.
    public static let badMarker = Code("zip/bad-marker")

    // The container of PyTorch before 1.6
    /// What comes before the objects is not what PyTorch wrote before 1.6.
    public static let legacyHeader = Code("legacy/bad-header")
    /// The file ends before the end of a storage.
    public static let legacyTruncated = Code("legacy/truncated")
    /// A storage has another number of elements than the pickle says.
    public static let legacySize = Code("legacy/size-mismatch")
    /// A storage that no tensor refers to, so that its size is not known.
    public static let legacyUnknownKey = Code("legacy/unknown-key")
    /// The keys of the storages are not a list of texts that are all different.
    public static let legacyKeys = Code("legacy/bad-key-list")

    // Storages and tensors
    /// A tensor refers to a storage that the file does not have.
    public static let storageMissing = Code("storage/missing")
    /// A storage has another number of bytes than its elements take.
    public static let storageSize = Code("storage/size-mismatch")
    /// A storage is referred to as of two types.
    public static let storageConflict = Code("storage/conflict")
    /// A reference to a storage is not of the form that PyTorch writes.
    public static let badStorageID = Code("tensor/bad-storage-id")
    /// What a tensor is described by is not of the form that PyTorch writes.
    public static let badArguments = Code("tensor/bad-args")
    /// A shape that no tensor has: a negative size or stride, too many dimensions or elements.
    public static let badShape = Code("tensor/shape")
    /// A tensor, or a part of a storage, reaches outside of the storage.
    public static let bounds = Code("tensor/bounds")
    /// A type that is not known; for ``TorchFile/floats(of:)``, one that it does not widen.
    public static let unknownDType = Code("tensor/dtype")
    /// There is no tensor of the name that was asked for.
    public static let tensorNotFound = Code("tensor/not-found")

    // What is understood but not read
    /// A TorchScript program, not a checkpoint.
    public static let torchScript = Code("unsupported/torchscript")
    /// A tar archive, as PyTorch 0.1 wrote, or any other one.
    public static let tar = Code("unsupported/tar")
    /// A format version that is not known: one to come, or no number.
    public static let version = Code("unsupported/version")
    /// A sparse tensor, whose values are not those of one storage.
    public static let sparse = Code("unsupported/sparse")
    /// A quantized tensor: codes that mean nothing without their scale.
    public static let quantized = Code("unsupported/quantized")
    /// A nested tensor, whose values are not those of one storage.
    public static let nested = Code("unsupported/nested")
    /// A tensor of the meta device, which has no values.
    public static let meta = Code("unsupported/meta")
    /// A tensor of a class that holds its values elsewhere.
    public static let wrapperSubclass = Code("unsupported/wrapper-subclass")
    /// A tensor that an unknown function makes, of arguments other than those of a plain view.
    public static let unknownRebuild = Code("unsupported/rebuild-function")
    /// A tensor that was saved as an array of NumPy, by way of a device such as XLA.
    public static let fromNumpy = Code("unsupported/numpy")

    // Limits
    /// More entries than ``TorchLimits/entries``.
    public static let limitEntries = Code("limit/entries")
    /// A pickle of more bytes than ``TorchLimits/pickleBytes``.
    public static let limitPickleSize = Code("limit/pickle-size")
    /// An entry that would inflate to far more than deflate can hold, or than a pickle may.
    public static let limitInflation = Code("limit/inflation")
    /// A tensor below more containers than ``TorchLimits/depth``, or in too many wrappers.
    public static let limitDepth = Code("limit/depth")
    /// More names of tensors than ``TorchLimits/tensorNames``.
    public static let limitExpansion = Code("limit/expansion")
    /// A view that is far larger than its storage; see ``TorchLimits/expansion``.
    public static let limitOutput = Code("limit/output")
  }

  /// The kind of fault, apart from where it is; a code of the pickle for errors of the pickle.
  public let code: Code
  /// What was found and what was expected.
  public let detail: String
  /// The byte offset in the file, or in the pickle for errors of the pickle; `nil` when none fits.
  public let offset: Int?
  /// The archive entry that is meant.
  public let entry: String?
  /// What to do about it, where that is clear.
  public let hint: String?

  /// An error, with what is known of its place.
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
package func shortened(_ text: String, to limit: Int = 120) -> String {
  text.unicodeScalars.count <= limit
    ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + "…"
}
