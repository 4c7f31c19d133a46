import Pickle
import TestSupport
import Testing

@Suite struct PickleTests {
  private func load(_ bytes: [UInt8], _ limits: PickleLimits = PickleLimits()) throws -> PickleGraph
  {
    try PickleMachine.load(bytes, limits: limits)
  }

  private func pickle(_ body: (inout PickleWriter) -> Void) -> [UInt8] {
    var writer = PickleWriter()
    body(&writer)
    return writer.finished
  }

  /// A value as text, so that whole trees can be compared.
  private func show(_ id: NodeID, _ graph: PickleGraph, depth: Int = 8) -> String {
    guard depth > 0 else { return "…" }
    func list(_ items: [NodeID]) -> String {
      items.map { show($0, graph, depth: depth - 1) }.joined(separator: ",")
    }
    switch graph[id] {
    case .none: return "None"
    case .bool(let value): return "\(value)"
    case .int(let value): return "\(value)"
    case .bigInt(let range): return "big\(graph.bytes(range).count)"
    case .bigDecimal(let range): return String(decoding: graph.bytes(range), as: UTF8.self)
    case .float(let value): return "\(value)"
    case .string: return "'\(graph.text(id) ?? "")'"
    case .bytes(let range): return "b\(Array(graph.bytes(range)))"
    case .list: return "[\(list(graph.items(id) ?? []))]"
    case .tuple: return "(\(list(graph.items(id) ?? [])))"
    case .set, .frozenSet: return "{\(list(graph.items(id) ?? []))}"
    case .dict:
      let entries = (graph.entries(id) ?? []).map {
        "\(show($0.key, graph, depth: depth - 1)):\(show($0.value, graph, depth: depth - 1))"
      }
      return "{\(entries.joined(separator: ","))}"
    case .global: return "\(graph.global(id)?.description ?? "")"
    case .persistent(let inner): return "@\(show(inner, graph, depth: depth - 1))"
    case .object:
      guard let object = graph.object(id) else { return "?" }
      var text = show(object.callable, graph, depth: depth - 1)
      text += show(object.arguments, graph, depth: depth - 1)
      if let state = object.state { text += "!\(show(state, graph, depth: depth - 1))" }
      if !object.items.isEmpty { text += "+[\(list(object.items))]" }
      if !object.entries.isEmpty { text += "+\(object.entries.count)" }
      return text
    }
  }

