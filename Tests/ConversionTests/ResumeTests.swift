import ByteIO
import Diagnostics
import Foundation
import JSON
import SystemPackage
import TestSupport
import Testing

@testable import Conversion

/// Conversions that go on where another stopped, and conversions in parts.
@Suite struct ResumeTests {
  /// A dump that is converted into many files, and what one run makes of it.
  private struct World {
    let folder: TemporaryFolder
    let converter: Conversion
    let expected: [String: [UInt8]]
    var output: FilePath { folder.path.appending("out") }
    var staging: FilePath {
      get throws {
        let hidden = try folder.names().first { $0.hasPrefix(".out.meg2hf-") }
        return folder.path.appending(try #require(hidden))
      }
    }

    init(_ dump: String = "dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged", isFlat: Bool = false) throws {
      folder = try TemporaryFolder()
      var options = ConversionOptions()
      options.maximumShardSize = 20_000
      if isFlat {
        var writer = DumpWriter()
        writer.isFlat = true
        try writer.write(to: folder)
        options.maximumShardSize = 300
        converter = try Conversion(of: index(folder.path), options: options)
      } else {
        converter = try Conversion(of: index(fixture("\(dump)/ckpt")), options: options)
      }
      let whole = folder.path.appending("whole")
      _ = try converter.run(to: whole)
      expected = try snapshot(whole)
      try remove(whole)
    }

    func part(_ text: String) throws {
      let part = try #require(WorkShare(text))
      #expect(
        try converter.run(to: output, options: RunOptions(work: .part(part))).outcome == .part)
    }

    /// Runs to the end, and tells which files were taken up.
    func finish(_ options: RunOptions = RunOptions()) throws -> Set<String> {
      var resumed: Set<String> = []
      _ = try converter.run(to: output, options: options) { event in
        if case .resumedFile(let name, _) = event { resumed.insert(name) }
      }
      return resumed
    }

    /// Leaves the hidden folder as a process does that ends while it makes OUTPUT of it.
    func takeAndEnd() throws -> FilePath {
      let hidden = try staging
      // No process has this number.
      let taken = folder.path.appending(
        "\(hidden.lastComponent?.string ?? "").1-99999999@\(ByteIO.Process.hostName)")
      try move(hidden, to: taken)
      return taken
    }

    func isAsExpected() throws -> Bool {
      let hidden = try folder.names().filter { $0.hasPrefix(".") }
      return try snapshot(output) == expected && hidden.isEmpty
    }
  }

  @Test func finishedFilesAreTakenUpAndTheBytesAreTheSame() throws {
    let world = try World()
    #expect(world.converter.plan.shards.count > 5)
    try world.part("1/3")
    let made = world.converter.plan.parts(3)[0].map { world.converter.plan.shards[$0].fileName }
    #expect(try world.finish() == Set(made))
    #expect(try world.isAsExpected())
  }

  @Test func noResumeMakesAllAnew() throws {
    let world = try World()
    try world.part("1/3")
    #expect(try world.finish(RunOptions(resume: false)) == [])
    #expect(try world.isAsExpected())
  }

  @Test(arguments: [
    "contents", "size", "record", "no record", "other record", "link", "folder", "record folder",
  ])
  func aFinishedFileThatIsNotWhatWasWrittenIsMadeAgain(damage: String) throws {
    let world = try World()
    try world.part("1/1")
    let name = world.converter.plan.shards[2].fileName
    let file = try world.staging.appending(name)
    let record = try world.staging.appending(ResumeRecord.name(of: name))
    var whole = try bytes(of: file)
    switch damage {
    case "contents":
      whole[whole.count - 3] ^= 4
      try Data(whole).write(to: URL(fileURLWithPath: file.string))
    case "size": try Data(whole.dropLast()).write(to: URL(fileURLWithPath: file.string))
    case "record": try Data([0x7B]).write(to: URL(fileURLWithPath: record.string))
    case "no record": try remove(record)
    case "link":
      // A link to the right bytes would leave OUTPUT with the file.
      try move(file, to: world.folder.path.appending("moved"))
      try FileManager.default.createSymbolicLink(
        atPath: file.string, withDestinationPath: world.folder.path.appending("moved").string)
    case "folder", "record folder":
      let place = damage == "folder" ? file : record
      try remove(place)
      try FileManager.default.createDirectory(
        atPath: place.appending("inside").string, withIntermediateDirectories: true)
    default:
      let other = ResumeRecord.name(of: world.converter.plan.shards[1].fileName)
      try remove(record)
      try copy(try world.staging.appending(other), to: record)
    }
    #expect(try world.finish().count == world.converter.plan.shards.count - 1)
    guard damage.hasSuffix("folder") else {
      #expect(try world.isAsExpected())
      return
    }
    // What is in the folder is not ours: it was moved aside, and stays.
    #expect(try snapshot(world.output) == world.expected)
    #expect(try contents(world.staging).contains { $0.contains(".kept-") })
  }

