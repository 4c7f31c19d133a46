import ByteIO

/// The stack machine that pickles are programs of (CPython's `pickle.py` and `pickletools.py`).
///
/// It builds a ``PickleGraph`` and does nothing else: no name is resolved, nothing is imported or
/// called, and every length is compared with what is there before it is believed. The time is
/// linear in the size of the pickle, and memory is bounded by ``PickleLimits``.
public struct PickleMachine {
  var reader: ByteReader
  var graph: PickleGraph
  let limits: PickleLimits
  var stack: [NodeID] = []
  /// For each mark, how high the stack was.
  var marks: [Int] = []
  private var memo: [UInt32: NodeID] = [:]
  private var globalNodes: [GlobalName: NodeID] = [:]
  var budget: PickleBudget
  /// The offset of the instruction that is carried out.
  var offset = 0

  /// Carries out the pickle that begins at `start` of `bytes`.
  ///
  /// Bytes after STOP are left alone; ``PickleGraph/end`` says where they begin.
  ///
  /// - Throws: ``PickleError`` for anything that is not a whole pickle of protocols 0 to 5.
  public static func load(
    _ bytes: [UInt8], from start: Int = 0, limits: PickleLimits = PickleLimits()
  ) throws(PickleError) -> PickleGraph {
    var machine = PickleMachine(
      reader: ByteReader(bytes, from: start), graph: PickleGraph(source: bytes), limits: limits)
    try machine.run()
    return machine.graph
  }

  private init(reader: ByteReader, graph: PickleGraph, limits: PickleLimits) {
    self.reader = reader
    self.graph = graph
    self.limits = limits
    budget = PickleBudget(limits, sourceSize: graph.source.count)
  }

  private mutating func run() throws(PickleError) {
    for _ in 0..<limits.opcodes {
      offset = reader.position
      guard let byte = reader.uint8() else { throw truncated("STOP") }
      guard let opcode = Opcode(rawValue: byte) else {
        throw error(.unsupportedOpcode, "0x\(hexadecimal([byte])) is not a pickle instruction")
      }
      if opcode == .stop {
        graph.root = try pop()
        graph.end = reader.position
        return
      }
      try execute(opcode)
      if stack.count > limits.stack || marks.count > limits.stack {
        throw error(.limitStack, "more than \(limits.stack) values on the stack")
      }
    }
    throw error(.limitOpcodes, "more than \(limits.opcodes) instructions")
  }

  private mutating func execute(_ opcode: Opcode) throws(PickleError) {
    switch opcode {
    // Stack
    case .mark: marks.append(stack.count)
    case .pop:
      // Protocol 0 discards a mark that way.
      if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
    case .popMark: _ = try popMark()
    case .dup: stack.append(try top())
    case .stop: break
    // Memo
    case .put: try note(try decimalIndex(), try top())
    case .binPut: try note(UInt32(try uint8()), try top())
    case .longBinPut: try note(try uint32(), try top())
    case .memoize: try note(UInt32(truncatingIfNeeded: memo.count), try top())
    case .get: try recall(try decimalIndex())
    case .binGet: try recall(UInt32(try uint8()))
    case .longBinGet: try recall(try uint32())
    // Values
    case .none: stack.append(NodeID(index: 0))
    case .newFalse: stack.append(NodeID(index: 1))
    case .newTrue: stack.append(NodeID(index: 2))
    case .int: try push(try textInt())
    case .long: try push(try textLong())
    case .binInt: try push(.int(Int(Int32(bitPattern: try uint32()))))
    case .binInt1: try push(.int(Int(try uint8())))
    case .binInt2: try push(.int(Int(try uint16())))
    case .long1: try push(try long(Int(try uint8())))
    case .long4: try push(try long(try signedLength()))
    case .float: try push(try textFloat())
    case .binFloat: try push(.float(Double(bitPattern: UInt64(bigEndian: try uint64()))))
    case .string: try push(try textString())
    case .shortBinString: try push(oldString(try take(Int(try uint8()))))
    case .binString: try push(oldString(try take(try signedLength())))
    case .unicode: try push(try textUnicode())
    case .shortBinUnicode: try push(try string(try take(Int(try uint8()))))
    case .binUnicode: try push(try string(try take(Int(try uint32()))))
    case .binUnicode8: try push(try string(try take(try length64())))
    case .shortBinBytes: try push(.bytes(try take(Int(try uint8()))))
    case .binBytes: try push(.bytes(try take(Int(try uint32()))))
    case .binBytes8, .byteArray8: try push(.bytes(try take(try length64())))
    // Containers
    case .emptyTuple: stack.append(try makeSequence([]) { .tuple($0) })
    case .tuple1: try pushTuple(1)
    case .tuple2: try pushTuple(2)
    case .tuple3: try pushTuple(3)
    case .tuple: stack.append(try makeSequence(try popMark()) { .tuple($0) })
    case .emptyList: stack.append(try makeSequence([]) { .list($0) })
    case .list: stack.append(try makeSequence(try popMark()) { .list($0) })
    case .emptySet: stack.append(try makeSequence([]) { .set($0) })
    case .frozenSet: stack.append(try makeSequence(try popMark()) { .frozenSet($0) })
    case .emptyDict: stack.append(try makeDictionary())
    case .dict:
      let items = try popMark()
      let made = try makeDictionary()
      try setItems(made, items)
      stack.append(made)
    case .append:
      let item = try pop()
      try append([item], to: try top())
    case .appends:
      let items = try popMark()
      try append(items, to: try top())
    case .addItems:
      let items = try popMark()
      try addItems(items, to: try top())
    case .setItem:
      let value = try pop()
      let key = try pop()
      try setItems(try top(), [key, value])
    case .setItems:
      let items = try popMark()
      try setItems(try top(), items)
    // Names and objects
    case .global: try pushGlobal(try textLine(), try textLine())
    case .stackGlobal:
      let name = try pop()
      let module = try pop()
      guard let module = graph.text(module), let name = graph.text(name) else {
        throw error(.type, "STACK_GLOBAL needs two strings")
      }
      try pushGlobal(module, name)
    case .reduce, .newObj: try pushObject()
    case .newObjEx:
      let keywords = try pop()
      guard graph.entries(keywords) != nil else {
        throw error(.type, "the keyword arguments of NEWOBJ_EX are not a dictionary")
      }
      try pushObject()
    case .inst:
      let module = try textLine()
      let name = try textLine()
      let arguments = try makeSequence(try popMark()) { .tuple($0) }
      try pushGlobal(module, name)
      stack.append(arguments)
      try pushObject()
    case .obj:
      var items = try popMark()
      guard !items.isEmpty else { throw error(.stack, "OBJ finds no class") }
      stack.append(items.removeFirst())
      stack.append(try makeSequence(items) { .tuple($0) })
      try pushObject()
    case .build: try build()
    case .binPersid: try push(.persistent(try pop()))
    case .persid:
      throw error(.persistentText, "a persistent id written as text, as in protocol 0")
    // Framing
    case .proto:
      let version = try uint8()
      guard version <= 5 else {
        throw error(.unsupportedProtocol, "pickle protocol \(version); 0 to 5 are known")
      }
    case .frame:
      let length = try length64()
      guard length <= reader.remaining else { throw truncated("a frame of \(length) bytes") }
    case .ext1, .ext2, .ext4:
      throw error(.unsupportedOpcode, "\(opcode) refers to a registry outside the file")
    case .nextBuffer, .readonlyBuffer:
      throw error(.unsupportedOpcode, "\(opcode) refers to data outside the file")
    }
  }

