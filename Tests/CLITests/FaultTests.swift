import Foundation
import SystemPackage
import TestSupport
import Testing

/// System calls that fail, one after the other: whatever fails, and when, OUTPUT is the old one or
/// the new one or none, and the next run succeeds.
@Suite struct FaultTests {
  private let dump = fixture("layouts/classic_tp2pp2")
  private let folder: TemporaryFolder
  private let library: FilePath
  private let expected: [String: [UInt8]]

  init() throws {
    folder = try TemporaryFolder()
    library = folder.path.appending("faults.so")
    try compileLibrary("faults.c", to: library)
    try #require(try meg2hf(["convert", dump.string, "whole"] + more, in: folder.path).status == 0)
    expected = try snapshot(folder.path.appending("whole"))
  }

  private let more = ["-q", "--max-shard-size", "4KB"]

  /// Runs a conversion in which a system call fails; below the folder, or of the input.
  private func run(
    _ fault: String, under: FilePath? = nil, _ arguments: [String] = []
  ) throws -> (outcome: CommandOutcome, wasHit: Bool) {
    try folder.write("world/.keep", [])
    let world = folder.path.appending("world")
    let hit = folder.path.appending("hit")
    try? remove(hit)
    // The addresses of the sanitizer come first, if it is there.
    let outcome = try meg2hf(
      ["convert", dump.string, world.appending("out").string] + more + arguments, in: world,
      shell: """
        export FAULT='\(fault)' FAULT_UNDER='\((under ?? world).string)' FAULT_HIT='\(hit.string)'
        export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0
        LD_PRELOAD='\(library.string)' exec "$@"
        """)
    return (outcome, FileManager.default.fileExists(atPath: hit.string))
  }

  /// What is in the folder besides what the test put there.
  private func names() throws -> [String] {
    try contents(folder.path.appending("world")).filter { $0 != ".keep" }
  }

  /// The functions, the errors that they can meet, and the exit statuses that may follow.
  static let faults: [(function: String, errors: [Errno], statuses: Set<Int32>)] = [
    ("create", [.permissionDenied, .noSpace, .ioError, .tooManyOpenFiles], [74]),
    ("pwrite", [.noSpace, .diskQuotaExceeded, .ioError], [74]),
    ("pwritev", [.noSpace, .diskQuotaExceeded, .ioError], [74]),
    ("fsync", [.ioError, .noSpace, .diskQuotaExceeded], [74]),
    ("close", [.ioError, .diskQuotaExceeded], [0, 74]),
    ("fallocate", [.noSpace, .diskQuotaExceeded, .ioError], [74]),
    ("mkdir", [.readOnlyFileSystem, .permissionDenied], [73, 74]),
    ("mkdir", [.noSpace, .diskQuotaExceeded], [74]),
    ("rename", [.permissionDenied, .ioError, .noSpace], [74]),
    ("renameat2", [.permissionDenied, .ioError], [74]),
    ("open", [.permissionDenied, .ioError], [0, 73, 74]), ("pread", [.ioError], [0, 74]),
    ("fstat", [.ioError], [0, 74]), ("stat", [.ioError], [0, 74]),
    ("opendir", [.ioError], [0, 74]), ("statvfs", [.ioError], [0]),
    ("unlink", [.permissionDenied], [0, 74]), ("rmdir", [.permissionDenied], [0, 74]),
  ]

  /// An OUTPUT of another tool: plainly a model, so that it may be replaced.
  static let old = plainModel

  private func writeOld() throws {
    for (name, bytes) in FaultTests.old { try folder.write("world/out/\(name)", bytes) }
  }

  @Test(arguments: FaultTests.faults.indices)
  func everySystemCallThatFailsLeavesTheOldOutputOrNone(row: Int) throws {
    let (function, errors, statuses) = FaultTests.faults[row]
    var hits = 0
    // Every one of the first calls, then fewer and fewer of the many that are alike; each without
    // and with an old OUTPUT.
    var turn = 0
    while true {
      defer { turn += 1 }
      let number = (0..<turn / 2).reduce(1) { number, _ in number + 1 + number / 3 }
      let error = errors[turn / 2 % errors.count]
      let overwrite = turn % 2 == 1
      let world = folder.path.appending("world")
      try? remove(world)
      try folder.write("world/.keep", [])
      if overwrite { try writeOld() }
      let flags = overwrite ? ["--overwrite"] : []
      let (outcome, wasHit) = try run("\(function):\(number):\(error.rawValue)", flags)
      if !wasHit, overwrite { break }
      guard wasHit else { continue }
      hits += 1
      let place = "\(function) \(number) \(error) \(overwrite): \(outcome.errors)"
      #expect(statuses.contains(outcome.status), "\(outcome.status) \(place)")
      let isThere = try names().contains("out")
      if outcome.status == 0 {
        #expect(isThere, "\(place)")
        if isThere {
          #expect(try snapshot(folder.path.appending("world/out")) == expected, "\(place)")
        }
      } else {
        #expect(isThere == overwrite, "\(place)")
        if isThere {
          #expect(try snapshot(folder.path.appending("world/out")) == FaultTests.old, "\(place)")
        }
      }
      // Nothing that is not finished stays behind, and what is kept is taken up.
      for name in try names() where name.hasPrefix(".out.meg2hf-") {
        let left = try contents(world.appending(name))
        #expect(!left.contains { $0.hasSuffix(".part") }, "\(place)")
      }
      let again = try meg2hf(
        ["convert", dump.string, "out"] + more + flags, in: world)
      #expect(again.status == 0, "\(place), then \(again.errors)")
      #expect(try snapshot(folder.path.appending("world/out")) == expected, "\(place)")
      #expect(try names() == ["out"], "\(place)")
    }
    #expect(hits > 0)
  }

