import ByteIO
import Foundation
import SystemPackage
import TestSupport
import Testing

@Suite struct FileTests {
  @Test func aFileIsReadWhereverOneLikes() throws {
    let folder = try TemporaryFolder()
    let file = try InputFile(opening: folder.write("f", Array(0..<100)))
    #expect(file.size == 100)
    #expect(try file.read(at: 10, count: 3) == [10, 11, 12])
    #expect(try file.read(at: 100, count: 0) == [])
    #expect(throws: FileError.self) { try file.read(at: 99, count: 2) }
    #expect(throws: FileError.self) { try file.read(at: .max, count: 2) }
  }

  @Test func whatIsNoFileIsRefusedWithoutWaiting() throws {
    let folder = try TemporaryFolder()
    let fifo = folder.path.appending("fifo")
    #expect(mkfifo(fifo.string, 0o600) == 0)
    for path in [fifo, folder.path, FilePath("/dev/zero")] {
      #expect { try InputFile(opening: path) } throws: { ($0 as? FileError)?.code == .notAFile }
    }
    #expect { try InputFile(opening: folder.path.appending("none")) } throws: {
      ($0 as? FileError)?.code == .notFound
    }
  }

  @Test func aFileThatShrinksWhileItIsReadIsAnErrorAndNoBusError() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("f", [UInt8](repeating: 7, count: 5000))
    let file = try InputFile(opening: path)
    #expect(truncate(path.string, 100) == 0)
    #expect { try file.read(at: 50, count: 4000) } throws: {
      ($0 as? FileError)?.code == .changed
    }
    #expect { try file.checkUnchanged() } throws: { ($0 as? FileError)?.code == .changed }
  }

  @Test func anOutputFileIsWrittenInAnyOrder() throws {
    let folder = try TemporaryFolder()
    let path = folder.path.appending("out")
    let file = try OutputFile(creating: path)
    try file.preallocate(6)
    try file.write([4, 5, 6], at: 3)
    try file.write([1, 2, 3], at: 0)
    try file.finish()
    #expect(try bytes(of: path) == [1, 2, 3, 4, 5, 6])
    #expect { try OutputFile(creating: path) } throws: { ($0 as? FileError)?.code == .exists }
  }

  /// More rows than one call of the system takes, some of them with the room between them.
  @Test(arguments: [(1, 1, 1), (3, 8, 40), (1025, 5, 9), (3000, 64, 64), (2049, 1, 130), (7, 0, 4)])
  func rowsAreWrittenBehindEachOther(count: Int, rowSize: Int, pitch: Int) throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<5 + count * pitch).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    let rows = BufferRows(
      of: ByteBuffer(bytes), start: 5, rowSize: rowSize, pitch: pitch, count: count)
    let expected = (0..<count).flatMap { bytes[5 + $0 * pitch..<5 + $0 * pitch + rowSize] }
    let file = try OutputFile(creating: folder.path.appending("whole"))
    try file.write([9, 9], at: 0)
    try file.write(rows, at: 2)
    try file.finish()
    #expect(try TestSupport.bytes(of: folder.path.appending("whole")) == [9, 9] + expected)
    let parts = try OutputFile(creating: folder.path.appending("parts"))
    for (first, group) in rows.groups(of: 100).reversed() {
      #expect(group.count == 1 || group.byteCount <= 100)
      try parts.write(group, at: first * rowSize)
    }
    try parts.finish()
    #expect(try TestSupport.bytes(of: folder.path.appending("parts")) == expected)
  }

  @Test func rowsOutsideOfTheirBufferTrap() async {
    await #expect(processExitsWith: .failure) {
      _ = BufferRows(of: ByteBuffer(count: 10), start: 1, rowSize: 3, pitch: 4, count: 3)
    }
  }

  @Test func writingToAFullDeviceIsAnError() throws {
    // /dev/full cannot be created, so the error of the write itself is provoked by a limit.
    let folder = try TemporaryFolder()
    let file = try OutputFile(creating: folder.path.appending("out"))
    #expect { try file.preallocate(1 << 60) } throws: {
      [.noSpace, .failed].contains(($0 as? FileError)?.code)
    }
  }

  @Test func foldersAreExchangedInOneStep() throws {
    let folder = try TemporaryFolder()
    try folder.write("a/one", [1])
    try folder.write("b/two", [2])
    let (a, b) = (folder.path.appending("a"), folder.path.appending("b"))
    if try FileSystem.exchange(a, b) {
      #expect(try contents(a) == ["two"])
      #expect(try contents(b) == ["one"])
    }
    #expect { try FileSystem.renameWithoutReplacing(a, to: b) } throws: {
      ($0 as? FileError)?.code == .exists
    }
    try FileSystem.removeTree(a)
    #expect(try folder.names() == ["b"])
  }
}

