import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Architectures
@testable import Conversion

/// Models that are made wrong in one way each, and what a report says of them.
@Suite struct ReportTests {
  private static let (layers, hidden, heads) = (6, 16, 4)

  /// A model whose layers differ, as trained ones do.
  private struct World {
    var tensors: [String: (shape: [Int], values: [Float])] = [:]

    init() {
      var random = SeededGenerator(7)
      func values(_ count: Int, _ scale: Float) -> [Float] {
        (0..<count).map { _ in Float.random(in: -1...1, using: &random) * scale }
      }
      let h = ReportTests.hidden
      // Neighbouring rows of a table that was trained are alike.
      var (row, rows) = (values(h, 0.1), [Float]())
      for _ in 0..<64 {
        row = zip(row, values(h, 0.01)).map { $0 * 0.99 + $1 }
        rows += row
      }
      tensors["wpe.weight"] = ([64, h], rows)
      tensors["wte.weight"] = ([48, h], values(48 * h, 0.1))
      for layer in 0..<ReportTests.layers {
        let block = "h.\(layer)"
        for norm in ["ln_1", "ln_2"] {
          tensors["\(block).\(norm).weight"] = ([h], values(h, 0.05).map { 1 + $0 })
          tensors["\(block).\(norm).bias"] = ([h], values(h, 0.02))
        }
        for (name, from, to) in [
          ("attn.c_attn", h, 3 * h), ("attn.c_proj", h, h), ("mlp.c_fc", h, 4 * h),
          ("mlp.c_proj", 4 * h, h),
        ] {
          tensors["\(block).\(name).weight"] = ([from, to], values(from * to, 0.1))
          tensors["\(block).\(name).bias"] = ([to], values(to, 0.02))
        }
      }
    }

