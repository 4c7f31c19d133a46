import Foundation
import JSON
import SystemPackage
import TestSupport
import Testing

/// Nothing of the user's is ever removed, whatever lies in the place of OUTPUT.
@Suite struct OverwriteTests {
  private let dump = fixture("dumps/bs_tp1pp1_fp16_z1/ckpt")
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private func convert(_ output: String, _ more: [String] = [], in place: FilePath? = nil) throws
    -> CommandOutcome
  {
    try meg2hf(["convert", dump.string, output, "-q"] + more, in: place ?? folder.path)
  }

  private func model(_ name: String) throws -> [String: [UInt8]] {
    try snapshot(folder.path.appending(name))
  }

  /// What stands in the place of OUTPUT, and the file that is named.
  static let foreign: [(files: [String: [UInt8]], name: String)] = [
    (["thesis.tex": [1]], "thesis.tex"), (["notes/day1.txt": [1]], "notes"),
    ([".hidden": [1]], ".hidden"),
    (["config.json": [1], "model.safetensors": [2], "thesis.pdf": [3]], "thesis.pdf"),
    (["config.json": [1], "model.safetensors": [2], "README.md": [3]], "README.md"),
    (["config.json": [1], "pytorch_model.bin": [2]], "pytorch_model.bin"),
    (["config.json": [1]], "config.json"), (["model.safetensors": [1]], "model.safetensors"),
    (["config.json": [1], "model.safetensors": [2], "runs/events": [3]], "runs"),
    (["latest": [1], "global_step10/layer_01-model_00-model_states.pt": [2]], "global_step10"),
    (["conversion_manifest.json": Array("{}".utf8), "data.csv": [1]], "conversion_manifest.json"),
    (
      plainModel.merging(["config.json": Array("{\"db\": \"prod\"}".utf8)]) { $1 }, "config.json"
    ),
    (plainModel.merging(["data.safetensors": Array("precious".utf8)]) { $1 }, "data.safetensors"),
  ]

