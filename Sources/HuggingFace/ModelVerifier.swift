public import Architectures
import ByteIO
public import Diagnostics
public import JSON
import Safetensors
public import SystemPackage

/// Checks a folder of transformers, whichever program wrote it: the safetensors rules, the index,
/// and every name, shape and type against `config.json`.
public struct ModelVerifier {
  public let directory: ModelDirectory
  /// The family that `config.json` names.
  public private(set) var architecture: any Architecture
  /// What breaks a rule, or loads silently wrong.
  public private(set) var faults: [Diagnostic]
  /// What deserves to be known.
  public private(set) var notes: [Diagnostic]
  /// What was concluded of the checkpoint that the output was compared with.
  public package(set) var decisions: [Decision] = []
  /// The configuration; `nil` when there is none that can be read.
  public private(set) var config: JSONObject?

  /// Reads headers and `config.json`, no tensor but an embedding with a copy of it.
  ///
  /// - Throws: `Failure` 66 when there is no output.
  public init(
    _ path: FilePath, architectures: [any Architecture] = KnownArchitectures.all
  ) throws(Failure) {
    architecture = architectures.last ?? GPT2()
    directory = try ModelDirectory(reading: path)
    faults = directory.faults
    notes = directory.notes
    guard directory.isFolder else {
      note(.outputSingleFile, "one file was given, so there is no config.json to compare with")
      return
    }
    do {
      let value = try JSONFile.read(path.appending("config.json"))
      guard let object = value.object else {
        fault(.configSyntax, "a JSON object was expected", file: "config.json")
        return
      }
      config = object
      if let named = architectures.first(where: {
        $0.format.modelType == object["model_type"]?.string
      }) {
        architecture = named
      }
      let resolved = resolvingAliases(object)
      checkFields(resolved)
      checkTensors(resolved)
      checkTokenizer(path, rows: resolved["vocab_size"]?.int)
    } catch {
      fault(error.code, error.message, file: "config.json")
    }
  }

  /// What was checked, in a few words each.
  public var rules: [String] {
    var rules = ["safetensors headers"]
    if directory.index != nil { rules.append("index") }
    if config != nil { rules += ["config.json", "names, shapes and types"] }
    let path = directory.path
    if directory.isFolder,
      ["tokenizer.json", "vocab.json"].contains(where: { FileSystem.exists(path.appending($0)) })
    {
      rules.append("tokenizer")
    }
    return rules
  }

  /// Adds a fault.
  package mutating func fault(
    _ code: Diagnostic.Code, _ message: String, file: String? = nil, tensor: String? = nil
  ) {
    faults.append(Diagnostic(code, message, file: file, tensor: tensor))
  }

  /// Adds a note.
  package mutating func note(
    _ code: Diagnostic.Code, _ message: String, file: String? = nil, tensor: String? = nil
  ) {
    notes.append(Diagnostic(code, message, file: file, tensor: tensor))
  }
}

extension ModelVerifier {
  /// The SHA-256 of each safetensors file; a `SHA256SUMS` next to them must agree.
  ///
  /// - Throws: `Failure` when a file cannot be read.
  public mutating func digests() throws -> [(name: String, digest: String)] {
    guard directory.isFolder else {
      return [
        (directory.path.lastComponent?.string ?? "", try FileDigest.sha256(directory.path))
      ]
    }
    let sums = directory.path.appending("SHA256SUMS")
    var recorded: [String: String] = [:]
    if FileSystem.exists(sums) {
      let lines = String(decoding: try JSONFile.bytes(sums), as: UTF8.self).split(separator: "\n")
      for line in lines {
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { continue }
        let name = String(parts[1].drop { $0 == " " || $0 == "*" })
        if !name.contains("/") { recorded[name] = String(parts[0]) }
      }
    }
    var names = directory.files.map(\.name)
    names += recorded.keys.filter { !names.contains($0) }.sorted()
    var result: [(name: String, digest: String)] = []
    for name in names {
      let path = directory.path.appending(name)
      guard FileSystem.exists(path) else {
        fault(.outputMissingFile, "SHA256SUMS names it, but it is not there", file: name)
        continue
      }
      let digest = try FileDigest.sha256(path)
      result.append((name, digest))
      if let wanted = recorded[name], wanted != digest {
        fault(.outputSHA256, "its SHA-256 is not the one in SHA256SUMS", file: name)
      }
    }
    return result
  }
}
