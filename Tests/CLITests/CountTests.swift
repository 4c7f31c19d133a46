import Foundation
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

/// What a conversion costs, in figures that do not wobble: bytes, calls and memory.
@Suite struct CountTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try compileLibrary("counts.c", to: folder.path.appending("counts.so"))
  }

  private struct Counts {
    let reads: Int
    let readBytes: Int
    let writes: Int
    let writtenBytes: Int
  }

  private func convert(_ dump: FilePath, _ more: [String] = []) throws -> (
    counts: Counts, memory: Int
  ) {
    let out = folder.path.appending("out")
    try? remove(out)
    let outcome = try meg2hf(
      ["convert", dump.string, out.string, "--json", "-q"] + more, in: folder.path,
      shell: """
        export COUNT_IN='\(dump.string)' COUNT_OUT='\(folder.path.string)' COUNT_TO=counts
        export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0
        LD_PRELOAD=./counts.so exec "$@"
        """)
    try #require(outcome.status == 0, "\(outcome.errors)")
    let numbers = String(decoding: try bytes(of: folder.path.appending("counts")), as: UTF8.self)
      .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    try #require(numbers.count == 4)
    let memory = try JSONParser.parse(outcome.output.utf8).object?["peak_resident_bytes"]?.int
    return (
      Counts(
        reads: numbers[0], readBytes: numbers[1], writes: numbers[2], writtenBytes: numbers[3]),
      try #require(memory)
    )
  }

  private func size(_ folder: FilePath, _ isIncluded: (String) -> Bool = { _ in true }) throws
    -> Int
  {
    try contents(folder).filter(isIncluded).reduce(0) {
      try $0 + bytes(of: folder.appending($1)).count
    }
  }

  @Test(arguments: ["bs_tp2pp2dp1_bf16", "ds_tp2pp2dp1_fp16_z1_tpdiverged", "bs_tp1pp1_fp16_z1"])
  func everyByteIsReadOnceAndWrittenOnce(name: String) throws {
    let dump = fixture("dumps/\(name)/ckpt")
    let step = try #require(try contents(dump).first { $0.hasPrefix("global_step") })
    let (counts, memory) = try convert(dump)
    // The optimizer's files are not looked into; of the others each byte is read at most once, but
    // for the first ones, and for the last 64 KiB, in which the end of an archive is looked for.
    let files = try contents(dump.appending(step)).filter { !$0.contains("optim_states") }
    let sizes = try files.map { try bytes(of: dump.appending(step).appending($0)).count }
    #expect(counts.readBytes <= sizes.reduce(0) { $0 + $1 + min($1, 66_000) + 2048 })
    #expect(try counts.writtenBytes == size(folder.path.appending("out")))
    // Small dumps have small tensors; each takes one write, or one for each of its parts.
    #expect(counts.writes < 200, "\(counts.writes)")
    #expect(counts.reads < files.count * 70, "\(counts.reads) of \(files.count) files")
    #expect(memory < 64_000_000)
  }

  @Test(arguments: [1, 2])
  func callsGrowWithTheMegabytesAndNotWithTheRows(ranks: Int) throws {
    var writer = DumpWriter(
      TestModel(layers: 1, hidden: 256, heads: 4, feedForward: 1024, vocabulary: 64, positions: 8))
    writer.ranks = ranks
    let dumps = try TemporaryFolder()
    try writer.write(to: dumps)
    let (counts, _) = try convert(dumps.path)
    let megabytes = (counts.writtenBytes + 1_000_000) / 1_000_000
    #expect(megabytes > 3)
    // Half a megabyte a call at most, and a few calls for each tensor and file; there are 1,536
    // rows.
    #expect(counts.reads < 12 * megabytes + 80 * ranks, "\(counts.reads)")
    #expect(counts.writes < 12 * megabytes + 30, "\(counts.writes)")
  }

  @Test func filesThatAreToBeTakenUpAreReadOnceMore() throws {
    let dump = fixture("dumps/bs_tp2pp2dp1_bf16/ckpt")
    let whole = try convert(dump).counts
    let parts = try convert(dump, ["--max-shard-size", "20KB"]).counts
    #expect(parts.readBytes == whole.readBytes)
    // The records besides, which go again.
    #expect(parts.writtenBytes < whole.writtenBytes + 100_000)
  }
}
