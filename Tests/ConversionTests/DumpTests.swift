import Architectures
import ByteIO
import Diagnostics
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace
@testable import Megatron

/// The tensors of a converted folder: type, shape, digest.
func digests(_ folder: FilePath) throws -> [String: String] {
  var result: [String: String] = [:]
  let directory = try ModelDirectory(reading: folder)
  for name in directory.names {
    guard let tensor = directory[name] else { continue }
    let bytes = try tensor.file.file.read(
      at: tensor.start, count: tensor.declared.dataOffsets.count)
    var hasher = SHA256Hasher()
    hasher.update(bytes)
    result[name] =
      "\(tensor.declared.dtype.rawValue) \(tensor.declared.shape) \(hasher.hexDigest())"
  }
  return result
}

/// What `truth/expected.json` of a genuine dump asks for.
func expectedDigests(
  _ dump: String, _ name: String = "expected.json"
) throws -> [String: String] {
  let json = try JSONParser.parse(bytes(of: fixture("dumps/\(dump)/truth/\(name)")))
  var result: [String: String] = [:]
  for value in json.object?["tensors"]?.array ?? [] {
    guard let object = value.object, let name = object["name"]?.string else { continue }
    let shape = object["shape"]?.array?.compactMap(\.int) ?? []
    result[name] =
      "\(object["dtype"]?.string ?? "") \(shape) \(object["sha256"]?.string ?? "")"
  }
  return result
}

func index(
  _ folder: FilePath, _ settings: [String] = [], weights: WeightSource = .model
) throws -> Checkpoint {
  var overrides = ArgumentOverrides(architectures: KnownArchitectures.argumentKeys)
  for setting in settings { try overrides.add(setting: setting) }
  return try Checkpoint(
    reading: CheckpointFolder(scanning: folder), overrides: overrides, weights: weights)
}

extension Checkpoint {
  /// The same checkpoint with some of its facts changed.
  func changed(_ change: (inout CheckpointBuilder) -> Void) -> Checkpoint {
    var builder = CheckpointBuilder(self)
    change(&builder)
    return Checkpoint(builder, tensors: builder.tensors, trained: trained)
  }
}

extension Planner {
  /// The plan of a checkpoint.
  static func plan(
    _ index: Checkpoint, options: ConversionOptions = ConversionOptions()
  ) throws(Failure) -> ConversionPlan {
    try plan(Recognition(index, options: options), options: options)
  }
}

/// What a body throws, as the code of the error and its exit status.
func failure(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "none"
  } catch let error as Failure {
    return "\(error.code.kind.status) \(error.code)"
  } catch {
    return "\(error)"
  }
}

@Suite struct GenuineDumpTests {
  static let dumps = [
    "bs_tp1pp1_fp16_z1", "bs_tp2pp2dp1_bf16", "bs_tp2pp2dp1_fp32_z1",
    "ds_tp2pp2dp1_fp16_z1_tpdiverged", "ds_tp2pp2dp2_fp16_z1", "dsold_tp1pp1_bf16_z1",
    "bs_classic_tp2_fp16", "ds_nopp_tp2dp2_fp16_z2", "mlm_d763_tp2_fp32_ckptv1",
    "mlm_v1_0_tp1_fp32_ckptv0", "mlm_v2_4_tp2pp2_fp32_ckptv3", "ds_tp2pp2dp1_fp16_z1_universal",
  ]

  @Test(arguments: dumps)
  func aGenuineDumpGivesTheTensorsOfTheLiveModel(dump: String) throws {
    let folder = try TemporaryFolder()
    let output = folder.path.appending("out")
    let converter = try Conversion(of: index(fixture("dumps/\(dump)/ckpt")))
    let result = try converter.run(to: output)
    #expect(result.outcome == .created)
    #expect(result.report.bytesRead == converter.plan.sourceBytes, "every byte is read once")
    // The storage of a universal embedding still has the rows that were cut off, which are few.
    #expect(result.report.crcPartlyRead == 0)
    let expected = try expectedDigests(dump)
    #expect(expected.count == 52)
    #expect(try digests(output) == expected)
    // Nothing is left over next to the output.
    #expect(try folder.names() == ["out"])
  }

  @Test(arguments: [
    "bs_tp1pp1_fp16_z1", "bs_tp2pp2dp1_bf16", "ds_tp2pp2dp2_fp16_z1", "ds_nopp_tp2dp2_fp16_z2",
  ])
  func theMastersOfAGenuineDumpAreThoseOfTheLiveModel(dump: String) throws {
    let folder = try TemporaryFolder()
    let output = folder.path.appending("out")
    let converter = try Conversion(of: index(fixture("dumps/\(dump)/ckpt"), weights: .fp32Master))
    let result = try converter.run(to: output)
    #expect(result.report.bytesRead == converter.plan.sourceBytes, "every byte is read once")
    #expect(try digests(output) == expectedDigests(dump, "expected_fp32.json"))
    // Rounded, the masters are the weights.
    #expect(!result.warnings.contains { $0.code.name == "masters/differ" })
    let comparison = try #require(try converter.compareMasters())
    #expect(comparison.compared == 52)
    #expect(comparison.differing.isEmpty)
    var verifier = try ModelVerifier(output: output)
    _ = try verifier.compare(with: converter.index)
    #expect(verifier.faults.isEmpty)
  }

  @Test func aBLOOMOfRotaryPositionsIsRefusedByNameAndLeavesNothing() throws {
    let folder = try TemporaryFolder()
    let index = try index(
      fixture("dumps/bs_bloom_tp2pp2_bf16/ckpt"), ["position_embedding_type=rotary"])
    #expect(failure { _ = try Conversion(of: index) } == "69 model/residual")
    let inspection = try CheckpointInspection(index, options: ConversionOptions())
    #expect(inspection.plan == nil)
    #expect(
      Set(inspection.reasons.map(\.code.name)).isSuperset(
        of: ["model/embedding-layernorm", "model/residual"]))
    #expect(try folder.names().isEmpty)
  }

  @Test func replicasThatDifferAreReportedAndMerged() throws {
    let index = try index(fixture("dumps/ds_tp2pp2dp1_fp16_z1_tpdiverged/ckpt"))
    let folder = try TemporaryFolder()
    let mean = try Conversion(of: index).run(to: folder.path.appending("mean"))
    #expect(mean.warnings.filter { $0.code.name == "replicas/differ" }.count == 17)
    var options = ConversionOptions()
    options.replicas = .rank0
    let first = try Conversion(of: index, options: options).run(to: folder.path.appending("rank0"))
    #expect(first.warnings.filter { $0.code.name == "replicas/differ" }.count == 17)
    let (a, b) = (
      try digests(folder.path.appending("mean")), try digests(folder.path.appending("rank0"))
    )
    #expect(a.filter { b[$0.key] != $0.value }.count == 17)
    options.replicas = .strict
    let strict = try Conversion(of: index, options: options)
    #expect(
      failure { _ = try strict.run(to: folder.path.appending("strict")) } == "65 replicas/differ")
    #expect(try folder.names() == ["mean", "rank0"])
  }
}
