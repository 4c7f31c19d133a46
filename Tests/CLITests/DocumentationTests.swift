import SystemPackage
import TestSupport
import Testing

/// What the documentation promises, compared with the sources.
@Suite struct DocumentationTests {
  private let root = FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent()

  private func text(_ name: String) throws -> String {
    String(decoding: try bytes(of: root.appending(name)), as: UTF8.self)
  }

  private func sources(_ folder: String) throws -> [String] {
    try contents(root.appending(folder)).flatMap { name -> [String] in
      if name.hasSuffix(".swift") { return [try text("\(folder)/\(name)")] }
      return name.contains(".") ? [] : try sources("\(folder)/\(name)")
    }
  }

  @Test func everyCodeIsInTheTableAndTheTableHasNoOther() throws {
    let documented = Set(
      try text("docs/errors.md").matches(of: /`([a-z]+\/[a-z0-9-]+)`/).map { String($0.1) })
    let areas = Set(documented.compactMap { $0.split(separator: "/").first })
    var codes: Set<String> = []
    for source in try sources("Sources") {
      for match in source.matches(of: /"([a-z]+)\/([a-z0-9-]+)"/) where areas.contains(match.1) {
        codes.insert("\(match.1)/\(match.2)")
      }
      // The refusals leave the area out.
      for match in source.matches(
        of: /(?:refuse\(\s*|^ +\("[a-z_.0-9]+", +)"([a-z-]+)"/.anchorsMatchLineEndings())
      {
        codes.insert("model/\(match.1)")
      }
      for match in source.matches(of: /\.model\("([a-z-]+)"\)/) { codes.insert("model/\(match.1)") }
      // Rules about arguments, and parts of the names of tensors.
      for match in source.matches(of: /Rule\(\s*"([a-z-]+)",|"\], "([a-z-]+)",/) {
        codes.insert("model/\(match.1 ?? match.2 ?? "")")
      }
      for match in source.matches(of: /\["[a-z_.]+"(?:, "[a-z_.]+")*\], "([a-z-]+)"/) {
        codes.insert("model/\(match.1)")
      }
    }
    #expect(codes.count > 150)
    #expect(codes.subtracting(documented).sorted() == [])
    #expect(documented.subtracting(codes).sorted() == [])
  }

  @Test func everyLimitIsInTheDocumentation() throws {
    let help = try meg2hf(["inspect", "--help"]).output
    #expect(help.contains("--limits"))
    let table = try text("docs/errors.md")
    for name in [
      "opcodes", "nodes", "containers", "items", "stack", "memo", "integer-bytes", "string-bytes",
      "entries", "pickle-bytes", "inflation-ratio", "names", "depth", "expansion",
    ] {
      #expect(table.contains(name), "\(name)")
      #expect(
        try meg2hf(["inspect", fixture("torch/small.pt").string, "--limits", "\(name)=100000000"])
          .status == 0, "\(name)")
    }
  }
}
