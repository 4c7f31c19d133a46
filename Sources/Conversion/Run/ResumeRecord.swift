import ByteIO
import JSON
import TorchArchive
import Transfer

/// What is kept next to a finished file of the output, so that another run, or another part, need
/// not make it again: how to recognise it, and what was found while it was made.
struct ResumeRecord {
  /// The version of the contents.
  static let schema = "meg2hf.shard/4"

  /// The position of the file in the plan.
  let shard: Int
  /// The CRC-32 of the whole file.
  var crc: UInt32
  var findings: PartialFindings
  /// The hashes of the masters, by the positions of the tensors; they are compared with those of
  /// the weights at the end.
  var masters: [Int: WordHash] = [:]
  /// The CRC-32 of the bytes of each tensor, by its position.
  var tensors: [Int: UInt32] = [:]
  /// Which part of how many made it.
  var part: WorkShare?

  /// The name of the record of a file; hidden, and never part of OUTPUT.
  static func name(of fileName: String) -> String { ".\(fileName).record" }

  /// Whether the file holds bytes of a storage that was not read to its end for it, so that the CRC
  /// of the storage was not compared yet.
  func isMadeOfParts(in plan: ConversionPlan) -> Bool {
    findings.checksums.contains { storage, ledger in
      ledger.coveredBytes < plan.storages[storage].entry.size
    }
  }

  // MARK: - JSON

  /// The record as it is written: a line with the CRC of the rest, and a document.
  func serialized(fingerprint: String, fileName: String) -> [UInt8] {
    let text = Array(
      JSONWriter.text(json(fingerprint: fingerprint, fileName: fileName), .compact).utf8)
    return Array("\(CRC32.checksum(text))\n".utf8) + text
  }

  /// Takes up a record of an earlier run; `nil` when it is damaged, or of another conversion.
  init?(_ bytes: [UInt8], shard: Int, of plan: ConversionPlan, fingerprint: String) {
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let text = Array(bytes[(end + 1)...])
    guard String(decoding: bytes[..<end], as: UTF8.self) == "\(CRC32.checksum(text))",
      let json = try? JSONParser.parse(text)
    else { return nil }
    self.init(json, shard: shard, of: plan, fingerprint: fingerprint)
  }

  private func json(fingerprint: String, fileName: String) -> JSONValue {
    [
      "schema": .string(ResumeRecord.schema),
      "fingerprint": .string(fingerprint),
      "file": .string(fileName),
      "crc32": .int(Int(crc)),
      "part": part.map { .string($0.description) } ?? .null,
      "tensors": .array(
        findings.tensors.filter { $0.value != TensorFindings() }.sorted { $0.key < $1.key }.map {
          let (position, found) = $0
          return [
            .int(position), .int(found.floats.nan), .int(found.floats.infinite),
            .int(found.floats.overflowed), .int(found.differing),
            .int(Int(found.largestDifference.bitPattern)),
          ]
        }),
      "checksums": .array(
        findings.checksums.sorted { $0.key < $1.key }.map { storage, ledger in
          [
            .int(storage),
            .array(
              ledger.segments.map {
                [.int($0.range.lowerBound), .int($0.range.upperBound), .int(Int($0.crc))]
              }),
          ]
        }),
      "tensor_crc32": .array(
        tensors.sorted { $0.key < $1.key }.map { [.int($0.key), .int(Int($0.value))] }),
      "masters": .array(
        masters.sorted { $0.key < $1.key }.map {
          [.int($0.key), .int(Int(bitPattern: UInt($0.value.bits)))]
        }),
    ]
  }

  init(shard: Int, crc: UInt32 = 0, findings: PartialFindings) {
    self.shard = shard
    self.crc = crc
    self.findings = findings
  }

  private init?(_ json: JSONValue, shard: Int, of plan: ConversionPlan, fingerprint: String) {
    guard let object = json.object, object["schema"]?.string == ResumeRecord.schema,
      object["fingerprint"]?.string == fingerprint,
      object["file"]?.string == plan.shards[shard].fileName,
      let crc = object["crc32"]?.int.flatMap({ UInt32(exactly: $0) }),
      let tensors = object["tensors"]?.array, let checksums = object["checksums"]?.array,
      let masters = object["masters"]?.array, let sums = object["tensor_crc32"]?.array
    else { return nil }
    self.init(shard: shard, crc: crc, findings: PartialFindings())
    part = object["part"]?.string.flatMap { WorkShare($0) }
    let positions = Set(plan.shards[shard].tensors)
    for entry in tensors {
      let numbers = entry.array?.compactMap(\.int) ?? []
      guard numbers.count == 6, positions.contains(numbers[0]),
        numbers[1...4].allSatisfy({ (0...plan.tensors[numbers[0]].byteCount).contains($0) }),
        let bits = UInt32(exactly: numbers[5])
      else { return nil }
      var found = TensorFindings()
      found.floats.nan = numbers[1]
      found.floats.infinite = numbers[2]
      found.floats.overflowed = numbers[3]
      found.differing = numbers[4]
      found.largestDifference = Float(bitPattern: bits)
      findings.tensors[numbers[0]] = found
    }
    for entry in checksums {
      guard let pair = entry.array, pair.count == 2, let storage = pair[0].int,
        plan.storages.indices.contains(storage), let segments = pair[1].array
      else { return nil }
      var ledger = ChecksumLedger()
      for segment in segments {
        let numbers = segment.array?.compactMap(\.int) ?? []
        guard numbers.count == 3, numbers[0] >= 0, numbers[0] < numbers[1],
          numbers[1] <= plan.storages[storage].entry.size, let crc = UInt32(exactly: numbers[2])
        else { return nil }
        ledger.absorb(ChecksumLedger.Segment(range: numbers[0]..<numbers[1], crc: crc))
      }
      findings.checksums[storage] = ledger
    }
    for entry in sums {
      let numbers = entry.array?.compactMap(\.int) ?? []
      guard numbers.count == 2, positions.contains(numbers[0]),
        let crc = UInt32(exactly: numbers[1])
      else { return nil }
      self.tensors[numbers[0]] = crc
    }
    guard Set(self.tensors.keys) == positions else { return nil }
    for entry in masters {
      let numbers = entry.array?.compactMap(\.int) ?? []
      guard numbers.count == 2, positions.contains(numbers[0]) else { return nil }
      self.masters[numbers[0]] = WordHash(bits: UInt64(UInt(bitPattern: numbers[1])))
    }
  }
}
