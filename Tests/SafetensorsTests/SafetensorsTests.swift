import ByteIO
import Safetensors
import SystemPackage
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  private func parse(_ header: String, dataSize: Int) throws -> SafetensorsHeader {
    try SafetensorsHeader(parsing: Array(header.utf8), dataSize: dataSize)
  }

  @Test func aHeaderIsLaidOutAsTheReferenceDoes() throws {
    let header = SafetensorsHeader(
      laying: [("h.10", .f16, [2]), ("h.2", .f16, [1, 3]), ("z", .f32, []), ("a", .u8, [0])],
      metadata: ["format": "pt"])
    #expect(header.tensors.map(\.name) == ["z", "h.10", "h.2", "a"])
    let bytes = header.serialized
    let json =
      #"{"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"#
      + #""h.10":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},"#
      + #""h.2":{"dtype":"F16","shape":[1,3],"data_offsets":[8,14]},"#
      + #""a":{"dtype":"U8","shape":[0],"data_offsets":[14,14]}}"#
    let padding = (8 - json.utf8.count % 8) % 8
    #expect(
      bytes == little(json.utf8.count + padding, 8) + Array(json.utf8)
        + [UInt8](repeating: 0x20, count: padding))
    #expect(
      try SafetensorsHeader(parsing: Array(bytes[8...]), dataSize: 14).tensors == header.tensors)
  }

  static let broken: [(header: String, size: Int, code: SafetensorsError.Code)] = [
    ("[]", 0, .invalidHeader), ("{} x", 0, .invalidHeader),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],}}"#, 4, .invalidHeader),
    (#"{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}"#, 4, .invalidHeader),
    (#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4, .invalidHeader),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, .invalidHeader),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4, .invalidHeader),
    (#"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, .invalidHeader),
    (#"{"__metadata__":{"a":1}}"#, 0, .invalidHeader),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, .invalidOffset),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, .invalidOffset),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"#
        + #""b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
      3, .invalidOffset
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, .sizeMismatch),
    (#"{"a":{"dtype":"F32","shape":[9223372036854775807,2],"data_offsets":[0,4]}}"#, 4, .overflow),
    (#"{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}"#, 4, .overflow),
    (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1, .misaligned),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, .incompleteBuffer),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, .incompleteBuffer),
  ]

  @Test(arguments: broken)
  func brokenHeadersAreErrors(broken: (header: String, size: Int, code: SafetensorsError.Code)) {
    #expect { try parse(broken.header, dataSize: broken.size) } throws: {
      ($0 as? SafetensorsError)?.code == broken.code
    }
  }

  @Test func whatReadersLetPassIsNoted() throws {
    let twice =
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
      + #""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    let header = try parse(twice, dataSize: 1)
    #expect(header.notes.count == 1)
    #expect(
      try parse(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":2}}"#, dataSize: 1)
        .tensors.count == 1)
  }

  /// One tensor whose shape and offsets are given as texts.
  private func one(shape: String = "[4]", begin: String = "0", end: String = "4") -> String {
    #"{"a":{"dtype":"U8","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}}"#
  }

  @Test func numbersThatTheReferenceRefusesAreErrors() throws {
    #expect(try parse(one(), dataSize: 4).tensors.count == 1)
    let digits = String(repeating: "9", count: 5000)
    let cases: [(String, SafetensorsError.Code)] = [
      (one(shape: "[-0,4]"), .invalidHeader), (one(shape: "[4,-0]"), .invalidHeader),
      (one(begin: "-0"), .invalidHeader), (one(shape: "[4e0]"), .invalidHeader),
      (one(end: "4.0"), .invalidHeader), (one(begin: "00"), .invalidHeader),
      (one(shape: "[\(digits)]"), .invalidHeader),
      (one(shape: "[18446744073709551615]"), .overflow),
      (one(shape: "[-\(digits)]"), .invalidHeader), (one(end: digits), .invalidHeader),
      (one(end: "18446744073709551616"), .invalidHeader),
    ]
    for (header, code) in cases {
      #expect { try parse(header, dataSize: 4) } throws: { ($0 as? SafetensorsError)?.code == code }
    }
  }

  @Test(arguments: [
    ("\u{E9}", "e\u{301}"), ("\u{AC00}", "\u{1100}\u{1161}"), ("\u{212B}", "\u{C5}"),
  ])
  func namesThatOnlyLookAlikeAreTwoNames(first: String, second: String) throws {
    #expect(first == second)
    let header = SafetensorsHeader(
      laying: [(first, .u8, [1]), (second, .u8, [1])], metadata: nil)
    let read = try SafetensorsHeader(parsing: Array(header.serialized[8...]), dataSize: 2)
    #expect(read.tensors == header.tensors)
    #expect(read.notes.isEmpty)
    #expect(Set(read.tensors.map { Array($0.name.utf8) }).count == 2)
  }

  @Test func aRepeatedNameIsCheckedEvenWhereItDoesNotCount() throws {
    let good = #""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#
    for bad in [
      #""a":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}"#,
      #""a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}"#, #""a":7"#,
    ] {
      for header in ["{\(bad),\(good)}", "{\(good),\(bad)}"] {
        #expect(throws: SafetensorsError.self) { try parse(header, dataSize: 1) }
      }
    }
  }

  @Test func aHeaderOfManyTensorsIsReadAsItWasWritten() throws {
    let header = SafetensorsHeader(
      laying: (0..<5000).map { ("layers.\($0).weight", .f16, [$0 % 3, 2]) }, metadata: ["a": "b"])
    let json = Array(header.serialized[8...])
    let read = try SafetensorsHeader(parsing: json, dataSize: header.dataSize)
    #expect(read.tensors.map(\.name).sorted() == header.tensors.map(\.name).sorted())
    #expect(Set(read.tensors) == Set(header.tensors))
    #expect(read.metadata == ["a": "b"])
    #expect(read.notes.isEmpty)
  }

  @Test(arguments: ["\u{FEFF}{}", " \u{FEFF}{}", "{}\u{FEFF}"])
  func aByteOrderMarkIsAnErrorWithItsPlace(text: String) {
    #expect { try parse(text, dataSize: 0) } throws: { error in
      let error = error as? SafetensorsError
      return error?.code == .invalidHeader && error?.detail.contains("byte") == true
    }
  }

  @Test func everyPrefixAndEveryFlippedBitOfAFileGivesAValueOrAnError() throws {
    let folder = try TemporaryFolder()
    let header = SafetensorsHeader(
      laying: [("a", .f16, [2]), ("b", .f32, [1])], metadata: ["format": "pt"])
    let file = header.serialized + [UInt8](repeating: 1, count: 8)
    var (values, errors) = (0, 0)
    withEveryDamage(file) { damaged in
      do {
        _ = try SafetensorsFile(opening: folder.write("f", damaged))
        values += 1
      } catch is SafetensorsError {
        errors += 1
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(values + errors == file.count * 9)
    // Every prefix is one.
    #expect(errors >= file.count)
  }

  @Test func everyPrefixAndEveryFlippedBitOfAnIndexGivesAValueOrAnError() {
    let index = ShardIndex(
      weightMap: ["b": ShardIndex.shardName(2, of: 2), "a": ShardIndex.shardName(1, of: 2)],
      totalSize: 12, totalParameters: 3)
    var (values, errors) = (0, 0)
    let whole = Array(index.serialized.utf8)
    withEveryDamage(whole) { damaged in
      do {
        let read = try ShardIndex(parsing: damaged)
        values += 1
        // Whatever the names became, none is a path.
        for name in read.weightMap.values { #expect(!name.contains("/") && name != "..") }
      } catch is SafetensorsError {
        errors += 1
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(values + errors == whole.count * 9)
    #expect(errors >= whole.count - 1)
  }

  @Test(arguments: [
    ([3, 12, 3], 10, [[1], [0, 2]]), ([6, 6, 2, 6, 2, 2], 8, [[0], [1, 2], [3, 4], [5]]),
    ([10, 10], 10, [[0], [1]]), ([1, 2], 0, [[0], [1]]), ([5, 5], 10, [[0, 1]]), ([], 10, []),
  ])
  func shardsAreGroupedByTheRuleOfTheHub(sizes: [Int], limit: Int, shards: [[Int]]) {
    #expect(ShardIndex.group(sizes: sizes, limit: limit) == shards)
  }

  @Test func anIndexDoesNotChooseWhereWeRead() {
    for file in ["../x.safetensors", "/etc/passwd", "a/b", ".."] {
      let json = #"{"metadata":{},"weight_map":{"w":"\#(file)"}}"#
      #expect(throws: SafetensorsError(.invalidIndex, "")) {
        try ShardIndex(parsing: Array(json.utf8))
      }
    }
  }

  @Test func anIndexIsWrittenAsSavePretrainedDoes() throws {
    let index = ShardIndex(
      weightMap: ["b": ShardIndex.shardName(2, of: 2), "a": ShardIndex.shardName(1, of: 2)],
      totalSize: 12, totalParameters: 3)
    #expect(
      index.serialized == """
        {
          "metadata": {
            "total_parameters": 3,
            "total_size": 12
          },
          "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors"
          }
        }

        """)
    #expect(try ShardIndex(parsing: Array(index.serialized.utf8)) == index)
  }
}
