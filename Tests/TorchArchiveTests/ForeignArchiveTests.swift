import Pickle
import SystemPackage
import TestSupport
import Testing
import TorchArchive

/// Archives that are valid, but not as `torch.save` writes a state dict of today.
@Suite struct ForeignArchiveTests {
  /// A file whose pickle `body` writes; storage "0" holds 1, 2, 3 and 4 in binary32, storage "1"
  /// nothing.
  private func file(_ body: (inout PickleWriter) -> Void) throws -> TorchFile {
    var pickle = PickleWriter()
    body(&pickle)
    let values = [Float](arrayLiteral: 1, 2, 3, 4).flatMap { little(Int($0.bitPattern), 4) }
    let archive = ZipWriter([
      .init("a/data.pkl", pickle.finished), .init("a/data/0", values), .init("a/data/1", []),
    ])
    let folder = try TemporaryFolder()
    return try TorchFile(opening: folder.write("f", archive.bytes))
  }

  private func paths(_ body: (inout PickleWriter) -> Void) throws -> [[NamedTensor.Step]] {
    let file = try file(body)
    let named = try file.namedTensors()
    #expect(file.hiddenStorages(besides: named) == 0)
    for tensor in named { #expect(try file.tensor(tensor.node) != nil) }
    return named.map(\.path)
  }

  private func error(_ body: (inout PickleWriter) -> Void) throws -> TorchFileError? {
    let file = try file(body)
    do {
      for named in try file.namedTensors() { _ = try file.tensor(named.node) }
      return nil
    } catch { return error }
  }

  // MARK: - Tensors that objects hold

  @Test func theFieldsOfANamedTupleAreListed() throws {
    let found = try paths { pickle in
      pickle.global("collector", "Batch")
      pickle.tuple {
        $0.vector()
        $0.int(7)
        $0.vector(at: 2)
      }
      pickle.raw([0x81])
    }
    #expect(found == [[.other("args"), .index(0)], [.other("args"), .index(2)]])
  }

  @Test func theItemsThatAClassIsCalledWithAreListed() throws {
    // collections.Counter({"w": tensor}), and collections.deque([tensor]).
    let counter = try paths { pickle in
      pickle.global("collections", "Counter")
      pickle.tuple { $0.dict { $0.entry("w") } }
      pickle.code("R")
    }
    #expect(counter == [[.other("args"), .index(0), .key("w")]])
    let deque = try paths { pickle in
      pickle.global("collections", "deque")
      pickle.tuple {
        $0.code("](")
        $0.vector()
        $0.code("e")
      }
      pickle.code("R")
    }
    #expect(deque == [[.other("args"), .index(0), .index(0)]])
  }

  @Test func aStateThatIsNoDictionaryIsListed() throws {
    let ofList = try paths { pickle in
      pickle.object("tracker", "Average") {
        $0.code("](")
        $0.vector()
        $0.code("e")
      }
    }
    #expect(ofList == [[.other("state"), .index(0)]])
    let ofTuple = try paths { pickle in
      pickle.object("tracker", "Pair") { state in
        state.tuple {
          $0.int(1)
          $0.vector()
        }
      }
    }
    #expect(ofTuple == [[.other("state"), .index(1)]])
    let ofTensor = try paths { $0.object("tracker", "Last") { $0.vector() } }
    #expect(ofTensor == [[.other("state")]])
  }

  @Test func theSlotsOfAnObjectAreItsAttributes() throws {
    let found = try paths { pickle in
      pickle.object("tracker", "Slots") { state in
        state.tuple {
          $0.none()
          $0.dict { $0.entry("mean") }
        }
      }
    }
    #expect(found == [[.key("mean")]])
  }

  @Test func aStorageWithoutATensorIsCounted() throws {
    let alone = try file {
      $0.dict {
        $0.string("s"); $0.storage("FloatStorage", "0", 4)
      }
    }
    #expect(try alone.hiddenStorages(besides: alone.namedTensors()) == 1)
    let both = try file { pickle in
      pickle.dict {
        $0.entry("w")
        $0.string("s")
        $0.storage("FloatStorage", "0", 4)
      }
    }
    #expect(try both.hiddenStorages(besides: both.namedTensors()) == 1)
  }

  // MARK: - Keys

  @Test func aFrozenSetIsAKeyLikeAnyOther() throws {
    // By its instruction of protocol 4, by the call of protocol 2, and one inside of another.
    let instruction = try paths { pickle in
      pickle.dict {
        $0.code("(")
        $0.string("x")
        $0.raw([0x91])
        $0.vector()
      }
    }
    #expect(instruction == [[.other("{'x'}")]])
    let call = try paths { pickle in
      pickle.dict {
        $0.frozenSet { $0.int(3) }
        $0.vector()
      }
    }
    #expect(call == [[.other("{3}")]])
    let nested = try paths { pickle in
      pickle.dict {
        $0.frozenSet { $0.frozenSet { $0.string("y") } }
        $0.vector()
      }
    }
    #expect(nested == [[.other("{{'y'}}")]])
  }

  @Test func keysThatAreNoTextAreSpelledSoThatNoTwoAreAlike() throws {
    let found = try paths { pickle in
      pickle.dict { entries in
        entries.global("torch", "float16")
        entries.vector()
        entries.global("torch", "bfloat16")
        entries.vector()
        entries.global("callbacks", "EarlyStopping")
        entries.vector()
        entries.tuple {
          $0.int(1)
          $0.string("1")
        }
        entries.vector()
        entries.tuple {
          $0.string("1")
          $0.int(1)
        }
        entries.vector()
        entries.global("torch", "device")
        entries.tuple { $0.string("cpu") }
        entries.code("R")
        entries.vector()
        entries.double(0.5)
        entries.vector()
        entries.none()
        entries.vector()
      }
    }
    #expect(
      found.map { $0.map(\.text) } == [
        ["torch.float16"], ["torch.bfloat16"], ["callbacks.EarlyStopping"], ["(1, '1')"],
        ["('1', 1)"], ["torch.device('cpu')"], ["0.5"], ["None"],
      ])
  }