  // MARK: - The stack

  /// The topmost value, which must lie above the last mark.
  func top() throws(PickleError) -> NodeID {
    guard stack.count > (marks.last ?? 0), let value = stack.last else {
      throw error(.stack, "the stack is empty")
    }
    return value
  }

  /// Removes the topmost value, which must lie above the last mark.
  mutating func pop() throws(PickleError) -> NodeID {
    let value = try top()
    stack.removeLast()
    return value
  }

  /// Removes all that lies above the last mark, and the mark.
  mutating func popMark() throws(PickleError) -> [NodeID] {
    guard let mark = marks.popLast() else { throw error(.stack, "there is no mark") }
    let items = Array(stack[mark...])
    stack.removeLast(stack.count - mark)
    return items
  }

  private mutating func push(_ node: PickleNode) throws(PickleError) {
    stack.append(try add(node))
  }

  private mutating func pushTuple(_ count: Int) throws(PickleError) {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw error(.stack, "\(count) values are needed for a tuple")
    }
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    stack.append(try makeSequence(items) { .tuple($0) })
  }

  // MARK: - The memo

  private mutating func note(_ index: UInt32, _ value: NodeID) throws(PickleError) {
    memo[index] = value
    if memo.count > limits.memo {
      throw error(.limitMemo, "more than \(limits.memo) memo slots")
    }
  }

  private mutating func recall(_ index: UInt32) throws(PickleError) {
    guard let value = memo[index] else {
      throw error(.memo, "memo slot \(index) was never written")
    }
    stack.append(value)
  }

  // MARK: - Names and objects

  private mutating func pushGlobal(_ module: String, _ name: String) throws(PickleError) {
    // The same long text can be made a part of many names.
    try budget.names.spend(module.utf8.count + name.utf8.count, at: offset)
    let global = GlobalName(module, name)
    if let known = globalNodes[global] {
      stack.append(known)
      return
    }
    graph.globals.append(global)
    let id = try add(.global(graph.globals.count - 1))
    globalNodes[global] = id
    stack.append(id)
  }

  /// REDUCE and NEWOBJ: a callable and a tuple of arguments become what the callable stands for, or
  /// a record of both.
  private mutating func pushObject() throws(PickleError) {
    let arguments = try pop()
    let callable = try pop()
    guard let values = graph.tuple(arguments) else {
      throw error(.type, "the arguments of a call are not a tuple")
    }
    switch graph[callable] {
    // Whole modules were saved with their class as a persistent id.
    case .global, .object, .persistent:
      guard !isTensor(callable) else { throw error(.type, "a tensor is called") }
    default: throw error(.type, "what is called is neither a class nor a function")
    }
    if let name = graph.global(callable), let known = PythonName(name),
      let made = try builtin(known, values)
    {
      stack.append(made)
      return
    }
    try countContainer()
    graph.objects.append(PickleObject(callable: callable, arguments: arguments))
    stack.append(try add(.object(graph.objects.count - 1)))
  }

  private mutating func build() throws(PickleError) {
    let state = try pop()
    switch graph[try top()] {
    case .object(let index): graph.objects[index].state = state
    case .dict(let index): graph.dictionaries[index].attributes = state
    // A set or list with attributes: they say nothing about its contents.
    case .list, .set, .frozenSet, .persistent: break
    default: throw error(.type, "BUILD needs an object")
    }
  }

  // MARK: - Errors

  func error(_ code: PickleError.Code, _ detail: String) -> PickleError {
    PickleError(code, at: offset, detail)
  }

  func truncated(_ expected: String) -> PickleError {
    error(.truncated, "the pickle ends where \(expected) was expected")
  }
}
