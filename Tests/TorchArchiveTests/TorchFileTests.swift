import ByteIO
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
    // Python's zlib.compress(bytes(1048576 + 5)) without its frame: the input is used up long before
    // the last bytes come out.
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

  @Test func aContainerInsideOfItselfIsWalkedOnce() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "f", ZipWriter([.init("a/data.pkl", Array("(lp0\ng0\na.".utf8))]).bytes)
    #expect(try TorchFile(opening: path).namedTensors().isEmpty)
  }
}