  @Test func numbersAndTextsWithTheSameNameHaveTheirOwnPaths() throws {
    let found = try paths { pickle in
      pickle.dict { entries in
        entries.int(0)
        entries.vector()
        entries.entry("0")
        entries.entry("a.b")
        entries.string("a")
        entries.dict { $0.entry("b") }
      }
    }
    #expect(found == [[.index(0)], [.key("0")], [.key("a.b")], [.key("a"), .key("b")]])
  }

  @Test func loneSurrogatesStayApart() throws {
    // The keys "\udc80" and "\udc81" in the encoding of pickle, "surrogatepass".
    let found = try paths { pickle in
      pickle.dict { entries in
        for byte: UInt8 in [0x80, 0x81] {
          entries.raw([0x58, 3, 0, 0, 0, 0xED, 0xB2, byte])
          entries.vector()
        }
      }
    }
    #expect(found == [[.key(#"\udc80"#)], [.key(#"\udc81"#)]])
  }

  // MARK: - Storages of several types

  @Test(arguments: [
    ["FloatStorage", "LongStorage"], ["HalfStorage", "BoolStorage", "ByteStorage"],
  ])
  func anEmptyStorageMayBeSeenAsSeveralTypes(types: [String]) throws {
    let file = try file { pickle in
      pickle.dict { entries in
        for type in types {
          entries.string(type)
          entries.tensor(type, key: "1", count: 0, offset: 0, sizes: [0], strides: [1])
        }
      }
    }
    for named in try file.namedTensors() { #expect(try file.tensor(named.node)?.elementCount == 0) }
  }

  @Test(arguments: [("FloatStorage", 4, "IntStorage", 4), ("HalfStorage", 8, "BFloat16Storage", 8)])
  func aStorageWithBytesHasOneType(first: String, count: Int, second: String, other: Int) throws {
    let error = try error { pickle in
      pickle.dict { entries in
        for (type, count) in [(first, count), (second, other)] {
          entries.string(type)
          entries.tensor(type, key: "0", count: count, offset: 0, sizes: [1], strides: [1])
        }
      }
    }
    #expect(error?.code == .storageConflict)
    #expect(error?.detail == "storage 0 is referred to as of two types")
  }

  // MARK: - Functions of other libraries

  @Test(arguments: [
    ("torch_npu.utils.storage", "_rebuild_npu_tensor"), ("vendor.tensors", "restore"),
    ("torch._utils", "_rebuild_tensor_v9"),
  ])
  func aPlainViewOfAnyFunctionIsRead(module: String, name: String) throws {
    let file = try file {
      $0.tensor(
        "FloatStorage", key: "0", count: 4, offset: 1, sizes: [3], strides: [1],
        function: (module, name))
    }
    let tensor = try #require(try file.tensor(file.graph.root))
    #expect(tensor.sizes == [3] && tensor.storageOffset == 1)
    #expect(file.foreignFunction(file.graph.root) == "\(module).\(name)")
  }

  @Test(arguments: [("vendor.tensors", "scaled"), ("torch._utils", "_rebuild_tensor_v9")])
  func aFunctionThatIsGivenMoreThanAViewIsRefusedByName(module: String, name: String) throws {
    let error = try error {
      $0.tensor(
        "FloatStorage", key: "0", count: 4, offset: 0, sizes: [4], strides: [1],
        function: (module, name)
      ) { more in more.dict { $0.entry("scale") } }
    }
    #expect(error?.code == .unknownRebuild)
    #expect(
      error?.detail
        == "it is made by \"\(module).\(name)\", which is not known, and its arguments are not "
        + "those of a plain view (storage, offset, shape, strides)")
  }

