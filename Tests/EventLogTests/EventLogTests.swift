import ByteIO
import Diagnostics
import EventLog
import JSON
import SystemPackage
import TestSupport
import Testing

@Suite struct EventLogTests {
  private func logs(_ name: String) throws -> (EventLogs, JSONObject) {
    let folder = fixture("logs/\(name)")
    let expected = try #require(try JSONFile.read(folder.appending("expected.json")).object)
    return (try EventLogs(folder, keepsAll: true), expected)
  }

  private func points(_ curve: EventCurve) -> JSONValue {
    .array(
      curve.points.map { point in
        let value: JSONValue =
          point.value.isNaN
          ? "NaN"
          : point.value.isInfinite
            ? .string(point.value < 0 ? "-Infinity" : "Infinity") : .double(point.value)
        return [.int(point.step), value, .double(point.time)]
      })
  }

  @Test(arguments: [
    "clean_2020", "clean_megatron", "odd_values", "tensor_forms", "restarts", "rewound",
    "purge_step", "jobs_in_folders", "deepspeed_monitor", "for_bs_tp2pp2dp1_bf16",
    "flipped_payload", "flipped_length", "truncated_payload", "zero_tail",
  ])
  func theCurvesAreThoseOfTensorBoard(name: String) throws {
    let (logs, expected) = try logs(name)
    let runs = try #require(expected["runs"]?.object)
    #expect(logs.runs.map(\.name) == runs.members.map(\.key).sorted())
    for run in logs.runs {
      let wanted = try #require(runs[run.name]?.object)
      let scalars = try #require(wanted["scalars"]?.object)
      for (tag, values) in scalars.members.map({ ($0.key, $0.value) }) {
        #expect(run[tag].map(points) == values, "\(run.name): \(tag)")
      }
      if wanted["left_out"] == nil {
        #expect(run.damage.isEmpty)
        #expect(run.recordCount == wanted["records"]?.int)
      }
      let ranges = run.damage.map {
        JSONValue.array([.int($0.offset), .int($0.offset + $0.count)])
      }
      #expect(ranges == wanted["left_out"]?.array ?? [])
      for (tag, values) in (wanted["text"]?.object?.members ?? []).map({ ($0.key, $0.value) }) {
        let texts = run.texts.first { $0.tag == tag }?.texts ?? []
        let found = texts.map { JSONValue.array([.int($0.step), [.string($0.text)]]) }
        #expect(JSONValue.array(found) == values)
      }
    }
    let joined = expected["joined"]?.object
    #expect((logs.joined == nil) == (joined == nil))
    for (tag, values) in (joined?.members ?? []).map({ ($0.key, $0.value) }) {
      #expect(logs.joined?[tag].map(points) == values, "\(tag)")
    }
  }

  @Test func aRestartIsCountedAndCompared() throws {
    let run = try #require(logs("restarts").0.runs.first)
    let loss = try #require(run["lm loss"])
    #expect(run.jobCount == 3)
    #expect(loss.starts.count == 3)
    #expect(loss.points.map(\.step) == Array(1...60))
    #expect(loss.recomputed.count == loss.superseded.count)
    #expect(loss.recomputed.count == 16)
  }

  @Test func damageIsNamedByItsKind() throws {
    let kinds = try [
      "flipped_payload", "flipped_length", "truncated_payload", "zero_tail",
    ].map { try logs($0).0.runs.flatMap(\.damage).map(\.kind) }
    #expect(kinds == [[.payload], [.length], [.cutOff], [.zeros]])
  }

  @Test func aFolderWithoutEventFilesIsSaidToBeOne() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write("a/notes.txt", [1])
    let error = #expect(throws: Failure.self) { try EventLogs(folder.path) }
    #expect(error?.code == .logsNone)
    _ = try folder.write("a/events.out.tfevents.1", Array("nothing of the kind".utf8))
    let other = #expect(throws: Failure.self) { try EventLogs(folder.path) }
    #expect(other?.code == .logsUnreadable)
  }

  @Test func aFileThatIsOneCurveOfManyPointsTakesLittleMemory() throws {
    let folder = try TemporaryFolder()
    var bytes: [UInt8] = []
    // A curve with one spike, more points than are kept.
    for step in 1...1_100_000 {
      bytes += EventWriter.scalar("loss", step, step == 77_777 ? 1000 : 1 / Float(step))
    }
    let path = try folder.write("events.out.tfevents.1", bytes)
    let curve = try #require(EventLogs(path).runs.first?["loss"])
    #expect(curve.isThinned)
    #expect(curve.readCount == 1_100_000)
    #expect(curve.points.count < 1 << 20)
    #expect(curve.points.contains { $0.step == 77_777 && $0.value == 1000 })
    #expect(curve.points.first?.step == 1)
    #expect(curve.points.last?.step == 1_100_000)
  }

  @Test(arguments: ["odd_values", "tensor_forms"])
  func everyPrefixAndEveryFlippedBitGivesValuesOfTheOriginalOrAnError(name: String) throws {
    let folder = fixture("logs/\(name)/run")
    let file = try #require(try FileSystem.list(folder).first)
    let original = try bytes(of: folder.appending(file))
    let whole = try values(original)
    let scratch = try TemporaryFolder()
    withEveryDamage(original) { damaged in
      guard let path = try? scratch.write("events.out.tfevents", damaged) else {
        Issue.record("the file could not be written")
        return
      }
      guard let run = try? EventLogs(path).runs.first else { return }
      for named in run.curves {
        for point in named.curve.points {
          #expect(whole.contains("\(named.tag) \(point.step) \(point.value)"))
        }
      }
    }
  }

  private func values(_ bytes: [UInt8]) throws -> Set<String> {
    let folder = try TemporaryFolder()
    let run = try EventLogs(folder.write("events.out.tfevents", bytes)).runs[0]
    return Set(
      run.curves.flatMap { named in
        named.curve.points.map { "\(named.tag) \($0.step) \($0.value)" }
      })
  }

  @Test func aFileMadeOfBeginningsOfRecordsIsReadOnce() throws {
    let folder = try TemporaryFolder()
    // Each head is right, and claims all that follows; no payload is.
    var bytes: [UInt8] = [1, 2, 3]
    let size = 3 << 20
    while bytes.count < size { bytes += EventWriter.head(size - bytes.count) }
    bytes += [UInt8](repeating: 7, count: 64)
    let path = try folder.write("events.out.tfevents", bytes)
    #expect(throws: Failure.self) { try EventLogs(path) }
  }
}

/// Writes event files.
enum EventWriter {
  static func head(_ count: Int) -> [UInt8] {
    let size = number(UInt64(count), 8)
    return size + masked(size)
  }

  static func record(_ payload: [UInt8]) -> [UInt8] {
    head(payload.count) + payload + masked(payload)
  }

  static func scalar(_ tag: String, _ step: Int, _ value: Float) -> [UInt8] {
    let number = message(1, Array(tag.utf8)) + [0x15] + number(UInt64(value.bitPattern), 4)
    return record([0x10] + varint(UInt64(step)) + message(5, message(1, number)))
  }

  static func message(_ field: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    [field << 3 | 2] + varint(UInt64(bytes.count)) + bytes
  }

  static func varint(_ value: UInt64) -> [UInt8] {
    var (rest, bytes) = (value, [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  private static func number(_ value: UInt64, _ size: Int) -> [UInt8] {
    (0..<size).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  private static func masked(_ bytes: [UInt8]) -> [UInt8] {
    let crc = CRC32C.checksum(bytes.span)
    return number(UInt64((crc >> 15 | crc << 17) &+ 0xA282_EAD8), 4)
  }
}