  @Test func everyFlippedBitOfARecordStaysWithinThePlan() throws {
    let world = try World(isFlat: true)
    try world.part("1/1")
    let name = ResumeRecord.name(of: world.converter.plan.shards[1].fileName)
    let whole = try bytes(of: try world.staging.appending(name))
    let plan = world.converter.plan
    let print = try fingerprint(whole)
    withEveryDamage(whole) { damaged in
      guard damaged != whole else { return }
      // Positions and ranges are looked up in the plan, so they must be in it.
      let record = ResumeRecord(damaged, shard: 1, of: plan, fingerprint: print)
      #expect(record == nil, "its CRC does not fit")
      for storage in record?.findings.checksums.keys ?? [:].keys {
        #expect(plan.storages.indices.contains(storage))
      }
    }
  }

  private func fingerprint(_ record: [UInt8]) throws -> String {
    try #require(
      try JSONFile.parse(Array(record.drop { $0 != 0x0A }), "record").object?["fingerprint"]?.string
    )
  }

  @Test func partsInAnyOrderMakeWhatOneRunMakes() throws {
    let world = try World()
    for part in ["3/4", "1/4", "4/4", "2/4"] { try world.part(part) }
    #expect(
      try world.finish(RunOptions(work: .finish)).count == world.converter.plan.shards.count)
    #expect(try world.isAsExpected())
  }

  @Test func partsAreEven() throws {
    let plan = try World().converter.plan
    for count in 1...12 {
      let parts = plan.parts(count)
      #expect(parts.flatMap { $0 }.sorted() == Array(plan.shards.indices))
      let loads = parts.map { $0.reduce(0) { $0 + plan.shards[$1].size } }
      let largest = plan.shards.map(\.size).max() ?? 0
      #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= largest)
    }
    #expect(WorkShare("0/3") == nil)
    #expect(WorkShare("4/3") == nil)
    #expect(WorkShare("1/3/") == nil)
    #expect(WorkShare("3/3")?.number == 3)
  }

  @Test func aMissingPartIsNamedAndAsksForAnotherTry() throws {
    let world = try World()
    for part in ["1/3", "3/3"] { try world.part(part) }
    do {
      _ = try world.finish(RunOptions(work: .finish))
      Issue.record("it was finished without part 2")
    } catch let error as Failure {
      #expect(error.code.kind == .tryAgain)
      #expect(error.code.name == "parts/missing")
      #expect(error.message.contains("--part 2/3"))
    }
    #expect(try !world.folder.names().contains("out"))
    try world.part("2/3")
    _ = try world.finish(RunOptions(work: .finish))
    #expect(try world.isAsExpected())
  }

  @Test func finishingWithoutAnyPartLeavesNothingBehind() throws {
    let world = try World()
    #expect(failure { _ = try world.finish(RunOptions(work: .finish)) } == "75 parts/missing")
    #expect(try world.folder.names() == [])
  }

  @Test func aStorageOfSeveralFilesIsCheckedAcrossParts() throws {
    let world = try World(isFlat: true)
    for part in ["1/2", "2/2"] { try world.part(part) }
    _ = try world.finish(RunOptions(work: .finish))
    #expect(try world.isAsExpected())
    // A damaged storage shows only when all that was made of it is looked at. What was made of it
    // must not be taken up once it is mended.
    try remove(world.output)
    let name = "global_step10/layer_03-model_00-model_states.pt"
    let whole = try bytes(of: world.folder.path.appending(name))
    var damaged = whole
    let position = try #require(damaged.firstRange(of: little(Int(Float(300).bitPattern), 4)))
    damaged[position.lowerBound] ^= 1
    try world.folder.write(name, damaged)
    var options = ConversionOptions()
    options.maximumShardSize = 300
    let wrong = try Conversion(of: index(world.folder.path), options: options)
    #expect(failure { _ = try wrong.run(to: world.output) } == "65 zip/crc-mismatch")
    try world.folder.write(name, whole)
    let right = try Conversion(of: index(world.folder.path), options: options)
    _ = try right.run(to: world.output)
    #expect(try world.isAsExpected())
  }

  @Test func mastersAreComparedAcrossParts() throws {
    let folder = try TemporaryFolder()
    var options = ConversionOptions()
    options.maximumShardSize = 20_000
    let converter = try Conversion(
      of: index(fixture("dumps/ds_tp2pp2dp2_fp16_z1/ckpt"), weights: .fp32Master), options: options)
    for number in 1...2 {
      let part = try #require(WorkShare("\(number)/2"))
      _ = try converter.run(
        to: folder.path.appending("out"), options: RunOptions(work: .part(part)))
    }
    _ = try converter.run(to: folder.path.appending("out"), options: RunOptions(work: .finish))
    _ = try converter.run(to: folder.path.appending("whole"))
    #expect(
      try bytes(of: folder.path.appending("out/conversion_manifest.json"))
        == bytes(of: folder.path.appending("whole/conversion_manifest.json")))
  }

  @Test func aFolderThatAProcessHadTakenWhenItEndedIsTakenUp() throws {
    let world = try World()
    try world.part("1/1")
    _ = try world.takeAndEnd()
    #expect(try world.finish().count == world.converter.plan.shards.count)
    #expect(try world.isAsExpected())
  }

  @Test func aProcessThatEndedWhileOutputWasPutTogetherHasLostNothing() throws {
    let world = try World()
    try world.part("1/1")
    let taken = try world.takeAndEnd()
    // Some of the files had been gathered.
    let keep = "\(taken.lastComponent?.string ?? "")/.output/.keep"
    try world.folder.write(keep, [])
    try remove(world.folder.path.appending(keep))
    for shard in world.converter.plan.shards.prefix(3) {
      try move(
        taken.appending(shard.fileName), to: taken.appending(".output").appending(shard.fileName))
    }
    #expect(try world.finish().count == world.converter.plan.shards.count)
    #expect(try world.isAsExpected())
  }

  @Test func aNameThatLeavesNoRoomForHiddenOnesIsRefusedAtOnce() throws {
    let world = try World()
    let path = world.folder.path.appending(String(repeating: "n", count: 230))
    #expect(failure { _ = try world.converter.run(to: path) } == "73 io/name-too-long")
  }

  @Test func sumsThatWereAskedForAndAreGoneMakeAnOutputUnfinished() throws {
    let world = try World()
    _ = try world.finish(RunOptions(sha256: true))
    try remove(world.output.appending("SHA256SUMS"))
    #expect(failure { _ = try world.finish(RunOptions(sha256: true)) } == "73 output/exists")
  }

  @Test func aProcessThatEndedBetweenTwoRenamesHasNotLostTheOldOutput() throws {
    let world = try World()
    for (name, bytes) in plainModel {
      try world.folder.write(".out.meg2hf-replaced/\(name)", bytes)
    }
    #expect(failure { _ = try world.finish() } == "73 output/exists")
    #expect(try world.folder.names() == ["out"])
    #expect(try contents(world.output) == ["config.json", "model.safetensors"])
    _ = try world.finish(RunOptions(overwrite: true))
    #expect(try world.isAsExpected())
  }

  @Test func unfinishedFilesOfProcessesThatAreNoMoreAreCleared() throws {
    let world = try World()
    try world.part("1/2")
    let staging = try world.staging
    let host = ByteIO.Process.hostName
    let dead = staging.appending(".model.safetensors.ab-99999999@\(host).part")
    let alive = staging.appending(".model.safetensors.cd-\(ByteIO.Process.identifier)@\(host).part")
    let elsewhere = staging.appending(".model.safetensors.ef-99999999@other.\(host).part")
    for path in [dead, alive, elsewhere] {
      try Data([1]).write(to: URL(fileURLWithPath: path.string))
    }
    try world.part("1/2")
    let names = try contents(staging)
    #expect(!names.contains(dead.lastComponent?.string ?? ""))
    #expect(names.contains(alive.lastComponent?.string ?? ""))
    #expect(names.contains(elsewhere.lastComponent?.string ?? ""))
    _ = try world.finish()
    #expect(try world.isAsExpected())
  }
}