  @Test(arguments: [
    ("_rebuild_qtensor", TorchFileError.Code.quantized, "quantized"),
    ("_rebuild_sparse_tensor", .sparse, "sparse"),
    ("_rebuild_sparse_csr_tensor", .sparse, "sparse"),
    ("_rebuild_nested_tensor", .nested, "nested"),
  ])
  func tensorsThatAreNoViewAreNotDamaged(
    name: String, code: TorchFileError.Code, kind: String
  ) throws {
    let error = try error {
      $0.tensor(
        "FloatStorage", key: "0", count: 4, offset: 0, sizes: [4], strides: [1],
        function: ("torch._utils", name))
    }
    #expect(error?.code == code)
    #expect(
      error?.detail
        == "\(kind) tensors cannot be read: their values are not those of one storage")
  }

  // MARK: - Files that are something else

  /// What opening a file of these bytes throws.
  private func refusal(_ bytes: [UInt8]) throws -> TorchFileError? {
    let folder = try TemporaryFolder()
    do {
      _ = try TorchFile(opening: folder.write("f", bytes))
      return nil
    } catch let error as TorchFileError { return error }
  }

  @Test func twoArchivesInOneFileAreRefusedAsSuch() throws {
    let one = ZipWriter([.init("a/data.pkl", [0x4E, 0x2E])])
    var other = one
    other.hasZip64 = false
    for (first, second) in [(one, one), (one, other), (other, one), (other, other)] {
      let error = try refusal(first.bytes + second.bytes)
      #expect([.trailingData, .severalEnds].contains(error?.code), "\(error as Any)")
    }
  }

  @Test(arguments: ["last.ckpt", "step10/mp_rank_00/model_optim_rng.pt", "pytorch_model.bin"])
  func weightsInsideOfAZipAreToBeUnpacked(name: String) throws {
    let error = try refusal(ZipWriter([.init(name, [1, 2])]).bytes)
    #expect(error?.code == .nestedArchive && error?.entry == name)
    #expect(error?.hint == "unzip FILE -d FOLDER, then give the folder")
  }

  @Test(arguments: [2, 3, 4, 5] as [UInt8])
  func aPlainPickleIsNamed(version: UInt8) throws {
    let error = try refusal([0x80, version, 0x7D, 0x2E])
    #expect(error?.detail == "a plain pickle (of pickle.dump), not a file of torch.save")
    #expect(error?.hint == "load it with pickle where you trust it, and save it with torch.save")
  }
}

extension PickleWriter {
  /// A vector on storage "0", from element `offset` on.
  fileprivate mutating func vector(at offset: Int = 0) {
    tensor("FloatStorage", key: "0", count: 4, offset: offset, sizes: [2], strides: [1])
  }

  /// A text key and a vector.
  fileprivate mutating func entry(_ key: String) {
    string(key)
    vector()
  }

  fileprivate mutating func storage(_ type: String, _ key: String, _ count: Int) {
    tuple { id in
      id.string("storage")
      id.global("torch", type)
      id.string(key)
      id.string("cpu")
      id.int(count)
    }
    code("Q")
  }

  /// An object that is made without arguments and is given a state.
  fileprivate mutating func object(
    _ module: String, _ name: String, state: (inout PickleWriter) -> Void
  ) {
    global(module, name)
    code(")")
    raw([0x81])
    state(&self)
    code("b")
  }

  /// A frozenset of what `body` pushes, as protocol 2 writes it.
  fileprivate mutating func frozenSet(_ body: (inout PickleWriter) -> Void) {
    global("__builtin__", "frozenset")
    tuple { items in
      items.code("](")
      body(&items)
      items.code("e")
    }
    code("R")
  }
}