    func report(_ folder: TemporaryFolder, type: String = "gpt2") throws -> ModelReport {
      let list = tensors.sorted { $0.key < $1.key }.map { name, tensor in
        SafetensorsFile.NewTensor(
          "transformer.\(name)", .f32, tensor.shape,
          tensor.values.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) }
          })
      }
      let config = #"{"model_type": "\#(type)", "n_head": 4, "n_layer": 6, "n_embd": 16}"#
      try folder.write("hf/config.json", Array(config.utf8))
      let path = folder.path.appending("hf/model.safetensors")
      try SafetensorsFile.write(list, to: path)
      return try ModelReport(folder.path.appending("hf"))
    }
  }

  private func findings(_ change: (inout World) -> Void) throws -> [ModelReport.Finding] {
    var world = World()
    change(&world)
    let folder = try TemporaryFolder()
    return try world.report(folder).findings
  }

  @Test func aModelWithNothingOddHasNoFindings() throws {
    let found = try findings { _ in }
    #expect(found.isEmpty, "\(found)")
  }

  @Test func aLayerThatIsThereTwiceIsAFact() throws {
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasPrefix("h.2.") {
        world.tensors["h.3." + name.dropFirst(4)] = tensor
      }
    }
    #expect(found.map(\.text) == ["layers 2 and 3 are equal in all tensors"])
    #expect(found.map(\.isFact) == [true])
  }

  @Test func aRankThatIsThereTwiceIsAFact() throws {
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasSuffix("mlp.c_fc.weight") {
        var values = tensor.values
        let (rows, columns) = (tensor.shape[0], tensor.shape[1])
        for row in 0..<rows {
          for column in columns / 2..<columns {
            values[row * columns + column] = values[row * columns + column - columns / 2]
          }
        }
        world.tensors[name] = (tensor.shape, values)
      }
    }
    #expect(found.first?.isFact == true)
    #expect(
      found.first?.text.hasPrefix("of 2 tensor-parallel ranks, 0 and 1 hold the same values in 6")
        == true)
  }

  @Test(arguments: QKVOrder.allCases) func aSwappedOrderIsSeenByTheKeysBias(truth: QKVOrder) throws
  {
    let (h, heads) = (ReportTests.hidden, ReportTests.heads)
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasSuffix("c_attn.bias") {
        // The output was made by thirds; the rows are stored in another order.
        let values = tensor.values.enumerated().map { column, value in
          let part = ReportFindings.part(
            column, hidden: h, heads: heads, ranks: 1, used: .thirds, stored: truth)
          return part == 1 ? value * 0.001 : value
        }
        world.tensors[name] = (tensor.shape, values)
      }
    }
    let text = found.first?.text ?? ""
    if truth == .thirds {
      #expect(found.isEmpty, "\(found)")
    } else {
      #expect(
        text.contains("if the rows were stored as \(truth.rawValue) where thirds was taken"),
        "\(text)")
    }
  }

  @Test(arguments: [0, 2]) func thirdsThatChangedPlacesAreSeen(third: Int) throws {
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasSuffix("c_attn.bias") {
        let size = tensor.values.count / 3
        let values = tensor.values.enumerated().map { column, value in
          column / size == third ? 0 : value
        }
        world.tensors[name] = (tensor.shape, values)
      }
    }
    #expect(found.count == 1 && found[0].text.contains("may have changed places"), "\(found)")
  }

  @Test func aLayerOfZerosIsAFact() throws {
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasPrefix("h.4.") && tensor.shape.count == 2 {
        world.tensors[name] = (tensor.shape, tensor.values.map { _ in 0 })
      }
    }
    #expect(found.first?.isFact == true && found[0].text.hasPrefix("all elements of h.4."))
  }

  @Test func halfOfTheVocabularyTwiceIsAFact() throws {
    let found = try findings { world in
      guard let words = world.tensors["wte.weight"] else { return }
      let half = Array(words.values.prefix(words.values.count / 2))
      world.tensors["wte.weight"] = (words.shape, half + half)
    }
    #expect(found.first?.isFact == true && found[0].text.contains("hold the same values in 1 of"))
  }

  @Test func valuesThatAreNotFiniteAreAFact() throws {
    let found = try findings { world in
      world.tensors["h.1.mlp.c_fc.weight"]?.values[5] = .nan
      world.tensors["h.1.mlp.c_fc.weight"]?.values[9] = .infinity
    }
    #expect(found.map(\.text) == ["2 elements of h.1.mlp.c_fc.weight are not finite"])
  }

  @Test func positionsThatWereNeverTrainedAreSeen() throws {
    var random = SeededGenerator(3)
    let found = try findings { world in
      let h = ReportTests.hidden
      for index in 40 * h..<64 * h {
        world.tensors["wpe.weight"]?.values[index] = Float.random(in: -0.1...0.1, using: &random)
      }
    }
    #expect(found.first?.text.contains("positions from about ") == true, "\(found)")
  }

  @Test func aLayerOfAnotherRunIsWorthALook() throws {
    let found = try findings { world in
      for (name, tensor) in world.tensors where name.hasPrefix("h.3.") && tensor.shape.count == 2 {
        world.tensors[name] = (tensor.shape, tensor.values.map { $0 * 3.1 })
      }
    }
    #expect(found.count == 1 && found[0].text.contains("the deviation of h.3."), "\(found)")
  }

  @Test func aPageHasNoScriptAndNoOutsideAddress() throws {
    let folder = try TemporaryFolder()
    let page = try World().report(folder).html
    for word in ["<script", "src=", "@import", "url(h"] { #expect(!page.contains(word)) }
    let addresses = page.matches(of: /https?:[^" ]*/).map { String($0.0) }
    #expect(Set(addresses).isSubset(of: ["http://www.w3.org/2000/svg"]))
    #expect(page.utf8.count < 1_000_000)
  }

  @Test func aTypeWithMarkupOrControlCharactersStaysText() throws {
    let folder = try TemporaryFolder()
    let page = try World().report(folder, type: #"<b>&\u001b\"x"#).html
    #expect(page.contains("<title>&lt;b&gt;&amp; &quot;x"))
    #expect(!page.contains("<b>") && !page.contains("\u{1b}"))
  }
}