  /// Programs by their bytes, with the value that must come of them.
  static let programs: [(name: String, bytes: [UInt8], value: String)] = [
    ("none", Array("N.".utf8), "None"),
    ("protocol 0 integers", Array("(I1\nI01\nI00\nL-5L\nt.".utf8), "(1,true,false,-5)"),
    (
      "a decimal of more than 64 bits", Array("L123456789012345678901234567890L\n.".utf8),
      "123456789012345678901234567890"
    ),
    (
      "binary integers", [0x28, 0x4A, 0xFF, 0xFF, 0xFF, 0xFF, 0x4B, 7, 0x4D, 1, 2, 0x74, 0x2E],
      "(-1,7,513)"
    ),
    ("an empty long", [0x80, 2, 0x8A, 0, 0x2E], "0"),
    ("a negative long", [0x80, 2, 0x8A, 2, 0x00, 0xFF, 0x2E], "-256"),
    ("a long of 9 bytes that fits", [0x80, 2, 0x8A, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x2E], "1"),
    ("a long that does not fit", [0x80, 2, 0x8A, 9, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0x2E], "big9"),
    ("a float as text", Array("F1.5\n.".utf8), "1.5"),
    ("a quoted string", Array("S'a\\n\\x41\\'b'\n.".utf8), "'a\nA'b'"),
    ("a raw unicode line", Array("Va\\u00e9\n.".utf8), "'aé'"),
    ("list and dict of protocol 0", Array("(I1\nlp0\n0(S'k'\ng0\nd.".utf8), "{'k':[1]}"),

    ("tuples", [0x80, 2, 0x4B, 1, 0x85, 0x4B, 2, 0x86, 0x2E], "((1),2)"),
    (
      "late keys win and keep their place", Array("}(S'a'\nI1\nS'b'\nI2\nS'a'\nI3\nu.".utf8),
      "{'a':3,'b':2}"
    ),
    ("True, 1 and 1.0 are one key", Array("}(I01\nI1\nI1\nI2\nF1.0\nI3\nu.".utf8), "{true:3}"),
    ("an unknown call stays a record", Array("cos\nsystem\n(S'x'\ntR.".utf8), "os.system('x')"),
    ("INST", Array("(S'x'\nios\nsystem\n.".utf8), "os.system('x')"),
    ("OBJ", Array("(cos\nsystem\nS'x'\no.".utf8), "os.system('x')"),

    (
      "bytes of protocol 2", Array("c_codecs\nencode\n(V\u{00}A\\u00ff\nS'latin1'\ntR.".utf8),
      "b[0, 65, 255]"
    ),
    (
      "an OrderedDict of pairs", Array("ccollections\nOrderedDict\n((lp0\n(S'k'\nI1\nlatR.".utf8),
      "{'k':1}"
    ),
    ("attributes are no items", Array("ccollections\nOrderedDict\n)R}S'_m'\nI1\nsb.".utf8), "{}"),
    (
      "state of an object",
      Array("cargparse\nNamespace\n)\u{81}}S'a'\nI1\nsb.".unicodeScalars.map { UInt8($0.value) }),
      "argparse.Namespace()!{'a':1}"
    ),
    ("items of a dict subclass", Array("cx\nD\n)RS'k'\nI1\ns.".utf8), "x.D()+1"),
    (
      "a frame and a short string",
      [0x80, 4, 0x95, 5, 0, 0, 0, 0, 0, 0, 0, 0x8C, 1, 0x61, 0x94, 0x2E], "'a'"
    ),
    (
      "a name from the stack", [0x80, 4, 0x8C, 1, 0x6D, 0x8C, 3, 0x61, 0x2E, 0x62, 0x93, 0x2E],
      "m.a.b"
    ),

    ("a frozen set", [0x80, 4, 0x28, 0x4B, 1, 0x91, 0x2E], "{1}"),
    ("a byte array", [0x80, 5, 0x96, 2, 0, 0, 0, 0, 0, 0, 0, 9, 8, 0x2E], "b[9, 8]"),
  ]

  @Test(arguments: programs)
  func programsGiveTheirValues(program: (name: String, bytes: [UInt8], value: String)) throws {
    let graph = try load(program.bytes)
    #expect(show(graph.root, graph) == program.value, "\(program.name)")
    #expect(graph.end == program.bytes.count)
  }

  /// Programs that must fail, with the kind of error and the offset of the instruction.
  static let failures: [(name: String, bytes: [UInt8], code: PickleError.Code, offset: Int)] = [
    ("nothing at all", [], .truncated, 0),
    ("no value for STOP", [0x80, 2, 0x2E], .stack, 2),
    ("an unknown byte", [0xFF], .unsupportedOpcode, 0),
    ("a protocol to come", [0x80, 6], .unsupportedProtocol, 0),
    ("the extension registry", [0x80, 2, 0x82, 1], .unsupportedOpcode, 2),
    ("out-of-band data", [0x80, 5, 0x97], .unsupportedOpcode, 2),
    ("a persistent id as text", Array("Pabc\n.".utf8), .persistentText, 0),
    ("a memo slot that is empty", Array("g7\n.".utf8), .memo, 0),
    ("a negative length", [0x80, 2, 0x8B, 0, 0, 0, 0x80], .badArgument, 2),
    ("a length beyond the end", [0x80, 2, 0x58, 255, 255, 0, 0, 1], .truncated, 2),
    ("2^63 bytes", [0x80, 5, 0x96, 0, 0, 0, 0, 0, 0, 0, 0x80], .truncated, 2),
    ("a line without end", Array("I12345".utf8), .truncated, 0),
    ("a frame beyond the end", [0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0, 0x4E, 0x2E], .truncated, 2),
    ("popping past a mark", Array("I1\n(s.".utf8), .stack, 4),
    ("APPEND to a dict", Array("}I1\na.".utf8), .type, 4),
    ("APPENDS to a tuple", Array(")(I1\ne.".utf8), .type, 5),
    ("a list as a key", Array("}]I1\ns.".utf8), .type, 5),
    ("a key without a value", Array("}(I1\nu.".utf8), .stack, 5),
    ("calling a number", Array("I1\n)R.".utf8), .type, 4),
    ("arguments that are no tuple", Array("cos\nsystem\n]R.".utf8), .type, 12),
    ("text that is not UTF-8", [0x80, 2, 0x58, 1, 0, 0, 0, 0xFF, 0x2E], .badText, 2),
    ("characters that are not digits", Array("Ix\n.".utf8), .badArgument, 0),
  ]