  @Test func afterACommitThatFailedNothingIsMadeAgain() throws {
    for fault in ["renameat2:1:5", "fsync:9:5"] {
      try? remove(folder.path.appending("world"))
      let (outcome, wasHit) = try run(fault)
      #expect(wasHit)
      #expect(outcome.status == 74, "\(fault) \(outcome.errors)")
      let again = try meg2hf(
        ["convert", dump.string, "out", "--max-shard-size", "4KB", "--progress", "plain"],
        in: folder.path.appending("world"))
      #expect(again.status == 0)
      #expect(!again.errors.contains("wrote model-"), "\(again.errors)")
      #expect(again.errors.contains("was finished before"))
    }
  }

  @Test func anOldOutputIsNeitherLostNorDoubledWhereNamesCannotBeExchanged() throws {
    // Without exchange there are two renames, each of which can be the last thing that a process
    // does.
    for number in 1...40 {
      try? remove(folder.path.appending("world"))
      try writeOld()
      let world = folder.path.appending("world")
      let first = try meg2hf(
        ["convert", dump.string, world.appending("out").string, "--overwrite"] + more, in: world,
        shell: """
          export FAULT='rename:\(number):kill' FAULT_UNDER='\(world.string)'
          export FAULT_HIT='\(world.string)/.keep'
          export FAULT_ALSO=renameat2 ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0
          LD_PRELOAD='\(library.string)' exec "$@"
          """)
      let names = try names()
      let isOld = try names.contains("out") && snapshot(world.appending("out")) == FaultTests.old
      let isNew = try names.contains("out") && snapshot(world.appending("out")) == expected
      #expect(isOld || isNew || names.contains(".out.meg2hf-replaced"), "\(number): \(names)")
      let again = try meg2hf(
        ["convert", dump.string, "out", "--overwrite"] + more, in: world)
      #expect(again.status == 0, "\(again.errors)")
      #expect(try snapshot(world.appending("out")) == expected)
      #expect(try self.names() == ["out"], "\(number)")
      if first.status == 0 { break }
      #expect(first.status == 137)
    }
  }

  @Test func aReadErrorInTheMiddleIsNotTakenForData() throws {
    var hits = 0
    for error in [Errno.ioError, Errno.staleNFSFileHandle] {
      for number in stride(from: 1, through: 2000, by: 11) {
        try? remove(folder.path.appending("world"))
        let (outcome, wasHit) = try run("pread:\(number):\(error.rawValue)", under: dump)
        guard wasHit else { break }
        hits += 1
        #expect(outcome.status == 74, "\(number) \(outcome.errors)")
        #expect(try !names().contains("out"))
      }
    }
    #expect(hits > 10)
  }

  @Test(arguments: ["short", "interrupted"])
  func shortAndInterruptedCallsGoOn(how: String) throws {
    for (function, under) in [
      ("pwrite", nil), ("pwritev", nil), ("pread", nil), ("pread", dump),
    ] {
      let (outcome, wasHit) = try run("\(function):0:\(how)", under: under)
      #expect(wasHit)
      #expect(outcome.status == 0, "\(function) \(outcome.errors)")
      #expect(try snapshot(folder.path.appending("world/out")) == expected)
      try remove(folder.path.appending("world"))
    }
  }

  @Test func fileSystemsThatCannotExchangeOrReserveWillDo() throws {
    for (function, error) in [
      ("renameat2", Errno.invalidArgument), ("fallocate", .notSupported),
      ("fsync", .invalidArgument),
    ] {
      for overwrite in [false, true] {
        try? remove(folder.path.appending("world"))
        if overwrite { try writeOld() }
        let (outcome, wasHit) = try run(
          "\(function):0:\(error.rawValue)", overwrite ? ["--overwrite"] : [])
        #expect(wasHit)
        #expect(outcome.status == 0, "\(function) \(outcome.errors)")
        #expect(try snapshot(folder.path.appending("world/out")) == expected)
        #expect(try names() == ["out"])
      }
    }
  }
}
