import ByteIO
import JSON
import Pickle
import Safetensors
import SystemPackage
import TestSupport
import Testing
import TorchArchive

/// A tensor of a file, as the fixtures describe it.
struct ReadTensor: Hashable, CustomStringConvertible {
  let name: String
  let dtype: String
  let shape: [Int]
  let sha256: String

  var description: String { "\(name) \(dtype) \(shape) \(sha256.prefix(8))" }
}

/// All tensors of a file with their digests, every CRC compared.
func read(_ path: FilePath, windowSize: Int = 8 << 20) throws -> [ReadTensor] {
  let file = try TorchFile(opening: path)
  let reader = TensorReader(file, windowSize: windowSize)
  let tensors = try file.namedTensors().compactMap { named in
    try file.tensor(named.node).map { (named.name, $0) }
  }
  let result = try tensors.map { name, tensor in
    var hasher = SHA256Hasher()
    try reader.forEachPart(of: tensor) { hasher.update($0, of: $1) }
    return ReadTensor(
      name: name, dtype: tensor.dtype.rawValue, shape: tensor.sizes, sha256: hasher.hexDigest())
  }
  for (_, tensor) in tensors { _ = try reader.verdict(tensor.storage, all: true) }
  return result
}

@Suite struct TorchFileTests {
  private static func expected() throws -> [String: [ReadTensor]] {
    let json = try JSONParser.parse(bytes(of: fixture("torch/expected.json")))
    var result: [String: [ReadTensor]] = [:]
    for member in json.object?.members ?? [] {
      result[member.key] = (member.value.array ?? []).map { value in
        let object = value.object
        return ReadTensor(
          name: object?["name"]?.string ?? "", dtype: object?["dtype"]?.string ?? "",
          shape: object?["shape"]?.array?.compactMap(\.int) ?? [],
          sha256: object?["sha256"]?.string ?? "")
      }
    }
    return result
  }

  @Test func everyFileOfTorchIsReadToTheLastByte() throws {
    let expected = try TorchFileTests.expected()
    #expect(expected.count == 10)
    for (name, tensors) in expected {
      #expect(try read(fixture("torch/\(name)")) == tensors, "\(name)")
      // Views are put together from small windows as well as from large ones.
      #expect(try read(fixture("torch/\(name)"), windowSize: 16) == tensors, "\(name)")
    }
  }

  @Test func everyPrefixAndEveryFlippedBitGivesAValueOrAnError() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("f")
    for name in ["small.pt", "deflated.pt"] {
      let whole = try bytes(of: fixture("torch/\(name)"))
      let truth = try read(fixture("torch/\(name)"))
      #expect(whole.count <= 2048)
      var (right, errors) = (0, 0)
      withEveryDamage(whole) { damaged in
        do {
          try folder.write("f", damaged)
          // A flip that changes a value would have been seen by a CRC; names and the like are in
          // the pickle, which has one too.
          if try read(path) == truth { right += 1 } else { Issue.record("wrong values in silence") }
        } catch is TorchFileError {
          errors += 1
        } catch {
          Issue.record("\(error)")
        }
      }
      #expect(right + errors == whole.count * 9, "\(name)")
      #expect(errors > whole.count, "\(name)")
    }
  }

  @Test func everyPrefixAndEveryFlippedBitOfALegacyFileGivesAValueOrAnError() throws {
    // There is no checksum in this container, so a flip in the values cannot be seen; it must not
    // trap, and no prefix may pass.
    let folder = try TemporaryFolder()
    let path = folder.path.appending("f")
    let whole = try bytes(of: fixture("torch/legacy.pt"))
    #expect(whole.count <= 2048)
    #expect(try read(fixture("torch/legacy.pt")).map(\.shape) == [[2, 3], [3]])
    var (values, errors) = (0, 0)
    withEveryDamage(whole) { damaged in
      do {
        try folder.write("f", damaged)
        _ = try read(path)
        values += 1
        #expect(damaged.count == whole.count)
      } catch is TorchFileError {
        errors += 1
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(values + errors == whole.count * 9)
    #expect(errors > whole.count)
  }

  @Test func otherFormatsAreNamed() throws {
    let folder = try TemporaryFolder()
    let cases: [(name: String, bytes: [UInt8], code: TorchFileError.Code)] = [
      ("empty", [], .unknownFormat), ("gguf", Array("GGUF".utf8) + [3, 0, 0, 0], .unknownFormat),
      ("pickle", [0x80, 2, 0x4E, 0x2E], .unknownFormat),
      ("tar", [UInt8](repeating: 0, count: 257) + Array("ustar".utf8), .tar),
      (
        "safetensors", SafetensorsHeader(laying: [("a", .f32, [])], metadata: nil).serialized,
        .safetensors
      ),
      ("nested", ZipWriter([.init("release/model_optim_rng.pt", [1])]).bytes, .nestedArchive),
      ("zip", ZipWriter([.init("a/b", [1])]).bytes, .missingEntry),
      (
        "script",
        ZipWriter([.init("a/data.pkl", [0x4E, 0x2E]), .init("a/constants.pkl", [1])]).bytes,
        .torchScript
      ),
    ]
    for (name, bytes, code) in cases {
      let path = try folder.write(name, bytes)
      #expect { try TorchFile(opening: path) } throws: {
        ($0 as? TorchFileError)?.code == code
      }
    }
  }
}

