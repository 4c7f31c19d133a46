import JSON
import Safetensors
import Testing

@Suite struct JSONTests {
  @Test(arguments: [
    ("{}", "{}"), (" [1, -2.5e3, true, null] ", "[1,-2500.0,true,null]"),
    (#"{"b":1,"a":{"x":[]}}"#, #"{"b":1,"a":{"x":[]}}"#),
    (#""\u00e9\ud83d\ude00\n""#, "\"é😀\\n\""), ("18446744073709551616", "18446744073709551616"),
  ])
  func whatIsReadIsWritten(text: String, expected: String) throws {
    #expect(JSONWriter.text(try JSONParser.parse(text.utf8), .compact) == expected)
  }

  @Test(arguments: [
    "", "{", "[1,]", #"{"a":1,}"#, "01", "1.", "-", "nul", "NaN", "Infinity", "1 2", #"{"a" 1}"#,
    "{1:2}", "\"\u{01}\"", #""\x""#, #""\ud800""#, #""\ud800\u0041""#, "'a'", "// c\n1",
    "\u{FEFF}1",
    "[1e999]", "\"abc",
  ])
  func whatIsNoJSONIsAnError(text: String) {
    #expect(throws: JSONError.self) { try JSONParser.parse(text.utf8) }
  }

  @Test func bytesThatAreNotUTF8AreAnError() {
    #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
  }

  @Test func nestingIsLimited() {
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    #expect(throws: JSONError.self) { try JSONParser.parse(deep.utf8) }
  }

  @Test func aSortedTextIsPythonsOwn() {
    // json.dumps(value, indent=2, sort_keys=True) + "\n"
    let value: JSONValue = [
      "b": [1, 1.0, 1e-05, 0.1, 1e16], "a": ["é": "x\"y\u{7F}"], "c": [], "d": [:],
    ]
    #expect(
      JSONWriter.text(value, .sorted) == """
        {
          "a": {
            "\\u00e9": "x\\"y\\u007f"
          },
          "b": [
            1,
            1.0,
            1e-05,
            0.1,
            1e+16
          ],
          "c": [],
          "d": {}
        }

        """)
  }

  @Test func keysAreComparedByTheirBytes() {
    var object = JSONObject()
    object["e\u{301}"] = 1
    object["\u{E9}"] = 2
    #expect(object.members.count == 2)
    #expect(object.repeatedKeys.isEmpty)
  }

  /// Small objects are searched, large ones have a table.
  @Test(arguments: [0, 1, 7, 8, 9, 10, 100, 3000]) func membersAreFoundInObjectsOfAnySize(
    count: Int
  ) throws {
    let members = (0..<count).map { JSONObject.Member(key: "key \($0)", value: .int($0)) }
    var grown = JSONObject()
    for member in members { grown[member.key] = member.value }
    let made = JSONObject(members)
    let text =
      "{" + members.map { "\"\($0.key)\":\($0.value.int ?? 0)" }.joined(separator: ",") + "}"
    let read = try #require(try JSONParser.parse(text.utf8).object)
    for object in [grown, made, read] {
      #expect(object == made && object.hashValue == made.hashValue)
      #expect((0..<count).allSatisfy { object["key \($0)"] == .int($0) })
      #expect(object["key"] == nil && object["key \(count)"] == nil)
      #expect(object.repeatedKeys.isEmpty)
    }
    guard let first = members.first else { return }
    grown[first.key] = "changed"
    #expect(grown.members.count == count && grown[first.key] == "changed")
    let repeated = JSONObject(members + [.init(key: first.key, value: "last")])
    #expect(repeated[first.key] == "last")
    #expect(repeated.repeatedKeys == [first.key])
  }
}
