import Architectures
import Diagnostics
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// What a conversion of a folder comes to.
struct EdgeOutcome {
  /// The exit status and the code of the error, or "ok".
  let status: String
  let error: Failure?
  let warnings: [Diagnostic]
  let decisions: [Decision]
  /// By the names of transformers; empty after an error.
  let tensors: [String: [Float]]

  /// The codes of the warnings.
  var codes: [String] { warnings.map(\.code.name) }

  /// The message, the file and the hint of the error.
  var text: String {
    [error?.file, error?.tensor, error?.message, error?.hint].compactMap { $0 }
      .joined(separator: " | ")
  }

  /// The decision of a name, as text.
  func decision(_ name: String) -> String? { decisions.first { $0.name == name }?.text }

  /// Whether every tensor of a model landed in its place.
  func isExactly(_ model: TestModel) -> Bool {
    let rules = GPT2Rules.table.applied(blocks: model.layers) { $0 == "output_layer.weight" }
    return !tensors.isEmpty
      && model.tensors.keys.allSatisfy { name in
        guard let target = rules.first(where: { $0.source == name })?.target,
          let expected = model.expected(name)
        else { return false }
        return tensors[GPT2().format.name(target)] == expected.values
      }
  }
}

/// Converts a folder or a file in full.
func convert(
  _ path: FilePath, _ settings: [String] = [], options: ConversionOptions = ConversionOptions(),
  tokenizer: ModelTokenizer? = nil, weights: WeightSource = .model
) throws -> EdgeOutcome {
  let world = try TemporaryFolder()
  let output = world.path.appending("out")
  do {
    let converter = try Conversion(
      of: index(path, settings, weights: weights), options: options, tokenizer: tokenizer)
    let result = try converter.run(to: output)
    let directory = try ModelDirectory(reading: output)
    var tensors: [String: [Float]] = [:]
    for name in directory.names {
      guard let tensor = directory[name] else { continue }
      let bytes = try tensor.file.file.read(
        at: tensor.start, count: tensor.declared.dataOffsets.count)
      tensors[name] = stride(from: 0, to: bytes.count, by: 4).map { place in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) })
      }
    }
    return EdgeOutcome(
      status: "ok", error: nil,
      // The weights of these worlds count up, and are none of a layernorm.
      warnings: result.warnings.filter { $0.code.name != "values/layernorm" },
      decisions: converter.plan.decisions,
      tensors: tensors)
  } catch let error as Failure {
    return EdgeOutcome(
      status: "\(error.code.kind.status) \(error.code)", error: error, warnings: [], decisions: [],
      tensors: [:])
  }
}

/// Writes a dump and converts it.
func convert(_ writer: RankWriter, _ settings: [String] = []) throws -> EdgeOutcome {
  let folder = try TemporaryFolder()
  try writer.write(to: folder)
  return try convert(folder.path, settings)
}

/// The same for a pipeline's dump.
func convert(_ writer: DumpWriter, _ settings: [String] = []) throws -> EdgeOutcome {
  let folder = try TemporaryFolder()
  try writer.write(to: folder)
  return try convert(folder.path, settings)
}
