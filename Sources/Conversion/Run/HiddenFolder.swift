import ByteIO
import HuggingFace
import Safetensors
import SystemPackage

/// The removal of hidden folders. What a conversion writes there is removed by its name; anything
/// else is somebody's and stays, with the folder that it is in.
enum HiddenFolder {
  /// Where the files of OUTPUT come together inside of the folder that was taken. What another
  /// process was about to put into the hidden folder lands next to it. After an exchange the old
  /// OUTPUT is there.
  static let gathered = ".output"

  /// Removes a hidden folder with what a conversion wrote there.
  static func remove(_ folder: FilePath) {
    for name in (try? FileSystem.list(folder))?.map(\.string) ?? [] {
      let path = folder.appending(name)
      if name == gathered { removeGathered(path) } else { removeOwn(name, path) }
    }
    try? FileSystem.removeEmptyFolder(folder)
  }

  /// An old OUTPUT may have been changed since it was looked at.
  private static func removeGathered(_ folder: FilePath) {
    guard FileSystem.isOwnFolder(folder) else { return }
    if FileSystem.exists(folder.appending(OutputTransaction.manifestName)) {
      return ReplaceableFolder.remove(folder)
    }
    for name in (try? FileSystem.list(folder))?.map(\.string) ?? [] {
      removeOwn(name, folder.appending(name))
    }
    try? FileSystem.removeEmptyFolder(folder)
  }

  private static func removeOwn(_ name: String, _ path: FilePath) {
    guard isOwn(name), FileSystem.isRegularFile(path) else { return }
    try? FileSystem.removeFile(path)
  }

  /// Whether something is in a hidden folder that no conversion wrote, or may have been changed
  /// since.
  static func holdsForeign(_ folder: FilePath) -> Bool {
    ((try? FileSystem.list(folder)) ?? []).contains { !isOwn($0.string) }
  }

  /// Whether a process was stopped in the moment between the exchange and the end: the folder holds
  /// an OUTPUT of another conversion.
  static func holdsOldOutput(_ folder: FilePath, _ fingerprint: String) -> Bool {
    let manifest = folder.appending(gathered).appending(OutputTransaction.manifestName)
    return (try? ConversionManifest(reading: manifest)).map { $0.fingerprint != fingerprint }
      ?? false
  }

  /// Whether a conversion writes a file of this name into its hidden folder: a file of OUTPUT, its
  /// record `.NAME.record`, or one in the making, `.NAME.MARK.part`.
  static func isOwn(_ name: String) -> Bool {
    guard name.hasPrefix(".") else { return isOfOutput(name) }
    let inner = name.dropFirst()
    if inner.hasSuffix(".record") { return isOfOutput(String(inner.dropLast(".record".count))) }
    guard inner.hasSuffix(OutputTransaction.temporarySuffix), let at = inner.lastIndex(of: "@"),
      let dot = inner[..<at].lastIndex(of: ".")
    else { return false }
    let whole = String(inner[..<dot])
    // The name may be that of a record.
    return isOfOutput(whole) || isOwn(whole)
  }

  private static func isOfOutput(_ name: String) -> Bool {
    if name.hasPrefix("model"), name.hasSuffix(".safetensors") {
      // `model.safetensors`, or `model-00001-of-00002.safetensors`.
      let parts = name.dropFirst(5).dropLast(12).split(
        separator: "-", omittingEmptySubsequences: false)
      let isNumber = { (text: Substring) in text.utf8.count >= 5 && Int(text) != nil }
      return parts == [""]
        || parts.count == 4 && parts[0].isEmpty && isNumber(parts[1]) && parts[2] == "of"
          && isNumber(parts[3])
    }
    let known = [
      ShardIndex.fileName, "config.json", "generation_config.json", "README.md", "SHA256SUMS",
      OutputTransaction.manifestName, "training_loss.png",
    ]
    return known.contains(name) || name.hasPrefix(RunRecords.LogFile.prefix)
      || ModelTokenizer.keptNames.contains(name)
  }
}