@Suite struct DeflateTests {
  @Test func outputThatZlibHoldsBackWhenAllInputWasTakenIsNotLost() throws {
    // Python's zlib.compress(bytes(1048576 + 5)) without its frame: the input is used up long
    // before the last bytes come out.
    let path = fixture("torch/held_back.pt")
    for windowSize in [1 << 12, 1 << 16, 8 << 20] {
      let tensors = try read(path, windowSize: windowSize)
      #expect(tensors.map(\.shape) == [[1_048_581]])
    }
  }
}

@Suite struct ZipTests {
  private let pickle = ZipWriter.Entry("archive/data.pkl", [0x4E, 0x2E])

  private func code(_ writer: ZipWriter) throws -> TorchFileError.Code? {
    let folder = try TemporaryFolder()
    let path = try folder.write("f.pt", writer.bytes)
    do {
      _ = try TorchFile(opening: path)
      return nil
    } catch let error as TorchFileError {
      return error.code
    }
  }

  @Test func aPlainArchiveIsReadWithAndWithoutZip64() throws {
    var writer = ZipWriter([pickle])
    #expect(try code(writer) == nil)
    writer.hasZip64 = false
    #expect(try code(writer) == nil)
  }

  @Test func whatTwoReadersCouldUnderstandDifferentlyIsRefused() throws {
    var cases: [(String, ZipWriter, TorchFileError.Code)] = []
    func add(_ name: String, _ code: TorchFileError.Code, _ body: (inout ZipWriter) -> Void) {
      var writer = ZipWriter([pickle, .init("archive/data/0", [1, 2, 3, 4])])
      body(&writer)
      cases.append((name, writer, code))
    }
    add("a name twice", .duplicateName) { $0.entries.append($0.entries[1]) }
    add("a local name of its own", .localHeaderMismatch) {
      $0.entries[1].localName = "archive/data/1"
    }
    add("bytes behind", .trailingData) { $0.trailing = [0] }
    add("bytes before", .badOffset) { $0.prefix = [0x50, 0x4B, 3, 4] }
    add("too many entries", .badCentralDirectory) { $0.countDelta = 1000 }
    add("one entry too few", .badCentralDirectory) { $0.countDelta = -1 }
    add("a path", .badName) { $0.entries[1].name = "archive/../x" }
    add("an absolute path", .badName) { $0.entries[1].name = "/x" }
    add("a NUL", .badName) { $0.entries[1].name = "archive/data/0\0" }
    add("an unknown method", .unsupportedMethod) { $0.entries[1].method = 14 }
    add("two sizes", .badCentralDirectory) { $0.entries[1].declaredSize = 5 }
    add("a wrong CRC of the pickle", .crcMismatch) { $0.entries[0].crc = 1 }
    add("a deflate stream that is none", .inflate) {
      $0.entries[0].method = 8
      $0.entries[0].contents = [0xFF, 0xFF]
    }
    add("two roots", .mixedRoot) { $0.entries.append(.init("other/data.pkl", [0x4E, 0x2E])) }
    add("a version to come", .version) {
      $0.entries.append(.init("archive/version", Array("11".utf8)))
    }
    add("an unknown byte order", .badMarker) {
      $0.entries.append(.init("archive/byteorder", Array("middle".utf8)))
    }
    for (name, writer, expected) in cases { #expect(try code(writer) == expected, "\(name)") }
  }

  @Test func aMissingEndIsATruncatedFile() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("f", ZipWriter([pickle]).bytes.dropLast(10))
    #expect { try TorchFile(opening: path) } throws: {
      ($0 as? TorchFileError)?.code == .truncated
    }
  }
}

@Suite struct TensorTests {
  /// A file with one tensor on a storage of `count` binary32 values.
  private func file(
    count: Int = 6, declared: Int? = nil, offset: Int = 0, sizes: [Int], strides: [Int],
    storageClass: String = "FloatStorage"
  ) throws -> (TorchFile, NodeID) {
    var pickle = PickleWriter()
    pickle.tensor(
      storageClass, key: "0", count: declared ?? count, offset: offset, sizes: sizes,
      strides: strides)
    let folder = try TemporaryFolder()
    let values = (0..<count).flatMap { little(Int(Float($0).bitPattern), 4) }
    let path = try folder.write(
      "f",
      ZipWriter([.init("a/data.pkl", pickle.finished), .init("a/data/0", values)]).bytes)
    let file = try TorchFile(opening: path)
    return (file, file.graph.root)
  }

