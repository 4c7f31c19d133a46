/// Files that stand where a PyTorch file was expected: what they are, told by their first bytes,
/// and what to do about it.
struct ForeignFormat {
  let what: String
  let hint: String?

  /// The kind of a file that is not from PyTorch.
  ///
  /// - Parameters:
  ///   - start: Its first bytes, 512 of them if there are so many.
  ///   - size: The size of the file.
  init?(_ start: [UInt8], size: Int) {
    if start.isEmpty {
      self.init("the file is empty", "copy or download it again; the disk may have been full")
    } else if start.allSatisfy({ $0 == 0 }) {
      self.init(
        "the file begins with zeros only: it was created and not written",
        "copy or download it again; the disk may have been full")
    } else if let row = ForeignFormat.signatures.first(where: { $0.matches(start) }) {
      self.init(row.what, row.hint)
    } else if let text = ForeignFormat.firstLine(start) {
      let lower = text.lowercased()
      if text.hasPrefix("version https://git-lfs") {
        self.init(
          "a git-lfs pointer of \(size) bytes, not the file itself",
          "fetch the file: git lfs pull (after git lfs install)")
      } else if lower.hasPrefix("<!doctype html") || lower.hasPrefix("<html")
        || lower.hasPrefix("<?xml") || lower.hasPrefix("<head")
      {
        self.init(
          "a web page, not a PyTorch file: the download got an error or a login page",
          "download it again with the direct link, and look at the file first")
      } else if text.hasPrefix("{") || text.hasPrefix("[") {
        self.init("a JSON text, not a PyTorch file", nil)
      } else {
        self.init("a text file that begins \"\(shortened(text, to: 60))\", not a PyTorch file", nil)
      }
    } else {
      return nil
    }
  }

  private init(_ what: String, _ hint: String?) {
    self.what = what
    self.hint = hint
  }

  /// The first line of a file that is text in UTF-8 or ASCII; `nil` for anything else.
  private static func firstLine(_ start: [UInt8]) -> String? {
    var bytes = start[...]
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
    // What was read may end in the middle of a character.
    for _ in 0..<4 {
      if let text = String(validating: bytes, as: UTF8.self) {
        let isText = text.unicodeScalars.allSatisfy {
          $0.value >= 0x20 || [0x09, 0x0A, 0x0D].contains($0.value)
        }
        guard isText else { return nil }
        let lines = text.split(whereSeparator: \.isNewline)
        return lines.first.map { String($0.drop { $0 == " " || $0 == "\t" }) }
      }
      bytes = bytes.dropLast()
    }
    return nil
  }

  private struct Signature {
    let bytes: [UInt8]
    var offset = 0
    let what: String
    let hint: String?

    func matches(_ start: [UInt8]) -> Bool {
      start.count >= offset + bytes.count && start[offset...].starts(with: bytes)
    }
  }

  private static let unpack = "unpack it first"

  private static let signatures: [Signature] = [
    Signature(
      bytes: [0x1F, 0x8B], what: "a gzip file",
      hint: "unpack it first: gunzip FILE (tar -xzf FILE for a .tar.gz)"),
    Signature(
      bytes: [0x28, 0xB5, 0x2F, 0xFD], what: "a zstd file",
      hint: "unpack it first: unzstd FILE (tar --zstd -xf FILE for a .tar.zst)"),
    Signature(
      bytes: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], what: "an xz file",
      hint: "unpack it first: unxz FILE (tar -xJf FILE for a .tar.xz)"),
    Signature(
      bytes: Array("BZh".utf8), what: "a bzip2 file",
      hint: "unpack it first: bunzip2 FILE (tar -xjf FILE for a .tar.bz2)"),
    Signature(
      bytes: [0x04, 0x22, 0x4D, 0x18], what: "an lz4 file", hint: "unpack it first: unlz4 FILE"),
    Signature(
      bytes: [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], what: "a 7z archive",
      hint: "unpack it first: 7z x FILE"),
    Signature(bytes: Array("Rar!".utf8), what: "a RAR archive", hint: unpack),
    Signature(
      bytes: Array("GGUF".utf8),
      what: "a GGUF file of "
        + "llama.cpp", hint: nil),
    Signature(bytes: [0x89, 0x48, 0x44, 0x46], what: "an HDF5 file", hint: nil),
    Signature(
      bytes: [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59],
      what: "a NumPy array "
        + "file", hint: nil),
    Signature(bytes: Array("PAR1".utf8), what: "a Parquet file", hint: nil),
    Signature(bytes: [0x7F, 0x45, 0x4C, 0x46], what: "a program (ELF)", hint: nil),
    Signature(
      bytes: Array("PYTORCH1".utf8),
      what: "a file of PyTorch's preview "
        + "release", hint: "load and save it with PyTorch 1.x"),
    Signature(
      bytes: Array("PK\u{5}\u{6}".utf8),
      what: "an empty zip "
        + "archive", hint: "copy or download it again"),
    Signature(bytes: [0x80, 0x02], what: ForeignFormat.pickle, hint: ForeignFormat.save),
    Signature(bytes: [0x80, 0x03], what: ForeignFormat.pickle, hint: ForeignFormat.save),
    Signature(bytes: [0x80, 0x04], what: ForeignFormat.pickle, hint: ForeignFormat.save),
    Signature(bytes: [0x80, 0x05], what: ForeignFormat.pickle, hint: ForeignFormat.save),
  ]

  private static let pickle = "a plain pickle (of pickle.dump), not a file of torch.save"
  private static let save = "load it with pickle where you trust it, and save it with torch.save"
}
