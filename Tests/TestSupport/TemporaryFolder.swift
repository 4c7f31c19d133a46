import Foundation
public import SystemPackage

/// A folder of a test's own, which is removed with it.
public final class TemporaryFolder {
  public let path: FilePath

  public init() throws {
    let name = "meg2hf-tests-\(UUID().uuidString)"
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(name)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = FilePath(url.path)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path.string)
  }

  /// Writes a file, with the folders on the way to it.
  @discardableResult
  public func write(_ name: String, _ bytes: [UInt8]) throws -> FilePath {
    let target = path.appending(name)
    try FileManager.default.createDirectory(
      atPath: target.removingLastComponent().string, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: target.string))
    return target
  }

  /// The names in the folder.
  public func names() throws -> [String] { try contents(path) }
}

/// The names in a folder, sorted.
public func contents(_ path: FilePath) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: path.string).sorted()
}

/// The bytes of a file.
public func bytes(of path: FilePath) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(fileURLWithPath: path.string)))
}

/// The bytes of all files of a folder, by their names.
public func snapshot(_ path: FilePath) throws -> [String: [UInt8]] {
  Dictionary(
    uniqueKeysWithValues: try contents(path).map { ($0, try bytes(of: path.appending($0))) })
}

/// Copies a file or folder to a place below the folder that `to` is in, with the folders on the
/// way.
public func copy(_ from: FilePath, to: FilePath, in place: String) throws {
  let target = to.removingLastComponent().appending(place)
  try FileManager.default.createDirectory(
    atPath: target.removingLastComponent().string, withIntermediateDirectories: true)
  try copy(from, to: target)
}

/// Copies a folder or file.
public func copy(_ from: FilePath, to: FilePath) throws {
  try FileManager.default.copyItem(atPath: from.string, toPath: to.string)
}

/// Makes a symbolic link.
public func link(_ path: FilePath, to target: String) throws {
  try FileManager.default.createSymbolicLink(
    atPath: path.string, withDestinationPath: target)
}

/// Removes a folder or file.
public func remove(_ path: FilePath) throws {
  try FileManager.default.removeItem(atPath: path.string)
}

/// Renames a folder or file.
public func move(_ from: FilePath, to: FilePath) throws {
  try FileManager.default.moveItem(atPath: from.string, toPath: to.string)
}

/// A file or folder among the fixtures that the repository carries.
public func fixture(_ name: String) -> FilePath {
  FilePath(#filePath).removingLastComponent().removingLastComponent().appending("Fixtures")
    .appending(name)
}

/// The least that is plainly a model, made by another tool.
public let plainModel: [String: [UInt8]] = [
  "config.json": Array("{\"model_type\": \"gpt2\"}".utf8),
  "model.safetensors": [2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8),
]
