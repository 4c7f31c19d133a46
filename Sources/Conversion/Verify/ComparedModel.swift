import ByteIO
public import Diagnostics
import HuggingFace
public import Megatron
public import SystemPackage
public import TorchArchive
import Transfer

/// One side of a comparison: tensors by name, of a transformers folder, a safetensors file, a
/// PyTorch file, or a checkpoint, whose tensors are those that a conversion would make.
public struct ComparedModel {
  /// What kind of place the tensors come from.
  public enum Kind: String, Hashable, Sendable {
    /// A folder that holds `config.json` or a safetensors file.
    case directory
    /// A file that is named so, or begins like one.
    case safetensorsFile = "safetensors-file"
    /// Any other file.
    case torchFile = "torch-file"
    /// Any other folder; compared is what a conversion would make of it.
    case checkpoint
  }

  /// The folder or file, as it was given.
  public let path: FilePath
  /// As ``kind(of:)`` tells it of the path.
  public let kind: Kind
  /// What the user should know of this side.
  public let warnings: [Diagnostic]
  /// By the bytes of the names, which count without the prefix `transformer.`.
  let tensors: [UTF8Key: TensorContent]

  /// Opens a side.
  ///
  /// - Parameters:
  ///   - path: A folder or a file.
  ///   - options: What the user chose about checkpoints.
  ///   - limits: How much a PyTorch file may make the reader do.
  ///   - checkpoint: Reads a folder that is a checkpoint.
  /// - Throws: `Failure` when it cannot be read.
  public init(
    _ path: FilePath, options: ConversionOptions = ConversionOptions(),
    limits: TorchLimits = TorchLimits(),
    checkpoint: (FilePath) throws -> Checkpoint
  ) throws {
    self.path = path
    switch try ComparedModel.kind(of: path) {
    case .checkpoint:
      kind = .checkpoint
      let plan = try Planner.plan(
        Recognition(checkpoint(path), options: options), options: options)
      warnings = plan.warnings
      tensors = try ComparedModel.collect(
        plan.tensors.enumerated().map { position, tensor in
          (
            tensor.name,
            TensorContent(
              dtype: tensor.format.torchName, shape: tensor.shape, bits: tensor.format.size * 8,
              format: tensor.format
            ) { try MemorySink.bytes(of: position, in: plan) }
          )
        }, path)
    case .torchFile:
      kind = .torchFile
      let file: TorchFile
      let named: [(name: String, tensor: TorchTensor)]
      do {
        let opened = try TorchFile(opening: path, limits: limits)
        file = opened
        let all = try opened.namedTensors()
        warnings = Diagnostic.about(opened, all)
        named = try all.compactMap { named in
          try opened.tensor(named.node).map { (named.name, $0) }
        }
      } catch {
        throw Failure(reading: error, file: path)
      }
      let reader = TensorReader(file)
      tensors = try ComparedModel.collect(
        named.map { name, tensor in
          (
            name,
            TensorContent(
              dtype: tensor.dtype.rawValue, shape: tensor.sizes, bits: tensor.dtype.size * 8,
              format: FloatFormat(tensor.dtype)
            ) {
              let bytes = ByteBuffer(count: tensor.byteCount)
              var filled = 0
              try reader.forEachPart(of: tensor) { range, buffer in
                bytes.copy(range, of: buffer, to: filled)
                filled += range.count
              }
              return bytes
            }
          )
        }, path)
    case .directory, .safetensorsFile:
      let directory = try ModelDirectory(reading: path)
      kind = directory.isFolder ? .directory : .safetensorsFile
      warnings = []
      if let fault = directory.faults.first {
        throw Failure(
          fault.code.as(.malformed), fault.message, file: fault.file ?? path.string,
          tensor: fault.tensor)
      }
      tensors = try ComparedModel.collect(
        directory.names.compactMap { name in directory[name].map { (name, TensorContent($0)) } },
        path)
    }
  }

  /// What a path is, by its name and what lies in it.
  ///
  /// - Throws: `Failure` 66.
  public static func kind(of path: FilePath) throws(Failure) -> Kind {
    let kind: FileSystem.Kind?
    do {
      kind = try FileSystem.kind(of: path)
    } catch {
      throw Failure(reading: error, file: path)
    }
    switch kind {
    case nil: throw PathAdvice.missing(path)
    case .folder:
      let names = (try? FileSystem.list(path))?.map(\.string) ?? []
      // PyTorch's writer for Hugging Face cuts tensors into files of this name.
      let isShards =
        !names.contains("config.json")
        && names.contains { $0.hasPrefix("shard-") && $0.contains("-model-") }
      let isModel = names.contains { $0.hasSuffix(".safetensors") || $0 == "config.json" }
      return isModel && !isShards ? .directory : .checkpoint
    default:
      if path.extension == "safetensors" { return .safetensorsFile }
      let start = try? InputFile(opening: path).read(at: 0, count: 9)
      let isHeader = start.map { $0.count == 9 && $0[8] == UInt8(ascii: "{") && $0[7] == 0 }
      return isHeader == true ? .safetensorsFile : .torchFile
    }
  }

  private static func collect(
    _ tensors: [(name: String, content: TensorContent)], _ path: FilePath
  ) throws(Failure) -> [UTF8Key: TensorContent] {
    var result: [UTF8Key: TensorContent] = [:]
    for (name, content) in tensors {
      let bare = name.hasPrefix("transformer.") ? String(name.dropFirst(12)) : name
      guard result.updateValue(content, forKey: UTF8Key(bare)) == nil else {
        throw Failure(
          .outputDuplicateTensor,
          bare == name
            ? "two tensors have this name" : "it is there with and without its prefix",
          file: path.string, tensor: name)
      }
    }
    return result
  }
}

/// Takes the bytes of one tensor into memory.
private final class MemorySink: TensorSink {
  private let target: Locked<ByteBuffer>

  private init(_ target: ByteBuffer) {
    self.target = Locked(target)
  }

  func take(_ rows: BufferRows, tensor: Int, at offset: Int) {
    target.withLock { target in
      for row in 0..<rows.count {
        target.copy(rows.row(row), of: rows.buffer, to: offset + row * rows.rowSize)
      }
    }
  }

  /// The bytes of an output tensor, as a conversion would write them.
  ///
  /// - Throws: `Failure`, or `Interrupted`.
  static func bytes(of position: Int, in plan: ConversionPlan) throws -> ByteBuffer {
    let target = ByteBuffer(count: plan.tensors[position].byteCount)
    let executor = PlanExecutor(plan.transfer)
    try executor.run([position], into: MemorySink(target))
    try executor.finish()
    return target
  }
}
