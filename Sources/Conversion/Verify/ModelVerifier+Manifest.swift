import ByteIO
public import Diagnostics
public import HuggingFace
public import SystemPackage

extension ModelVerifier {
  /// Checks a directory as whatever it is, and what a conversion wrote down about it, if one did.
  ///
  /// - Throws: `Failure` 66 when there is no output.
  public init(output path: FilePath) throws(Failure) {
    try self.init(path)
    if directory.isFolder { checkManifest(path) }
  }

  /// What the conversion that made the output wrote down, if it did.
  public var manifest: ConversionManifest? {
    let path = directory.path.appending(OutputTransaction.manifestName)
    return FileSystem.exists(path) ? try? ConversionManifest(reading: path) : nil
  }

  /// What was checked, in a few words each.
  public var allRules: [String] { rules + (manifest == nil ? [] : ["manifest"]) }

  /// The sizes that the manifest of a conversion states.
  private mutating func checkManifest(_ path: FilePath) {
    let manifestPath = path.appending(OutputTransaction.manifestName)
    guard FileSystem.exists(manifestPath) else { return }
    do {
      let manifest = try ConversionManifest(reading: manifestPath)
      for output in manifest.outputs {
        let file = path.appending(output.name)
        guard let found = FileSystem.identity(of: file)?.size else {
          fault(
            .outputMissingFile, "the manifest names it, but it is not there", file: output.name)
          continue
        }
        let isWeights = output.name.hasSuffix(".safetensors")
        let isNeeded = isWeights || output.name == "config.json"
        if found != output.size, isNeeded {
          fault(
            .outputFileSize, "it has \(found) bytes; the manifest says \(output.size)",
            file: output.name)
        } else if found != output.size
          || !isWeights && output.crc != nil && (try? FileDigest.crc32(file)) != output.crc
        {
          if isNeeded {
            fault(
              .outputValues, "its bytes are not those that were written", file: output.name)
          } else {
            note(.outputFileSize, "it was changed since the conversion", file: output.name)
          }
        }
      }
    } catch {
      fault(error.code, error.message, file: OutputTransaction.manifestName)
    }
  }
}
