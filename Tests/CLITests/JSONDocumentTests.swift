import Foundation
import JSON
import SystemPackage
import TestSupport
import Testing

/// The tables of `docs/json.md`, compared with what is printed.
@Suite struct JSONDocumentTests {
  private let root = FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent()

  /// The fields of a table, and whether they are there in some cases only.
  private typealias Table = [String: Bool]

  /// The tables by the titles above them.
  private func tables() throws -> [String: Table] {
    let text = String(decoding: try bytes(of: root.appending("docs/json.md")), as: UTF8.self)
    var result: [String: Table] = [:]
    var title = ""
    for line in text.split(separator: "\n") {
      if line.hasPrefix("## ") { title = String(line.dropFirst(3)).replacing("`", with: "") }
      guard let row = line.wholeMatch(of: /\| `([^`]+)` \|[^|]*\|(.*)\|/) else { continue }
      #expect(result[title]?[String(row.1)] == nil, "\(title): \(row.1) is there twice")
      result[title, default: [:]][String(row.1)] = row.2.contains("only ")
    }
    return result
  }

  /// All fields of a value, as the tables write them; those of free keys as `KEY`.
  private func fields(_ value: Any, _ path: String, _ result: inout Set<String>) {
    if let object = value as? [String: Any] {
      for (key, member) in object {
        let isFree = [
          "arguments", "options.set", "runs", "runs.KEY.scalars", "records.script.options",
        ].contains(path)
        let place = path.isEmpty ? key : "\(path).\(isFree ? "KEY" : key)"
        // What is decided or set may be anything.
        if !["runs", "runs.KEY.scalars", "records.script.options"].contains(path),
          isFree || place == "decisions[].value"
        {
          result.insert(place)
        } else {
          fields(member, place, &result)
        }
      }
    } else if let array = value as? [Any] {
      for element in array { fields(element, path + "[]", &result) }
    } else {
      result.insert(path)
    }
  }

  /// Documents of every form: of conversions that go well, go badly, and go on.
  private func documents(in folder: TemporaryFolder) throws -> [String] {
    let dump = fixture("dumps/bs_tp2pp2dp1_bf16/ckpt").string
    let other = fixture("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt").string
    let bloom = fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt").string
    let (output, second) = (folder.path.appending("a").string, folder.path.appending("b").string)
    try folder.write("list", Array("\(dump)\t\(output).batch\n/nowhere\t\(second)\n".utf8))
    let list = folder.path.appending("list").string
    try folder.write(
      "c/model.safetensors", Array(try bytes(of: fixture("torch/small.pt")).prefix(100)))
    var odd = RankWriter()
    odd.arguments["of_a_fork"] = { $0.int(1) }
    odd.extras = { pickle in
      pickle.string("language_model.encoder.layers.0.self_attention._extra_state")
      pickle.tensor("ByteStorage", key: "x", count: 4, offset: 0, sizes: [4], strides: [1])
      return [("x", [1, 2, 3, 4])]
    }
    try odd.write(to: folder, at: "odd")
    let tokens = fixture("dumps/bs_tp2pp2dp1_bf16/truth/tokens.json").string
    let runs: [[String]] = [
      ["convert", dump, output, "--sha256", "--set", "layernorm_epsilon=1e-5"],
      ["convert", other, second, "--sample", "Hi", "--tokenizer", fixture("tokenizer").string],
      ["convert", "/nowhere", "x"], ["plan", dump],
      ["plan", other, second, "--weights", "fp32-master"],
      ["inspect", dump, "--check", "--sha256"],
      ["inspect", fixture("dumps/mcore020_tp2pp2_bf16/ckpt").string],
      ["inspect", other], ["inspect", folder.path.appending("odd").string],
      ["inspect", bloom, "--set", "num_experts=2"],
      ["inspect", fixture("torch/small.pt").string, "--sha256"],
      ["inspect", output, "--sha256"], ["verify", output, "--sha256"],
      ["verify", output, "--against", dump], ["verify", output, "--against", other],
      ["report", output], ["report", second], ["diff", output, second], ["--version"],
      ["batch", list],
      ["batch", list, "--status"],
      ["convert", "--nope"], ["tokenize", fixture("tokenizer").string, "Hello"],
      ["generate", output, "--ids", "1,2,3", "--max-new-tokens", "3", "--top", "2"],
      ["loss", output, "--tokens", tokens],
      ["loss", dump, "--tokens", tokens, "--qkv-layout", "each"],
      ["convert", dump, output + ".proven", "--prove", tokens],
      [
        "convert", dump, output + ".recorded", "--training-script",
        fixture("launch/1_slurm_single_quotes/train.slurm").string, "--training-logs",
        fixture("logs/for_bs_tp2pp2dp1_bf16").string,
      ], ["plan", dump, "--training-logs", fixture("logs/for_bs_tp2pp2dp1_bf16").string],
      [
        "plan", dump, "--training-script",
        fixture("launch/1_slurm_single_quotes/train.slurm").string,
      ],
      ["verify", output, "--against", dump, "--forward", "--ids", "1,2"],
      ["inspect", fixture("logs/for_bs_tp2pp2dp1_bf16").string, "--points"],
      ["inspect", fixture("logs/flipped_payload").string],
      ["inspect", fixture("launch/7_unknown_values/try.sh").string],
      ["inspect", fixture("launch/6_resubmit_wrapper/submit.sh").string],
    ]
    var documents = try runs.flatMap { arguments in
      try meg2hf(arguments + ["--json"]).output.split(separator: "\n\n").map(String.init)
    }
    for path in [output, second, output + ".recorded"] {
      let manifest = FilePath(path).appending("conversion_manifest.json")
      documents.append(String(decoding: try bytes(of: manifest), as: UTF8.self))
    }
    return documents
  }

  @Test func everyFieldThatIsPrintedIsDescribedAndTheOtherWayRound() throws {
    let tables = try tables()
    let folder = try TemporaryFolder()
    let shared = (tables["All documents"] ?? [:]).merging(
      tables["Parts of several documents"] ?? [:]
    ) {
      $0 || $1
    }
    #expect(shared.count > 40)
    var printed: [String: Set<String>] = [:]
    for document in try documents(in: folder) {
      // `batch` prints a document on each line.
      let whole = try? JSONSerialization.jsonObject(with: Data(document.utf8))
      let values =
        try whole.map { [$0] }
        ?? document.split(separator: "\n").map {
          try JSONSerialization.jsonObject(with: Data($0.utf8))
        }
      for value in values {
        let schema = try #require((value as? [String: Any])?["schema"] as? String)
        fields(value, "", &printed[schema, default: []])
      }
    }
    let forms = Set(tables.keys).filter { $0.hasPrefix("meg2hf.") }
    #expect(Set(printed.keys).subtracting(["meg2hf.usage/1"]) == forms)
    var seen: Set<String> = []
    for (schema, fields) in printed {
      let table = tables[schema] ?? [:]
      #expect(
        fields.subtracting(table.keys).subtracting(shared.keys).sorted() == [],
        "\(schema): not described"
      )
      let always = table.filter { !$0.value }.keys
      #expect(Set(always).subtracting(fields).sorted() == [], "\(schema): not printed")
      seen.formUnion(fields)
    }
    #expect(Set(shared.keys).subtracting(seen).sorted() == [], "not printed by any")
  }
}
