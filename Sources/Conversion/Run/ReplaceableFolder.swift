import ByteIO
import Diagnostics
import HuggingFace
import JSON
import Safetensors
import SystemPackage

/// What may be replaced by an OUTPUT: a folder that is empty, and with `--overwrite` one that a
/// conversion made or that is plainly a model. Anything else in it is somebody's, and is never
/// removed.
enum ReplaceableFolder {
  /// Makes sure that OUTPUT may be made in the place of `path`.
  ///
  /// - Throws: `Failure` 73, naming the first file that is not part of a model.
  static func check(_ path: FilePath, overwrite: Bool) throws(Failure) {
    guard FileSystem.exists(path) else { return }
    let names: [String]
    do {
      names = try FileSystem.list(path).map(\.string)
    } catch {
      throw Failure(writing: error, creating: error.code != .failed)
    }
    if names.isEmpty { return }
    let found: (name: String, why: String)?
    do {
      found = try foreign(in: path, names)
    } catch {
      throw Failure(writing: error, creating: error.code != .failed)
    }
    if let (name, why) = found {
      throw Failure(
        .outputForeignFile,
        "it exists and holds \"\(name)\", \(why), so it is not replaced", file: path.string,
        hint: "choose another OUTPUT, or move \"\(name)\" away")
    }
    guard overwrite else {
      throw Failure(
        .outputExists, "it exists already", file: path.string,
        hint: "--overwrite replaces it once the new one is complete")
    }
  }

  /// The first thing in a folder that is not part of a model that could be made again, and why it
  /// is not; `nil` for a folder that may be replaced.
  static func foreign(
    in path: FilePath, _ names: [String]
  ) throws(FileError) -> (name: String, why: String)? {
    let manifestPath = path.appending(OutputTransaction.manifestName)
    if let manifest = try? ConversionManifest(reading: manifestPath) {
      return try foreign(in: path, names, manifest, manifestPath)
    }
    if let name = names.first(where: { !isOfModel($0) }) {
      return (name, "which is not part of a model")
    }
    for name in names {
      guard try isFile(path.appending(name)) else { return (name, "which is not a regular file") }
    }
    let weights = names.filter { $0.hasSuffix(".safetensors") }
    guard names.contains("config.json"), !weights.isEmpty else {
      return (names[0], "but not both a config.json and the safetensors of a model")
    }
    guard try isConfiguration(path.appending("config.json")) else {
      return ("config.json", "which is not that of a model")
    }
    for name in weights {
      do {
        _ = try SafetensorsFile(opening: path.appending(name))
      } catch let error as FileError {
        throw error
      } catch {
        return (name, "which is not a file of weights")
      }
    }
    return nil
  }

  /// Whether a file says which model it configures.
  private static func isConfiguration(_ path: FilePath) throws(FileError) -> Bool {
    let file = try InputFile(opening: path)
    guard file.size <= 1 << 24 else { return false }
    let bytes = try file.read(at: 0, count: file.size)
    let config = (try? JSONFile.parse(bytes, path))?.object
    return config?["model_type"] != nil || config?["architectures"] != nil
  }

  private static func foreign(
    in path: FilePath, _ names: [String], _ manifest: ConversionManifest, _ manifestPath: FilePath
  ) throws(FileError) -> (name: String, why: String)? {
    let made = FileSystem.identity(of: manifestPath)?.modified ?? 0
    for name in names where name != OutputTransaction.manifestName && name != "SHA256SUMS" {
      let file = path.appending(name)
      guard let output = manifest.outputs.first(where: { $0.name == name }) else {
        return (name, "which no conversion made")
      }
      guard try isFile(file), let identity = FileSystem.identity(of: file) else {
        return (name, "which is not a regular file")
      }
      guard identity.size == output.size else {
        return (name, "which was changed since the conversion")
      }
      // What was written since the manifest, by another tool or by a copy, is compared with it.
      // Without a checksum to compare with, it counts as changed.
      if identity.modified > made {
        guard let crc = output.crc, (try? FileDigest.crc32(file)) == crc else {
          return (name, "which was changed since the conversion")
        }
      } else if let crc = output.crc, identity.size < 1 << 20 {
        guard (try? FileDigest.crc32(file)) == crc else {
          return (name, "which was changed since the conversion")
        }
      }
    }
    return nil
  }

  /// Whether nothing but a model is in a folder.
  static func isReplaceable(_ path: FilePath) -> Bool { names(path) != nil }

  /// The names in a folder in which nothing but a model is; `nil` for any other.
  static func names(_ path: FilePath) -> [String]? {
    guard let names = try? FileSystem.list(path).map(\.string) else { return nil }
    if names.isEmpty { return names }
    let found = Result { () throws(FileError) in try foreign(in: path, names) }
    guard case .success(nil) = found else { return nil }
    return names
  }

  /// Removes a folder that was replaced, if nothing but a model is in it.
  static func remove(_ path: FilePath) {
    if let names = names(path) { remove(path, names) }
  }

  /// Removes the files that were looked at, and the folder if nothing has come to them since.
  static func remove(_ path: FilePath, _ names: [String]) {
    for name in names { try? FileSystem.removeFile(path.appending(name)) }
    try? FileSystem.removeEmptyFolder(path)
  }

  private static func isFile(_ path: FilePath) throws(FileError) -> Bool {
    try FileSystem.kind(of: path) == .file && !FileSystem.isLink(path)
  }

  /// Files that transformers and the Hub put into a model's folder.
  private static func isOfModel(_ name: String) -> Bool {
    let known: Set<String> = [
      "config.json", "generation_config.json", "model.safetensors.index.json", ".gitattributes",
    ]
    return known.contains(name) || name.hasSuffix(".safetensors")
      || ModelTokenizer.keptNames.contains(name)
  }
}
