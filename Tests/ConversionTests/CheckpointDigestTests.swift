import TestSupport
import Testing

@testable import Conversion
@testable import Megatron

/// `inspect --sha256` against the digests of what the live model held.
@Suite struct CheckpointDigestTests {
  /// In one file lie many archives, each with a storage 0: a reader that went by that name gave all
  /// tensors the digest of the first. The rows of query, key and value are stored in another order.
  @Test(arguments: ["mcore020_tp2pp2_bf16", "mcore020_tp2_fp32_te_ln1p", "dcp_safetensors2"])
  func tensorsOfOneFileHaveDigestsOfTheirOwn(dump: String) throws {
    let settings = dump.hasPrefix("dcp") ? ["num_attention_heads=4"] : []
    let checkpoint = try index(fixture("dumps/\(dump)/ckpt"), settings)
    let digests = try CheckpointDigests(checkpoint, crc: .all).byTensor
    let trained = try expectedDigests(dump).values.compactMap { $0.split(separator: " ").last }
    let found = Set(digests.values.joined())
    let known = Set(trained.map(String.init))
    // Biases are the same on both sides, but for those of query, key and value.
    let biases = digests.filter { $0.key.hasSuffix(".bias") && !$0.key.contains("query_key") }
    #expect(biases.count >= 20)
    for (name, shards) in biases {
      #expect(known.contains(try #require(shards.first)), "\(name)")
    }
    #expect(found.count >= 40)
  }
}