  @Test func viewsThatReachOutsideAreRefused() throws {
    let cases: [(offset: Int, sizes: [Int], strides: [Int], code: TorchFileError.Code)] = [
      (1, [2, 3], [3, 1], .bounds), (0, [2, 2], [5, 1], .bounds), (-1, [1], [1], .bounds),
      (6, [], [], .bounds), (0, [2], [.max], .bounds), (.max, [2], [1], .bounds),
      (0, [-1], [1], .badShape), (0, [-2, -3], [3, 1], .badShape), (0, [2], [-1], .badShape),
      (0, [1 << 32, 1 << 32], [0, 0], .badShape),
      (0, [0, 1 << 62, 1 << 62], [0, 0, 0], .badShape),
      (0, [Int](repeating: 1, count: 65), [Int](repeating: 1, count: 65), .badShape),
      (0, [2], [1, 1], .badArguments),
    ]
    for (offset, sizes, strides, code) in cases {
      let (file, root) = try file(offset: offset, sizes: sizes, strides: strides)
      #expect(throws: TorchFileError.self, "\(sizes)") { try file.tensor(root) }
      do { _ = try file.tensor(root) } catch { #expect(error.code == code, "\(sizes)") }
    }
  }

  @Test func oddViewsThatStayInsideAreFine() throws {
    let views: [(Int, [Int], [Int])] = [
      (5, [], []), (0, [1, 6], [.max, 1]), (0, [0, 3], [77, 99]), (100, [0], [1]), (0, [3], [0]),
      (0, [2, 2], [1, 1]),
    ]
    for (offset, sizes, strides) in views {
      let (file, root) = try file(offset: offset, sizes: sizes, strides: strides)
      #expect(try file.tensor(root)?.sizes == sizes)
    }
  }

  @Test func aStorageHasExactlyTheBytesThatThePickleSays() throws {
    for declared in [5, 7, .max] {
      let (file, root) = try file(declared: declared, sizes: [1], strides: [1])
      #expect(throws: TorchFileError.self) { try file.tensor(root) }
    }
    let (file, root) = try file(sizes: [1], strides: [1], storageClass: "FooStorage")
    do { _ = try file.tensor(root) } catch { #expect(error.code == .unknownDType) }
  }

  @Test func aViewFarLargerThanItsStorageIsNotSpelledOut() throws {
    let (file, root) = try file(sizes: [1 << 36], strides: [0])
    let tensor = try #require(try file.tensor(root))
    let reader = TensorReader(file)
    #expect { try reader.forEachPart(of: tensor) { _, _ in } } throws: {
      ($0 as? TorchFileError)?.code == .limitOutput
    }
  }

  @Test func aTensorUnderTooManyNamesIsALimitAndNotAnEternity() throws {
    // Forty tuples, each holding the one before it twice: 2^40 names.
    var pickle = PickleWriter()
    pickle.tensor("FloatStorage", key: "0", count: 1, offset: 0, sizes: [], strides: [])
    for _ in 0..<40 { pickle.raw([0x32, 0x86]) }
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "f",
      ZipWriter([.init("a/data.pkl", pickle.finished), .init("a/data/0", [0, 0, 0, 0])]).bytes)
    let file = try TorchFile(opening: path)
    #expect { try file.namedTensors() } throws: {
      ($0 as? TorchFileError)?.code == .limitExpansion
    }
  }

  /// A file with one tensor under several names, with a storage of 64 bytes.
  private func file(
    names: Int = 2, depth: Int = 1, sizes: [Int] = [16], strides: [Int] = [1],
    limits: TorchLimits = TorchLimits()
  ) throws -> TorchFile {
    var pickle = PickleWriter()
    for _ in 1..<depth { pickle.code("](") }
    pickle.dict { entries in
      for name in 0..<names {
        entries.string("\(name)")
        entries.tensor(
          "FloatStorage", key: "0", count: 16, offset: 0, sizes: sizes, strides: strides)
      }
    }
    for _ in 1..<depth { pickle.code("e") }
    let folder = try TemporaryFolder()
    let archive = ZipWriter([
      .init("a/data.pkl", pickle.finished), .init("a/data/0", [UInt8](repeating: 1, count: 64)),
    ])
    let path = try folder.write("f", archive.bytes)
    return try TorchFile(opening: path, limits: limits)
  }

  /// Each limit lets a file pass that just reaches it.
  @Test func limitsOfFilesHoldJustAboveAndNotJustBelow() throws {
    func check(
      _ limit: WritableKeyPath<TorchLimits, Int>, _ needed: Int, _ code: TorchFileError.Code,
      _ body: (TorchLimits) throws -> Void
    ) throws {
      var limits = TorchLimits()
      limits[keyPath: limit] = needed
      #expect(throws: Never.self, "\(code)") { try body(limits) }
      limits[keyPath: limit] = needed - 1
      #expect { try body(limits) } throws: { ($0 as? TorchFileError)?.code == code }
    }
    try check(\.entries, 2, .limitEntries) { _ = try file(limits: $0) }
    let size = try #require(try file().entries.first { $0.name == "a/data.pkl" }?.size)
    try check(\.pickleBytes, size, .limitPickleSize) { _ = try file(limits: $0) }
    try check(\.tensorNames, 5, .limitExpansion) {
      _ = try file(names: 5, limits: $0).namedTensors()
    }
    try check(\.depth, 7, .limitDepth) { _ = try file(depth: 7, limits: $0).namedTensors() }
    // A view of 1 GiB and a bit more, on 64 bytes, counts the bit.
    try check(\.expansion, 32, .limitOutput) { limits in
      let file = try file(
        names: 1, sizes: [(1 << 30 + 33 * 64) / 4], strides: [0], limits: limits)
      let named = try #require(try file.namedTensors().first)
      let tensor = try #require(try file.tensor(named.node))
      struct Enough: Error {}
      do {
        try TensorReader(file).forEachPart(of: tensor) { _, _ in throw Enough() }
      } catch is Enough {}
    }
    #expect(TorchLimits.names.count == 14)
  }

  @Test func namesAreComparedByteByByte() throws {
    // The storage that the pickle means is not there; one whose name looks the same is.
    let (composed, split) = ("\u{E9}", "e\u{301}")
    var pickle = PickleWriter()
    pickle.tensor("FloatStorage", key: composed, count: 1, offset: 0, sizes: [], strides: [])
    let folder = try TemporaryFolder()
    func path(_ keys: [String]) throws -> FilePath {
      try folder.write(
        "f",
        ZipWriter(
          [.init("a/data.pkl", pickle.finished)]
            + keys.enumerated().map { .init("a/data/\($1)", [UInt8($0), 0, 0, 0]) }
        ).bytes)
    }
    let missing = try TorchFile(opening: path([split]))
    do {
      _ = try missing.tensor(missing.graph.root)
      Issue.record("the storage of another name was taken")
    } catch { #expect(error.code == .storageMissing) }
    let both = try TorchFile(opening: path([split, composed]))
    let tensor = try #require(try both.tensor(both.graph.root))
    #expect(tensor.storage.entry.name == "a/data/\(composed)")
    try TensorReader(both).forEachPart(of: tensor) { range, buffer in
      #expect(buffer.bytes(range) == [1, 0, 0, 0])
    }
  }

  @Test func aKindOfTensorThatCameLaterIsRefusedAndDoesNotVanish() throws {
    var pickle = PickleWriter()
    pickle.global("torch._utils", "_rebuild_tensor_v4")
    pickle.code(")R")
    let folder = try TemporaryFolder()
    let path = try folder.write("f", ZipWriter([.init("a/data.pkl", pickle.finished)]).bytes)
    let file = try TorchFile(opening: path)
    #expect(try file.namedTensors().count == 1)
    do { _ = try file.tensor(file.graph.root) } catch { #expect(error.code == .unknownRebuild) }
  }

  @Test func aTransposedStorageIsReadInOnePass() throws {
    // 4 MiB behind a window of 16 KiB: by windows alone it would take hundreds of passes.
    let side = 1024
    var pickle = PickleWriter()
    pickle.tensor(
      "FloatStorage", key: "0", count: side * side, offset: 0, sizes: [side, side],
      strides: [1, side])
    let folder = try TemporaryFolder()
    let values = (0..<side * side).flatMap { little($0, 4) }
    let path = try folder.write(
      "f", ZipWriter([.init("a/data.pkl", pickle.finished), .init("a/data/0", values)]).bytes)
    let file = try TorchFile(opening: path)
    let tensor = try #require(try file.tensor(file.graph.root))
    var position = 0
    try TensorReader(file, windowSize: 1 << 14).forEachPart(of: tensor) { range, buffer in
      let bytes = buffer.bytes(range)
      for start in stride(from: 0, to: bytes.count, by: 4 * 997) {
        let index = position + start / 4
        #expect(Array(bytes[start..<start + 4]) == little(index % side * side + index / side, 4))
      }
      position += bytes.count / 4
    }
    #expect(position == side * side)
  }

  @Test func aContainerInsideOfItselfIsWalkedOnce() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "f", ZipWriter([.init("a/data.pkl", Array("(lp0\ng0\na.".utf8))]).bytes)
    #expect(try TorchFile(opening: path).namedTensors().isEmpty)
  }
}