  @Test(arguments: foreign.indices) func aFolderWithSomethingForeignIsKept(row: Int) throws {
    let (files, name) = OverwriteTests.foreign[row]
    for (file, bytes) in files { try folder.write("out/\(file)", bytes) }
    let before = try tree("out")
    let batch = ["batch", "list.txt", "--overwrite", "-q"]
    try folder.write("list.txt", Array("\(dump.string)\tout\n".utf8))
    for arguments in [
      ["convert", dump.string, "out", "--overwrite", "-q"], ["convert", dump.string, "out", "-q"],
      ["convert", dump.string, "out", "--overwrite", "--part", "1/1", "-q"], batch,
      ["convert", dump.string, "out/", "--overwrite", "-q"],
    ] {
      let outcome = try meg2hf(arguments, in: folder.path)
      #expect(outcome.status == 73, "\(arguments)")
      #expect(
        outcome.errors.contains("\"\(name)\"") && outcome.errors.contains("output/foreign-file"))
      #expect(try tree("out") == before, "\(arguments)")
    }
    #expect(try folder.names() == ["list.txt", "out"])
  }

  /// The files below a folder with their bytes.
  private func tree(_ name: String) throws -> [String: Data] {
    var result: [String: Data] = [:]
    let root = folder.path.appending(name).string
    for case let file as String in FileManager.default.enumerator(atPath: root) ?? .init() {
      result[file] = FileManager.default.contents(atPath: "\(root)/\(file)")
    }
    return result
  }

  @Test func whatWasAddedToAnOutputOrChangedInItIsKept() throws {
    let changes: [(name: String, change: (FilePath) throws -> Void)] = [
      ("notes.txt", { try Data([1]).write(to: URL(fileURLWithPath: $0.string)) }),
      (
        "README.md",
        { path in
          var text = try bytes(of: path)
          text[100] ^= 1
          try Data(text).write(to: URL(fileURLWithPath: path.string))
        }
      ),
      ("config.json", { try Data([1, 2, 3]).write(to: URL(fileURLWithPath: $0.string)) }),
      (
        "model.safetensors",
        { path in
          // Weights of the same size, as a fine-tuning in place leaves them.
          Thread.sleep(forTimeInterval: 0.02)
          var weights = try bytes(of: path)
          weights[weights.count - 1] ^= 1
          try Data(weights).write(to: URL(fileURLWithPath: path.string))
        }
      ),
    ]
    for (name, change) in changes {
      try? remove(folder.path.appending("out"))
      #expect(try convert("out").status == 0)
      try change(folder.path.appending("out").appending(name))
      let before = try model("out")
      let outcome = try convert("out", ["--overwrite", "--dtype", "fp32"])
      #expect(outcome.status == 73, "\(name)")
      #expect(outcome.errors.contains("\"\(name)\""))
      #expect(try model("out") == before)
    }
  }

  @Test func anOutputOfOursAndAPlainModelAreReplaced() throws {
    #expect(try convert("out").status == 0)
    #expect(try convert("out", ["--dtype", "fp32"]).status == 73)
    #expect(try convert("out", ["--dtype", "fp32", "--overwrite"]).status == 0)
    for (name, bytes) in plainModel { try folder.write("plain/\(name)", bytes) }
    for name in ["generation_config.json", "tokenizer.json"] {
      try folder.write("plain/\(name)", [1])
    }
    #expect(try convert("plain").status == 73)
    #expect(try convert("plain", ["--overwrite"]).status == 0)
    #expect(try model("plain")["config.json"]?.count ?? 0 > 1)
    #expect(try folder.names() == ["out", "plain"])
  }

  @Test func aLinkToAFolderIsWrittenThrough() throws {
    try folder.write("elsewhere/real/.keep", [])
    try remove(folder.path.appending("elsewhere/real/.keep"))
    try link(folder.path.appending("out"), to: "elsewhere/real")
    #expect(try convert("out").status == 0)
    #expect(
      try FileManager.default.destinationOfSymbolicLink(
        atPath: folder.path.appending("out").string) == "elsewhere/real")
    #expect(try model("elsewhere/real")["config.json"] != nil)
    #expect(try convert("out", ["--overwrite", "--dtype", "fp32"]).status == 0)
    #expect(
      try FileManager.default.destinationOfSymbolicLink(
        atPath: folder.path.appending("out").string) == "elsewhere/real")
    #expect(try contents(folder.path.appending("elsewhere")) == ["real"])
    try link(folder.path.appending("dangling"), to: "nowhere")
    let outcome = try convert("dangling", ["--overwrite"])
    #expect(outcome.status == 73)
    #expect(outcome.errors.contains("leads nowhere"))
  }

  @Test func anEmptyFolderIsAcceptedAndParentsAreMade() throws {
    try folder.write("empty/.keep", [])
    try remove(folder.path.appending("empty/.keep"))
    #expect(try convert("empty").status == 0)
    #expect(try convert("a/b/c").status == 0)
    #expect(try model("a/b/c")["config.json"] != nil)
    // One that fails leaves no folders behind.
    #expect(try convert("x/y/z", ["--vocab-size", "600"]).status == 78)
    #expect(try folder.names() == ["a", "empty"])
  }

  @Test func theFolderThatTheShellStandsInIsFilled() throws {
    try folder.write("here/.keep", [])
    try remove(folder.path.appending("here/.keep"))
    let here = folder.path.appending("here")
    let shell = "\"$@\" && ls config.json model.safetensors"
    let outcome = try meg2hf(["convert", dump.string, ".", "-q"], in: here, shell: shell)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.hasSuffix("config.json\nmodel.safetensors\n"))
    let again = try meg2hf(
      ["convert", dump.string, ".", "-q", "--overwrite", "--dtype", "fp32"], in: here, shell: shell)
    #expect(again.status == 0, "\(again.errors)")
    #expect(again.output.hasSuffix("config.json\nmodel.safetensors\n"))
    #expect(try folder.names() == ["here"])
    let verified = try meg2hf(["verify", "."], in: here)
    #expect(verified.status == 0)
    try folder.write("here/notes.txt", [1])
    #expect(try convert(".", ["--overwrite"], in: here).status == 73)
    #expect(try contents(here).contains("notes.txt"))
  }

  @Test func foldersThatLookLikeOursButAreNotStay() throws {
    try folder.write(".out.meg2hf-notes/thesis.tex", [1])
    try folder.write(".out.meg2hf-replaced/thesis.tex", [1])
    let old = Date(timeIntervalSinceNow: -1_000_000)
    for name in [".out.meg2hf-notes", ".out.meg2hf-replaced"] {
      try FileManager.default.setAttributes(
        [.modificationDate: old], ofItemAtPath: folder.path.appending(name).string)
    }
    #expect(try convert("out").status == 0)
    #expect(try convert("out", ["--overwrite", "--dtype", "fp32"]).status == 0)
    #expect(try contents(folder.path.appending(".out.meg2hf-notes")) == ["thesis.tex"])
    #expect(try contents(folder.path.appending(".out.meg2hf-replaced")) == ["thesis.tex"])
  }

  /// The name of the hidden folder of a conversion, and what its command is.
  private func hidden(_ more: [String] = []) throws -> String {
    let json = try meg2hf(
      ["convert", dump.string, "probe", "--json", "-q"] + more, in: folder.path)
    let found = try #require(json.output.firstMatch(of: /"fingerprint": "([0-9a-f]{16})/))
    try remove(folder.path.appending("probe"))
    return ".out.meg2hf-\(found.1)"
  }

  @Test(arguments: [[], ["--no-resume"], ["--part", "1/1"]])
  func whatLiesInAHiddenFolderOfOursIsKept(more: [String]) throws {
    let name = try hidden()
    let files = ["thesis.tex", "notes/day1.txt", "model-old.safetensors", "._x", "film.mkv.part"]
    for file in files { try folder.write("\(name)/\(file)", [1]) }
    // What is old and looks unfinished is not ours by that alone.
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: -10_000)],
      ofItemAtPath: folder.path.appending("\(name)/film.mkv.part").string)
    try folder.write("\(name).0-1@elsewhere/thesis.tex", [2])
    let outcome = try convert("out", more)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let finished = more.contains("--part") ? try convert("out", ["--finish"]) : outcome
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(finished.errors.contains("no conversion wrote"))
    let left = try folder.names().filter { $0.hasPrefix(name) }
    let all = try left.flatMap { try contents(folder.path.appending($0)) }
    for file in ["thesis.tex", "notes", "model-old.safetensors", "._x", "film.mkv.part"] {
      #expect(all.contains(file), "\(file) of \(all)")
    }
    #expect(try convert("out").status == 0)
    #expect(try left.flatMap { try contents(folder.path.appending($0)) } == all)
  }

  /// A process can end between the exchange of two folders and the second look at the old one.
  @Test func anOldOutputThatWasChangedIsKeptAfterACrash() throws {
    #expect(try convert("out").status == 0)
    let name = try hidden(["--dtype", "fp32"])
    try move(folder.path.appending("out"), to: folder.path.appending("old"))
    #expect(try convert("out", ["--dtype", "fp32"]).status == 0)
    try folder.write("\(name).0-1@elsewhere/.keep", [])
    try remove(folder.path.appending("\(name).0-1@elsewhere/.keep"))
    let taken = "\(name).0-1@elsewhere/.output"
    try move(folder.path.appending("old"), to: folder.path.appending(taken))
    try folder.write("\(taken)/README.md", [1])
    try folder.write("\(taken)/thesis.tex", [2])
    let before = try snapshot(folder.path.appending(taken))
    let outcome = try convert("out", ["--dtype", "fp32"])
    #expect(outcome.status == 0)
    #expect(outcome.errors.contains("no conversion wrote"), "\(outcome.errors)")
    #expect(try snapshot(folder.path.appending(taken)) == before)
    // Unchanged, it is no more than what --overwrite was to replace.
    try remove(folder.path.appending(taken))
    #expect(try convert("out").status == 73)
    #expect(try convert("old").status == 0)
    try move(folder.path.appending("old"), to: folder.path.appending(taken))
    #expect(try convert("out", ["--dtype", "fp32"]).status == 0)
    #expect(try folder.names() == ["out"])
  }

  @Test func withoutAChecksumANewerFileCountsAsChanged() throws {
    #expect(try convert("out").status == 0)
    let manifest = folder.path.appending("out/conversion_manifest.json")
    let text = String(decoding: try bytes(of: manifest), as: UTF8.self)
    try folder.write(
      "out/conversion_manifest.json",
      Array(text.replacing(/,\s*"crc32": "[0-9a-f]+"/, with: "").utf8))
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: 10)],
      ofItemAtPath: folder.path.appending("out/model.safetensors").string)
    let outcome = try convert("out", ["--overwrite", "--dtype", "fp32"])
    #expect(outcome.status == 73)
    #expect(outcome.errors.contains("\"model.safetensors\", which was changed"))
  }

  @Test func linksInAnOutputAreNotReplaced() throws {
    #expect(try convert("out").status == 0)
    try move(
      folder.path.appending("out/model.safetensors"), to: folder.path.appending("big.safetensors"))
    try link(folder.path.appending("out/model.safetensors"), to: "../big.safetensors")
    let outcome = try convert("out", ["--overwrite", "--dtype", "fp32"])
    #expect(outcome.status == 73)
    #expect(outcome.errors.contains("\"model.safetensors\", which is not a regular file"))
    #expect(try folder.names() == ["big.safetensors", "out"])
  }

  @Test(arguments: [
    ("s3://bucket/out", "only local folders"), ("https://x.y/z", "only local folders"),
    ("~/out", "no shell"), ("nx/../out", "without \"..\""),
  ]) func aPlaceThatNobodyMeantIsRefused(row: (path: String, word: String)) throws {
    let outcome = try convert(row.path)
    #expect(outcome.status == 73)
    #expect(outcome.errors.contains(row.word), "\(outcome.errors)")
    #expect(try folder.names() == [])
  }

  @Test func theModeOfTheFolderStays() throws {
    for mode in [0o750, 0o2770] {
      try folder.write("out/.keep", [])
      let path = folder.path.appending("out").string
      try FileManager.default.removeItem(atPath: path + "/.keep")
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
      for more in [[], ["--overwrite", "--dtype", "fp32"]] {
        #expect(try convert("out", more).status == 0)
        let found = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect((found as? NSNumber)?.intValue == mode)
      }
      try remove(folder.path.appending("out"))
    }
  }
}
