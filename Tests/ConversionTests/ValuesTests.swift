import ByteIO
import JSON
import Safetensors
import SystemPackage
import TestSupport
import Testing

@testable import Conversion
@testable import HuggingFace

/// The checksum of each tensor in the manifest, which proves values without the source.
@Suite struct ValuesTests {
  /// A converted dump, of which the source may be gone.
  private func output(
    _ options: ConversionOptions = ConversionOptions(), run: RunOptions = RunOptions(),
    parts: Int? = nil
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    var writer = DumpWriter()
    writer.ranks = 2
    try writer.write(to: folder)
    let converter = try Conversion(of: index(folder.path), options: options)
    let output = folder.path.appending("out")
    if let parts {
      for number in 1...parts {
        let part = try #require(WorkShare("\(number)/\(parts)"))
        _ = try converter.run(to: output, options: RunOptions(work: .part(part)))
      }
      _ = try converter.run(to: output, options: RunOptions(work: .finish))
    } else {
      _ = try converter.run(to: output, options: run)
    }
    return folder
  }

  private func check(_ folder: TemporaryFolder) throws -> (ModelVerifier, ModelVerifier.Values) {
    var verifier = try ModelVerifier(output: folder.path.appending("out"))
    let values = try verifier.checkValues(threads: 2)
    return (verifier, values)
  }

  @Test func everyTensorHasAChecksumThatAgrees() throws {
    var wide = ConversionOptions()
    wide.dtype = .f16
    wide.maximumShardSize = 1500
    for folder in [
      try output(), try output(wide), try output(wide, run: RunOptions(jobs: 4)),
      try output(wide, parts: 3),
    ] {
      let (verifier, values) = try check(folder)
      #expect(verifier.faults.isEmpty)
      #expect(values.verified == verifier.directory.count)
      #expect(values.notRecorded == 0)
      // The checksums are those that anyone computes.
      let manifest = try #require(verifier.manifest)
      for name in verifier.directory.names {
        let tensor = try #require(verifier.directory[name])
        let bytes = try tensor.file.file.read(
          at: tensor.start, count: tensor.declared.dataOffsets.count)
        #expect(manifest.checksums[name] == CRC32.checksum(bytes), "\(name)")
      }
      for output in manifest.outputs {
        let file = try bytes(of: folder.path.appending("out").appending(output.name))
        #expect(output.crc == CRC32.checksum(file), "\(output.name)")
      }
    }
  }

  @Test func aFlippedBitIsNamedByItsTensor() throws {
    let folder = try output()
    let path = folder.path.appending("out/model.safetensors")
    let original = try bytes(of: path)
    let start = try SafetensorsFile(opening: path).dataStart
    let header = try SafetensorsFile(opening: path).header
    for tensor in header.tensors {
      var file = original
      file[start + tensor.dataOffsets.lowerBound + tensor.dataOffsets.count / 2] ^= 0x10
      try folder.write("out/model.safetensors", file)
      let (verifier, values) = try check(folder)
      #expect(verifier.faults.map(\.tensor) == [tensor.name])
      #expect(verifier.faults.map(\.code.name) == ["output/values"])
      #expect(values.verified == header.tensors.count - 1)
    }
  }

  @Test func smallFilesThatChangedAreSaid() throws {
    let folder = try output()
    var config = try bytes(of: folder.path.appending("out/config.json"))
    let place = try #require(config.firstIndex(of: UInt8(ascii: "4")))
    config[place] = UInt8(ascii: "4") ^ 1
    try folder.write("out/config.json", config)
    #expect(try check(folder).0.faults.map(\.file).contains("config.json"))
  }

  @Test func anOutputOfTheFirstVersionHasNone() throws {
    let folder = try output()
    let path = folder.path.appending("out/conversion_manifest.json")
    var object = try #require(try JSONFile.read(path).object)
    object["schema"] = "meg2hf.manifest/1"
    object["decisions"] = ["qkv_layout": "heads-3-hn"]
    object["tensors"] = []
    try folder.write(
      "out/conversion_manifest.json", Array(JSONWriter.text(.object(object), .indented).utf8))
    var (verifier, values) = try check(folder)
    #expect(verifier.faults.isEmpty)
    #expect(values.verified == 0)
    #expect(values.notRecorded == verifier.directory.count)
    _ = try verifier.compare(with: index(folder.path))
    #expect(verifier.faults.isEmpty)
  }
}
