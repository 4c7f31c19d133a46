import Foundation
import SystemPackage
import TestSupport
import Testing

/// What the documents show of the command, typed again and compared.
@Suite struct DocumentedSessionTests {
  private let root = FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent()

  @Test(
    arguments: [
      ("README.md", 3), ("Sources/meg2hf/meg2hf.docc/FromDumpToHub.md", 5),
      ("Sources/meg2hf/meg2hf.docc/BatchJobs.md", 6),
    ])
  func aDocumentShowsWhatTheCommandPrints(_ document: String, _ count: Int) throws {
    let world = try world()
    let sessions = sessions(
      of: String(decoding: try bytes(of: root.appending(document)), as: UTF8.self))
    #expect(sessions.count == count)
    for session in sessions {
      let words = "\"$1\"" + session.command.dropFirst("meg2hf".count)
      let run = try meg2hf([], in: world.path, shell: words)
      #expect(run.status == 0 || run.status == 75, "\(session.command): \(run.errors)")
      #expect(
        matches(
          session.lines[...],
          run.output.split(separator: "\n", omittingEmptySubsequences: false)[...]),
        "\(document): \(session.command)\n\(run.output)")
    }
  }

  /// `...` stands for lines, or for the end of one; times are not compared.
  @Test func whatIsLeftOutIsMarked() {
    #expect(matches(["a", "...", "d"], ["a", "b", "c", "d"]))
    #expect(matches(["a b..."], ["a bc"]) && matches(["  time  1 s"], ["  time  2 s"]))
    #expect(!matches(["a", "d"], ["a", "b", "d"]) && !matches(["a"], ["a", "b"]))
    #expect(!matches(["a", "..."], ["b", "c"]) && !matches(["a c..."], ["a b"]))
  }

  private struct Session {
    let command: String
    var lines: [Substring] = []
  }

  /// The folders that the documents speak of.
  private func world() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let files = FileManager.default
    try files.createDirectory(
      atPath: folder.path.appending("runs").string, withIntermediateDirectories: true)
    for (name, source) in [
      ("runs/gpt2", "dumps/bs_tp2pp2dp1_bf16/ckpt"), ("runs/words", "arbitration/honest"),
      ("gpt2-tokenizer", "tokenizer"), ("tokenizer", "arbitration/tokenizer"),
      ("held-out.json", "arbitration/tokens.json"),
    ] {
      try files.copyItem(
        atPath: fixture(source).string, toPath: folder.path.appending(name).string)
    }
    return folder
  }

  /// The commands after a dollar sign, with what stands beneath each.
  private func sessions(of document: String) -> [Session] {
    var sessions: [Session] = []
    var isInside = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        isInside = false
      } else if line.hasPrefix("$ ") {
        sessions.append(Session(command: String(line.dropFirst(2))))
        isInside = true
      } else if isInside {
        sessions[sessions.count - 1].lines.append(line)
      }
    }
    return sessions
  }

  private func matches(_ shown: ArraySlice<Substring>, _ printed: ArraySlice<Substring>) -> Bool {
    var shown = shown
    var printed = printed
    while shown.last == "" { shown.removeLast() }
    while printed.last == "" { printed.removeLast() }
    guard let first = shown.first else { return printed.isEmpty }
    if first.allSatisfy({ " .".contains($0) }) && first.hasSuffix("...") {
      return (printed.startIndex...printed.endIndex).contains {
        matches(shown.dropFirst(), printed[$0...])
      }
    }
    guard let line = printed.first else { return false }
    let isEqual =
      first == line || first.hasSuffix("...") && line.hasPrefix(first.dropLast(3))
      || first.hasPrefix("  time ") && line.hasPrefix("  time ")
    return isEqual && matches(shown.dropFirst(), printed.dropFirst())
  }
}