  @Test(arguments: failures)
  func brokenProgramsAreErrors(
    failure: (name: String, bytes: [UInt8], code: PickleError.Code, offset: Int)
  ) {
    #expect(throws: PickleError(failure.code, at: failure.offset, "")) {
      try PickleMachine.load(failure.bytes)
    }
  }

  @Test func aContainerThatIsFetchedBeforeItIsFilledIsTheSameContainer() throws {
    let graph = try load(Array("(lp0\n(g0\ng0\ntp1\n0g0\nI5\na0g1\n.".utf8))
    #expect(show(graph.root, graph) == "([5],[5])")
  }

  @Test func loneSurrogatesStayDifferentKeys() throws {
    let graph = try load(
      [0x7D, 0x28] + [0x58, 3, 0, 0, 0, 0xED, 0xA0, 0x80, 0x4E]
        + [0x58, 3, 0, 0, 0, 0xED, 0xA0, 0x81, 0x4E] + [0x75, 0x2E])
    #expect(graph.entries(graph.root)?.count == 2)
  }

  @Test func twoSpellingsOfALetterAreTwoKeys() throws {
    let graph = try load(
      pickle { writer in
        writer.dict { entries in
          entries.string("e\u{301}")
          entries.int(1)
          entries.string("\u{E9}")
          entries.int(2)
        }
      })
    #expect(graph.entries(graph.root)?.count == 2)
    #expect(graph.value("\u{E9}", in: graph.root).flatMap { graph.int($0) } == 2)
  }

  @Test func deepNestingNeedsNoStack() throws {
    let graph = try load(
      [UInt8](repeating: 0x5D, count: 1) + [UInt8](repeating: 0x85, count: 200_000) + [0x2E])
    #expect(graph.nodeCount > 200_000)
  }

  /// Each limit lets a pickle pass that just reaches it.
  @Test func limitsHoldJustAboveAndNotJustBelow() throws {
    let marks = [UInt8](repeating: 0x28, count: 10) + Array("N.".utf8)
    let cases: [(WritableKeyPath<PickleLimits, Int>, [UInt8], Int, PickleError.Code)] = [
      (\.opcodes, Array("NN0.".utf8), 4, .limitOpcodes),
      (\.nodes, Array("I1\nI2\n0.".utf8), 5, .limitNodes),
      (\.stack, marks, 10, .limitStack),
      (\.memo, Array("Np0\np1\n.".utf8), 2, .limitMemo),
      (\.integerBytes, [0x8A, 3, 1, 1, 1, 0x2E], 3, .limitInteger),
      (\.stringBytes, Array("U\u{03}abc.".utf8), 3, .limitString),
      (\.containers, Array("]})0.".utf8), 3, .limitContainers),
      (\.items, Array("(NNt0]N0N\u{85}.".unicodeScalars.map { UInt8($0.value) }), 3, .limitItems),
    ]
    for (limit, bytes, needed, code) in cases {
      var limits = PickleLimits()
      limits[keyPath: limit] = needed
      #expect(throws: Never.self) { try load(bytes, limits) }
      limits[keyPath: limit] = needed - 1
      #expect { try load(bytes, limits) } throws: { ($0 as? PickleError)?.code == code }
    }
  }

  @Test func nothingIsPutIntoATensorAndNoTensorIsCalled() throws {
    // What follows a tensor on the stack.
    for more in ["Na.", "(NNe.", "NNs.", "(NNu.", "(N\u{90}.", ")R."] {
      var writer = PickleWriter()
      writer.tensor("FloatStorage", key: "0", count: 1, offset: 0, sizes: [], strides: [])
      writer.raw(more.unicodeScalars.map { UInt8($0.value) })
      #expect { try load(writer.bytes) } throws: { ($0 as? PickleError)?.code == .type }
    }
  }

  @Test func keysThatPythonFindsEqualAreOneAndOthersAreNot() throws {
    // 2^70 as text with and without L, and in 9 and in 11 bytes; two NaNs; two texts that Unicode
    // finds equal.
    let seventy = [0, 0, 0, 0, 0, 0, 0, 0, 0x40] as [UInt8]
    let keys: [(one: [UInt8], other: [UInt8], count: Int)] = [
      (
        Array("L1180591620717411303424L\n".utf8), Array("L1180591620717411303424\n".utf8), 1
      ),
      ([0x8A, 11] + seventy + [0, 0], [0x8A, 9] + seventy, 1),
      ([0x47, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0], [0x47, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0], 2),
      ([0x8C, 2] + Array("\u{E9}".utf8), [0x8C, 3] + Array("e\u{301}".utf8), 2),
      ([0x88], [0x4B, 1], 1), ([0x4B, 1], [0x47, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0], 1),
    ]
    for (one, other, count) in keys {
      let graph = try load([0x7D, 0x28] + one + [0x4E] + other + [0x4E, 0x75, 0x2E])
      #expect(graph.entries(graph.root)?.count == count)
    }
  }

  @Test func integersOfAnySizeHaveTheirDigits() throws {
    for digits in [
      "0", "-1", "18446744073709551616", "-18446744073709551617",
      "340282366920938463463374607431768211456",
    ] {
      let graph = try load(Array("L\(digits)L\n.".utf8))
      #expect(graph.label(graph.root) == digits)
    }
  }

  @Test func everyPrefixAndEveryFlippedBitGivesAValueOrAnError() {
    let bytes = pickle { writer in
      writer.dict { entries in
        entries.string("weight")
        entries.tensor(
          "HalfStorage", key: "0", count: 6, offset: 0, sizes: [2, 3], strides: [3, 1])
        entries.string("args")
        entries.global("argparse", "Namespace")
        entries.raw([0x29, 0x81])
        entries.dict { state in
          state.string("hidden")
          state.double(0.5)
        }
        entries.code("b")
      }
    }
    var (values, errors) = (0, 0)
    withEveryDamage(bytes) { damaged in
      do {
        _ = try PickleMachine.load(damaged)
        values += 1
      } catch {
        errors += 1
      }
    }
    #expect(values + errors == bytes.count * 9)
    #expect(errors > bytes.count)
  }

  /// A key that comes again keeps its place and gets the new value, in a dictionary of any size.
  @Test(arguments: [1, 7, 8, 9, 100, 3000]) func keysAreFoundInDictionariesOfAnySize(
    count: Int
  ) throws {
    let graph = try load(
      pickle { pickle in
        pickle.dict { entries in
          for number in (0..<count).flatMap({ [$0, $0 / 2] }) {
            entries.string("key \(number)")
            entries.int(number)
          }
          // Python finds all of these equal.
          for _ in 0..<2 {
            entries.int(1)
            entries.none()
            entries.bool(true)
            entries.double(0.5)
          }
          entries.double(1)
          entries.string("last")
        }
      })
    let entries = try #require(graph.entries(graph.root))
    #expect(entries.count == count + 1)
    for number in 0..<count {
      #expect(graph.text(entries[number].key) == "key \(number)")
      #expect(graph.value("key \(number)", in: graph.root).flatMap { graph.int($0) } == number)
    }
    #expect(graph.text(entries[count].value) == "last")
    #expect(graph.value("key", in: graph.root) == nil)
  }
}