@Suite struct ChecksumTests {
  @Test func theCheckValueOfTheSpecificationComesOut() {
    #expect(CRC32.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
    // Long runs go another way than short ones; both are compared bit by bit with the definition.
    var random = SeededGenerator(3)
    let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
    let buffer = ByteBuffer(bytes)
    for count in Array(0...330) + [511, 512, 1000, 4096, 4999] {
      let start = Int.random(in: 0...(5000 - count), using: &random)
      var register: UInt32 = .max
      for byte in bytes[start..<start + count] {
        register ^= UInt32(byte)
        for _ in 0..<8 { register = register >> 1 ^ (register & 1 == 0 ? 0 : 0xEDB8_8320) }
      }
      #expect(CRC32.checksum(start..<start + count, of: buffer) == ~register)
      let middle = start + count / 3
      let first = CRC32.checksum(start..<middle, of: buffer)
      #expect(CRC32.checksum(middle..<start + count, of: buffer, continuing: first) == ~register)
    }
  }

  @Test func rowsHaveTheChecksumOfTheirBytesOneAfterTheOther() {
    var random = SeededGenerator(6)
    let buffer = ByteBuffer((0..<20_000).map { _ in UInt8.random(in: 0...255, using: &random) })
    for size in [0, 1, 16, 255, 256, 272, 400, 1000, 1024, 1600] {
      for (count, gap) in [(0, 0), (1, 0), (2, 1), (7, 64), (11, 0)] {
        let rows = BufferRows(
          of: buffer, start: 3, rowSize: size, pitch: size + gap, count: count)
        let bytes = (0..<count).flatMap { buffer.bytes(rows.row($0)) }
        #expect(CRC32.checksum(rows) == CRC32.checksum(bytes), "\(count) rows of \(size)")
      }
    }
  }

  /// Of parts in any order, each shifted by the bytes after it, the XOR is the checksum of the
  /// whole.
  @Test func shiftedChecksumsOfPartsMakeThatOfTheWhole() {
    var random = SeededGenerator(5)
    let bytes = (0..<70_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    for _ in 0..<40 {
      let whole = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
      let cuts = (0..<6).map { _ in Int.random(in: 0...whole.count, using: &random) }.sorted()
      let parts = zip([0] + cuts, cuts + [whole.count]).map { $0..<$1 }.shuffled(using: &random)
      let sum = parts.reduce(UInt32(0)) {
        $0 ^ CRC32.Shift(by: whole.count - $1.upperBound)(CRC32.checksum(Array(whole[$1])))
      }
      #expect(sum == CRC32.checksum(whole))
    }
    // As far as any file reaches; x has the order 2^32 - 1, so this many bytes change nothing.
    #expect(CRC32.Shift(by: (1 << 32 - 1) * 1000)(0x1234_5678) == 0x1234_5678)
    #expect(CRC32.Shift(by: 0)(7) == 7)
  }

  @Test func piecesInAnyOrderGiveTheChecksumOfTheWhole() {
    var random = SeededGenerator(3)
    let bytes = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &random) }
    let buffer = ByteBuffer(bytes)
    for _ in 0..<50 {
      var ledger = ChecksumLedger()
      while ledger.checksum(count: 1000) == nil {
        let start = Int.random(in: 0..<1000, using: &random)
        let range = start..<min(1000, start + Int.random(in: 1...300, using: &random))
        // Overlaps with what is known are left out, as a reader does.
        guard let missing = ledger.missing(in: range) else { continue }
        ledger.note(missing, crc: CRC32.checksum(missing, of: buffer))
      }
      #expect(ledger.checksum(count: 1000) == CRC32.checksum(bytes))
    }
  }

  @Test func sha256IsThatOfTheStandard() {
    var hasher = SHA256Hasher()
    hasher.update(Array("ab".utf8))
    hasher.update(1..<2, of: ByteBuffer(Array("xcx".utf8)))
    #expect(
      hasher.hexDigest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }
}
